"""The pipeline's bench on a small clip: every stage, the path by the engine, the daemon for real."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import live
from benchmarks.broker import Address, find_mosquitto, mosquitto, parse_address
from benchmarks.path import Pair, compare
from benchmarks.pipeline import PipelineSettings, measure
from edge.config.models import EngineConfig
from edge.errors import ConfigError, InferenceError, PublishError, SourceError
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


@pytest.fixture(scope="session")
def broker() -> Iterator[Address]:
    program = find_mosquitto()
    if program is None:
        pytest.skip("mosquitto is not installed")
    with mosquitto(program) as address:
        yield address


def test_every_stage_of_a_file_is_timed_in_the_order_of_the_data(
    bundle: Bundle, settings: PipelineSettings, tmp_path: Path
) -> None:
    ticks: list[None] = []
    results = measure(bundle, settings, None, tmp_path, lambda: ticks.append(None))
    assert [stage.stage for stage in results.stages] == STAGES
    for stage in results.stages:
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


def unit(*values: float) -> np.ndarray:
    row = np.array([values], np.float32)
    return row / np.linalg.norm(row)


def test_the_whole_path_and_the_engine_take_turns() -> None:
    calls: list[str] = []

    def record(name: str) -> Callable[[], np.ndarray]:
        return lambda: calls.append(name) or unit(1, 2)

    pairs = [Pair(record("path"), record("engine"))]
    result = compare(pairs, rounds=2, warmup=1, iterations=3, progress=lambda: None)
    first, second = ["path", "engine"], ["engine", "path"]
    assert calls == 2 * [*first, *second, *first, *second]
    assert result.pairs == 6
    assert result.ratio.low <= result.ratio.median <= result.ratio.high


@pytest.mark.parametrize("other", [unit(2, 1), np.array([[np.nan, 1]], np.float32)])
def test_a_path_that_computes_something_else_has_no_ratio(other: np.ndarray) -> None:
    pairs = [Pair(lambda: unit(1, 2), lambda: other)]
    with pytest.raises(InferenceError, match="cannot be compared"):
        compare(pairs, rounds=1, warmup=0, iterations=1, progress=lambda: None)


@pytest.mark.broker
def test_the_daemon_is_timed_from_a_frame_s_arrival_to_its_acknowledgement(
    edge_bench: Callable[[str], Any], clip: Path, broker: Address
) -> None:
    address = f"{broker.host}:{broker.port}"
    done = edge_bench(f"pipeline {clip} {BRIEFLY} --live --duration 2 --mqtt {address} --json -")
    assert done.code == 0, done.err
    results = done.report["results"]["live"]
    assert [latency["kind"] for latency in results["latencies"]] == ["alert", "embedding"]
    for latency in results["latencies"]:
        assert latency["messages"] >= 5  # about ten in two seconds
        assert 0 < latency["ms"]["p50"] <= latency["ms"]["p95"] <= latency["ms"]["p99"]
    assert results["cores"] > 0
    assert results["rss_mb"] > 10
    assert "test camera" in results["camera"]


@pytest.mark.broker
def test_a_clip_that_no_camera_can_play_says_why(
    bundle: Bundle, broker: Address, tmp_path: Path
) -> None:
    text = tmp_path / "notes.mp4"
    text.write_text("no video")
    wanted = live.LiveSettings(str(text), 5, 1, ("red",), EngineConfig())
    with pytest.raises(SourceError, match=r"notes\.mp4"):
        live.measure(bundle, wanted, broker, tmp_path, lambda: None)


def test_a_broker_that_is_not_there_is_said_and_not_waited_for(
    bundle: Bundle, settings: PipelineSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.stages._CONNECT_S", 0.5)
    with pytest.raises(PublishError, match=r"127\.0\.0\.1:1 is unreachable"):
        measure(bundle, settings, Address("127.0.0.1", 1, "none"), tmp_path, lambda: None)


def test_mosquitto_that_does_not_start_says_why(tmp_path: Path) -> None:
    program = tmp_path / "mosquitto"
    program.write_text("#!/bin/sh\necho no such option; exit 3\n")
    program.chmod(0o755)
    with pytest.raises(PublishError, match="no such option"), mosquitto(str(program)):
        pass


@pytest.mark.parametrize("text", ["localhost", ":1883", "host:port", "host:0", "host:65536", ""])
def test_a_broker_is_a_host_and_a_port(text: str) -> None:
    with pytest.raises(ConfigError, match="expected host:port"):
        parse_address(text)


def test_a_broker_may_have_an_address_of_any_kind() -> None:
    assert parse_address("[::1]:1883") == Address("::1", 1883, "given")
    assert parse_address("nvr.example:8883") == Address("nvr.example", 8883, "given")


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
