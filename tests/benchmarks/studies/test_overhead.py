"""What a sample costs the daemon: the run measures all of them, and leaves the engine out."""

from pathlib import Path

import pytest

from benchmarks.measuring.broker import find_mosquitto
from benchmarks.studies.overhead.daemon import measure
from edge.system import paths


@pytest.mark.broker
def test_each_sample_is_counted_and_the_engine_is_apart(footage: Path) -> None:
    if find_mosquitto() is None or not paths.default_bundle().is_dir():
        pytest.skip("mosquitto or the default model is missing")
    found = measure(str(footage / "person-bicycle-car.mp4"), 4, 4.0, 1.0, 1.0)
    assert 1 <= found["samples"] <= 20  # 4 cameras, 4 a second; a busy machine loses some
    assert found["engine_ms"] > 0
    assert 0 < found["overhead_ms"] < 50
