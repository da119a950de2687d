"""The measurement of the pipeline on a small clip: every stage, and the estimates from them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.measuring.broker import Address
from benchmarks.pipeline.measure import measure
from benchmarks.pipeline.results import PipelineSettings
from edge.config.models import EngineConfig
from edge.errors import PublishError
from edge.model.bundle.read import Bundle
from edge.testing import TestCamera

STAGES = ["demux", "decode", "preprocess", "engine", "scores", "events", "payload", "outbox"]
BRIEFLY = "--prompt red --fps 5 --frames 4 --warmup 1 --rounds 2 --iterations 2"


@pytest.fixture
def settings(clip: Path) -> PipelineSettings:
    return PipelineSettings(
        source=str(clip), fps=5, frames=12, warmup=2, rounds=2, iterations=3,
        prompts=("red", "green"), engine=EngineConfig(),
    )  # fmt: skip


def test_every_stage_of_a_file_is_timed_in_the_order_of_the_data(
    bundle: Bundle, settings: PipelineSettings, tmp_path: Path
) -> None:
    ticks: list[None] = []
    results = measure(bundle, settings, None, tmp_path, lambda: ticks.append(None))
    assert [stage.stage for stage in results.stages] == STAGES
    for stage in results.stages:
        assert stage.ms is not None
        assert 0 < stage.ms["p50"] <= stage.ms["p95"] <= stage.ms["p99"]
        assert stage.core_ms > 0
    assert results.core_ms == pytest.approx(sum(stage.core_ms for stage in results.stages))
    assert len(ticks) == settings.steps
    assert results.broker is None
    assert (results.video.codec, results.video.width, results.video.fps) == ("h264", 160, 10)


def test_what_follows_is_arithmetic_on_the_stages(
    bundle: Bundle, settings: PipelineSettings, tmp_path: Path
) -> None:
    results = measure(bundle, settings, None, tmp_path, lambda: None)
    dearest = max(results.stages, key=lambda stage: stage.core_ms)
    assert results.outlook.bottleneck == dearest.stage
    assert results.outlook.cores_per_camera == pytest.approx(results.core_ms / 1000 * settings.fps)
    assert results.outlook.cameras_per_core == pytest.approx(1 / results.outlook.cores_per_camera)


@pytest.mark.broker
def test_with_a_broker_the_way_ends_at_its_acknowledgement(
    bundle: Bundle, settings: PipelineSettings, broker: Address, tmp_path: Path
) -> None:
    results = measure(bundle, settings, broker, tmp_path, lambda: None)
    assert [stage.stage for stage in results.stages] == [*STAGES, "mqtt"]
    assert results.broker == "mosquitto on loopback"


def test_the_demuxing_of_a_camera_is_waiting_and_has_no_quantiles(
    bundle: Bundle, settings: PipelineSettings, clip: Path, tmp_path: Path
) -> None:
    with TestCamera({"clip": clip}, user="viewer", password="sesame") as camera:
        live_source = replace(settings, source=camera.url("clip"), frames=3, warmup=0)
        results = measure(bundle, live_source, None, tmp_path, lambda: None)
    assert [stage.stage for stage in results.stages if stage.ms is None] == ["demux"]
    assert results.video.source == f"rtsp://viewer:***@127.0.0.1:{camera.port}/clip"


def test_a_broker_that_is_not_there_is_said_and_not_waited_for(
    bundle: Bundle, settings: PipelineSettings, tmp_path: Path
) -> None:
    missing = Address("127.0.0.1", 1, "none")
    with pytest.raises(PublishError, match=r"127\.0\.0\.1:1 is unreachable"):
        measure(bundle, settings, missing, tmp_path, lambda: None, connect_s=0.5)


def test_the_document_has_the_stages_the_ratio_and_the_outlook(
    edge_bench: Callable[[str], Any], clip: Path, places: Callable[[Any], set[str]]
) -> None:
    done = edge_bench(f"pipeline {clip} {BRIEFLY} --json -")
    assert done.code == 0, done.err
    results = done.report["results"]
    assert results["live"] is None
    assert places(results["pipeline"]) == {"", *(f".{name}" for name in (
        "video", "video.source", "video.codec", "video.width", "video.height", "video.fps",
        "video.keyframes_only",
        "engine", "engine.engine", "engine.runtime", "engine.device", "engine.precision",
        "engine.threads", "engine.mean_cosine", "engine.min_cosine",
        "broker", "frames",
        "stages[]", "stages[].stage", "stages[].ms", "stages[].ms.p50", "stages[].ms.p95",
        "stages[].ms.p99", "stages[].core_ms", "core_ms",
        "path", *(f"path.{what}{part}" for what in ("path_ms", "engine_ms", "ratio")
                  for part in ("", ".median", ".low", ".high")), "path.pairs", "path.target",
        "outlook", "outlook.bottleneck", "outlook.cores_per_camera", "outlook.cameras_per_core",
    ))}  # fmt: skip


def test_the_table_says_what_was_only_computed(
    edge_bench: Callable[[str], Any], clip: Path
) -> None:
    done = edge_bench(f"pipeline {clip} {BRIEFLY}")
    assert done.code == 0, done.err
    for stage in STAGES:
        assert f" {stage} " in done.out
    assert "Computed, not run" in done.out
