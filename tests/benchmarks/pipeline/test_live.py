"""The measurement of the running daemon, on one camera and one broker."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.measuring.broker import Address
from benchmarks.pipeline import live
from edge.config.models import EngineConfig
from edge.errors import SourceError
from edge.model.bundle.read import Bundle

BRIEFLY = "--prompt red --fps 5 --frames 4 --warmup 1 --rounds 2 --iterations 2"


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
