"""A box with a GPU serves by its CPU until TensorRT's engines are built, and then by those.

TensorRT and the GPU are the doubles of ``tests/doubles``, which compute with ONNX Runtime.
"""

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from patience import Eventually
from present import present
from tiny_bundle import tiny_bundle, tiny_golden

from edge.config.models import EngineConfig
from edge.errors import ModelError
from edge.model.bundle.manifest import Role
from edge.model.bundle.read import Bundle
from edge.model.engines import tensorrt_builder
from edge.model.variants import Variant, built_later
from edge.scoring import engine_build as module
from edge.scoring.engine_build import EngineBuild
from edge.scoring.open import Models, Running, open_models

CPU = EngineConfig(kind="onnxruntime", precision="fp32")
LATER = Variant("tensorrt", "onnx", "fp32")


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return tiny_bundle(tmp_path / "bundle")


@pytest.fixture
def models(bundle: Bundle, tmp_path: Path, tensorrt_double: Path) -> Iterator[Models]:
    with open_models(bundle, CPU, tmp_path / "choices") as opened:
        yield opened


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Milliseconds of a picture by runtime: the doubles are no faster than what they stand for."""
    ms = {"onnxruntime": 20.0, "tensorrt": 2.0}
    monkeypatch.setattr(module, "ms_of_row", lambda engine, _bundle: ms[engine.name])
    return ms


class Loop:
    """The daemon's loop: takes over when the test lets it."""

    def __init__(self, models: Models) -> None:
        self.models = models
        self.given: list[tuple[Mapping[Role, Running], Future[None]]] = []

    def give(self, graphs: Mapping[Role, Running]) -> "Future[None]":
        self.given.append((graphs, Future()))
        return self.given[-1][1]

    def obey(self) -> None:
        graphs, future = self.given.pop()
        self.models.take_over(graphs)
        future.set_result(None)


def embedded(models: Models) -> Any:
    pixels = tiny_golden()["image"].inputs["pixels"]
    return present(models.scoring.crops).encode(pixels)


def test_the_cpu_serves_until_the_loop_takes_over(
    models: Models, times: dict[str, float], eventually: Eventually
) -> None:
    loop = Loop(models)
    build = EngineBuild(models, LATER, loop.give)
    before = embedded(models)
    build.start()
    eventually(lambda: loop.given, "engines to take over")
    progress = present(build.progress())
    assert (progress.kind, progress.role, progress.total) == ("tensorrt", "image", 1)
    assert models.main.engine.name == "onnxruntime"
    assert np.array_equal(embedded(models), before)
    loop.obey()
    assert build.stop(5.0)
    assert models.main.engine.device == "GPU:0 Orin"
    assert models.used == "fp32 on tensorrt 10.3.0"
    assert np.allclose(embedded(models), before, atol=1e-5)
    models.prove_again()
    assert (build.progress(), build.error, build.failed) == (None, None, False)


def test_the_engine_of_before_is_closed_and_the_new_one_at_the_end(
    models: Models, times: dict[str, float], eventually: Eventually
) -> None:
    loop = Loop(models)
    build = EngineBuild(models, LATER, loop.give)
    closed: list[str] = []
    before = models._engines["image"]._engine
    before.close = lambda: closed.append("cpu")  # type: ignore[method-assign]
    build.start()
    eventually(lambda: loop.given, "engines to take over")
    new = loop.given[0][0]["image"].engine
    assert closed == []
    loop.obey()
    assert build.stop(5.0)
    new.close = lambda: closed.append("gpu")  # type: ignore[method-assign]
    assert closed == ["cpu"]
    models.close()
    assert closed == ["cpu", "gpu"]


def test_sentences_are_still_compiled_by_the_cpu(
    models: Models, times: dict[str, float], eventually: Eventually
) -> None:
    loop = Loop(models)
    build = EngineBuild(models, LATER, loop.give)
    build.start()
    eventually(lambda: loop.given, "engines to take over")
    loop.obey()
    assert build.stop(5.0)
    with models.open_text_engine() as engine:
        assert engine.name == "onnxruntime"


def refuse(*_: object) -> tensorrt_builder.Build:
    raise ModelError("expected a graph that it can read, found Resize")


def test_a_graph_that_cannot_be_built_changes_nothing_and_says_why(
    models: Models, times: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = Loop(models)
    monkeypatch.setattr(tensorrt_builder, "build_engine", refuse)
    build = EngineBuild(models, LATER, loop.give)
    build.start()
    assert build.stop(5.0)
    assert loop.given == []
    assert "found Resize; the model goes on in fp32 on onnxruntime" in present(build.error)
    assert models.main.engine.name == "onnxruntime"
    assert not build.failed


def test_wrong_answers_change_nothing(
    models: Models, times: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    tensorrt = import_module("edge.model.engines.tensorrt")  # over the doubles
    right = tensorrt.TensorRtEngine.run
    monkeypatch.setattr(
        tensorrt.TensorRtEngine,
        "run",
        lambda engine, tensors: {
            name: np.roll(array, 1, axis=-1) for name, array in right(engine, tensors).items()
        },
    )
    build = EngineBuild(models, LATER, Loop(models).give)
    build.start()
    assert build.stop(5.0)
    assert "cannot run" in present(build.error)
    assert models.main.engine.name == "onnxruntime"


def test_engines_that_are_no_faster_change_nothing(models: Models, times: dict[str, float]) -> None:
    times["tensorrt"] = 20.0
    build = EngineBuild(models, LATER, Loop(models).give)
    build.start()
    assert build.stop(5.0)
    assert "is no faster: 20.0 ms a picture" in present(build.error)


def test_the_end_of_the_daemon_leaves_what_is_not_taken(
    models: Models, times: dict[str, float], eventually: Eventually
) -> None:
    loop = Loop(models)
    build = EngineBuild(models, LATER, loop.give)
    build.start()
    eventually(lambda: loop.given, "engines to take over")
    assert build.stop(5.0)
    assert (build.error, build.failed) == (None, False)
    assert models.main.engine.name == "onnxruntime"


@pytest.mark.parametrize(
    ("config", "found"),
    [
        (EngineConfig(), True),
        (EngineConfig(precision="int8"), True),
        (EngineConfig(kind="onnxruntime"), False),  # a promise (ADR 6)
        (EngineConfig(kind="tensorrt", device="GPU"), False),  # built before the start is done
        (EngineConfig(device="GPU"), False),  # OpenVINO's
    ],
)
def test_only_where_the_choice_is_free(
    bundle: Bundle, tensorrt_double: Path, config: EngineConfig, found: bool
) -> None:
    now = Variant("onnxruntime", "onnx", "int8")
    assert built_later(bundle, config, now) == (
        Variant("tensorrt", "onnx", "int8") if found else None
    )


def test_nothing_is_built_where_tensorrt_is_not_installed(bundle: Bundle) -> None:
    assert built_later(bundle, EngineConfig(), Variant("onnxruntime", "onnx", "int8")) is None


def test_the_start_does_not_wait_for_the_build(
    models: Models, times: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = threading.Event()
    build_engine = tensorrt_builder.build_engine

    def slow(*args: Any) -> tensorrt_builder.Build:
        hold.wait(30)
        return build_engine(*args)

    monkeypatch.setattr(tensorrt_builder, "build_engine", slow)
    build = EngineBuild(models, LATER, Loop(models).give)
    build.start()
    assert not build.stop(0.0)  # asked, and not waited for: the runtime cannot be interrupted
    assert embedded(models).shape[0] == 3
    hold.set()
    assert build.stop(10.0)
