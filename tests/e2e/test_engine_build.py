"""A daemon on a box with a GPU: it watches by the CPU first, then by the GPU, and says so."""

import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from running_box import Box

from edge import app
from edge.config.load import load_config
from edge.model.engines import tensorrt_builder
from edge.scoring import engine_build
from edge.system.ending import Stop


@pytest.mark.broker
def test_samples_go_on_while_the_gpu_takes_over(
    tmp_path: Path,
    box: Box,
    tensorrt_double: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ms = {"onnxruntime": 20.0, "openvino": 20.0, "tensorrt": 2.0}
    monkeypatch.setattr(engine_build, "ms_of_row", lambda engine, _bundle: ms[engine.name])
    hold = threading.Event()
    build = tensorrt_builder.build_engine

    def slow(*args: Any) -> tensorrt_builder.Build:
        hold.wait(60)
        return build(*args)

    monkeypatch.setattr(tensorrt_builder, "build_engine", slow)
    settings = {"device": {"id": "box"}, "state_dir": str(tmp_path / "state")}
    config = tmp_path / "edge.yaml"
    config.write_text(yaml.safe_dump(settings | box.settings()))
    stop, wake = Stop(), threading.Event()
    thread = threading.Thread(target=app.run, args=(load_config(config), stop, wake))

    def samples() -> int:
        return int(box.state("yard/state")["samples"])

    thread.start()
    try:
        box.eventually(box.state, "the first state", 60)
        assert box.state()["engine"]["device"] == "CPU"
        assert box.state()["engine"]["build"]["kind"] == "tensorrt"
        box.eventually(lambda: samples() > 0, "samples by the CPU")
        hold.set()
        box.eventually(lambda: box.state()["engine"]["device"] == "GPU:0 Orin", "the GPU at work")
        by_the_cpu = samples()
        box.eventually(lambda: samples() > by_the_cpu, "samples by the GPU")
        assert box.state()["engine"]["build"] is box.state()["engine"]["error"] is None
        assert (box.state()["errors"], box.state()["power"]) == ({}, None)
    finally:
        hold.set()
        stop.set()
        wake.set()
        thread.join(20)
    assert not thread.is_alive()
