"""A daemon on a box with a GPU: it watches by the CPU first, then by the GPU, and says so."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from live_broker import Broker, Listen
from patience import Eventually

from edge import app
from edge.config.load import load_config
from edge.model.engines import tensorrt_builder
from edge.scoring import engine_build
from edge.system.ending import Stop


@pytest.mark.broker
def test_samples_go_on_while_the_gpu_takes_over(
    tmp_path: Path,
    sections: Callable[..., Any],
    broker: Broker,
    listen: Listen,
    clip: Path,
    tensorrt_double: Path,
    eventually: Eventually,
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
    config.write_text(yaml.safe_dump(settings | sections(broker.port, str(clip))))
    listener = listen(broker.port)
    stop, wake = Stop(), threading.Event()
    thread = threading.Thread(target=app.run, args=(load_config(config), stop, wake))

    def state() -> Any:
        return [json.loads(one) for one in listener.payloads("box/state")][-1]

    def samples() -> Any:
        return json.loads(listener.payloads("yard/state")[-1])["samples"]

    thread.start()
    try:
        eventually(lambda: listener.payloads("box/state"), "the first state", 60)
        assert state()["engine"]["device"] == "CPU"
        assert state()["engine"]["build"]["kind"] == "tensorrt"
        eventually(lambda: samples() > 0, "samples by the CPU")
        hold.set()
        eventually(lambda: state()["engine"]["device"] == "GPU:0 Orin", "the GPU at work")
        by_the_cpu = samples()
        eventually(lambda: samples() > by_the_cpu, "samples by the GPU")
        assert state()["engine"]["build"] is state()["engine"]["error"] is None
        assert (state()["errors"], state()["power"]) == ({}, None)
    finally:
        hold.set()
        stop.set()
        wake.set()
        thread.join(20)
    assert not thread.is_alive()
