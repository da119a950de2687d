"""The TensorRT engine's own part, over doubles of TensorRT and pycuda (``tests/doubles``).

What this cannot show: that a GPU computes the same. ``docs/tensorrt.md`` says how to see that.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from present import present
from tiny_bundle import SIDE, tiny_bundle, tiny_golden, tiny_image_model, tiny_text_model

from edge.config.models import EngineConfig
from edge.errors import EngineUnavailable, InferenceError, ModelError
from edge.model.engines import Engine, EngineSettings, TensorSpec, open_engine
from edge.scoring.open import open_models

GPU = EngineSettings("GPU")


@pytest.fixture(autouse=True)
def doubles(tensorrt_double: Path) -> None:
    """Every test here runs over the doubles."""


@pytest.fixture
def trt() -> ModuleType:
    import tensorrt  # noqa: PLC0415 - the double, once it can be found

    return tensorrt


@pytest.fixture
def cuda() -> ModuleType:
    from pycuda import driver  # noqa: PLC0415 - the double, once it can be found

    return driver


@pytest.fixture
def opened() -> Iterator[Callable[..., Engine]]:
    engines: list[Engine] = []

    def open_one(model: bytes, device: str = "GPU") -> Engine:
        engines.append(open_engine("tensorrt", model, EngineSettings(device)))
        return engines[-1]

    yield open_one
    for engine in engines:
        engine.close()


def pictures(rows: int) -> NDArray[Any]:
    return np.random.default_rng(7).integers(-128, 128, (rows, 3, SIDE, SIDE), np.int8)


# (name, type, shape) of an input or output.
Value = tuple[str, int, list[Any]]


def graph(nodes: list[onnx.NodeProto], inputs: list[Value], outputs: list[Value]) -> bytes:
    made = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_tensor_value_info(*value) for value in outputs],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def reference(model: bytes, tensors: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, tensors), strict=True))


@pytest.mark.parametrize("rows", [1, 7, 8, 9, 16, 21])
def test_batches_beyond_the_profile_run_in_pieces_and_come_back_in_order(
    opened: Callable[..., Engine], rows: int
) -> None:
    found = opened(tiny_image_model()).run({"pixels": pictures(rows)})
    expected = reference(tiny_image_model(), {"pixels": pictures(rows)})
    assert np.array_equal(found["embedding"], expected["embedding"])


def test_buffers_grow_and_are_used_again(opened: Callable[..., Engine], cuda: ModuleType) -> None:
    engine = opened(tiny_image_model())
    engine.run({"pixels": pictures(2)})
    small = set(cuda._memory)
    engine.run({"pixels": pictures(1)})
    assert set(cuda._memory) == small
    engine.run({"pixels": pictures(8)})
    assert len(cuda._memory) == len(small) == 2
    assert set(cuda._memory).isdisjoint(small)


def detector() -> bytes:
    """As the detector of Grounding DINO: fixed shapes and every type of tensor."""
    return graph(
        [
            helper.make_node("Cast", ["pixels"], ["a"], to=TensorProto.FLOAT),
            helper.make_node("Cast", ["position_ids"], ["b"], to=TensorProto.FLOAT),
            helper.make_node("Cast", ["token_mask"], ["c"], to=TensorProto.FLOAT),
            helper.make_node("Add", ["a", "b"], ["ab"]),
            helper.make_node("Mul", ["ab", "c"], ["abc"]),
            helper.make_node("Add", ["abc", "features"], ["logits"]),
            helper.make_node("Not", ["token_mask"], ["rest"]),
            helper.make_node("Neg", ["position_ids"], ["back"]),
        ],
        [
            ("pixels", TensorProto.INT8, [1, 4]),
            ("features", TensorProto.FLOAT, [1, 4]),
            ("token_mask", TensorProto.BOOL, [1, 4]),
            ("position_ids", TensorProto.INT64, [1, 4]),
        ],
        [
            ("logits", TensorProto.FLOAT, [1, 4]),
            ("rest", TensorProto.BOOL, [1, 4]),
            ("back", TensorProto.INT64, [1, 4]),
        ],
    )


def test_fixed_shapes_and_every_type_of_tensor_arrive_as_they_are(
    opened: Callable[..., Engine],
) -> None:
    tensors: dict[str, NDArray[Any]] = {
        "pixels": np.array([[-128, -1, 0, 127]], np.int8),
        "features": np.array([[0.5, -1e-30, 1e30, 0]], np.float32),
        "token_mask": np.array([[True, False, True, True]]),
        "position_ids": np.array([[2**40, -(2**40), 0, 1]]),
    }
    engine = opened(detector())
    assert [spec.dtype for spec in engine.inputs] == ["int8", "float32", "bool", "int64"]
    assert engine.outputs[1] == TensorSpec("rest", "bool", (1, 4))
    found = engine.run(tensors)
    for name, expected in reference(detector(), tensors).items():
        assert found[name].dtype == expected.dtype
        assert np.array_equal(found[name], expected)


def head() -> bytes:
    """As the prompt head of X-CLIP: N clips against K sentences."""
    return graph(
        [
            helper.make_node("Transpose", ["text"], ["turned"], perm=[1, 0]),
            helper.make_node("MatMul", ["embedding", "turned"], ["cosine"]),
        ],
        [
            ("embedding", TensorProto.FLOAT, ["N", 4]),
            ("text", TensorProto.FLOAT, ["K", 4]),
        ],
        [("cosine", TensorProto.FLOAT, ["N", "K"])],
    )


def test_only_the_row_is_cut_and_another_open_axis_goes_whole(
    opened: Callable[..., Engine],
) -> None:
    random = np.random.default_rng(0)
    tensors = {
        "embedding": random.normal(size=(20, 4)).astype(np.float32),
        "text": random.normal(size=(11, 4)).astype(np.float32),
    }
    found = opened(head()).run(tensors)["cosine"]
    assert found == pytest.approx(tensors["embedding"] @ tensors["text"].T, abs=1e-6)
    many = tensors | {"text": np.zeros((300, 4), np.float32)}
    with pytest.raises(
        InferenceError, match=r"text: expected a shape up to \[256, 4\], found \[30"
    ):
        opened(head()).run(many)


def test_a_bundle_proves_itself_on_the_golden_set_and_both_towers_meet(tmp_path: Path) -> None:
    golden = tiny_golden()
    config = EngineConfig(kind="tensorrt", device="GPU")
    with open_models(tiny_bundle(tmp_path / "bundle"), config, tmp_path / "choices") as models:
        assert models.main.engine.device == "GPU:0 Orin"
        assert models.main.report is not None
        found = present(models.scoring.crops).encode(golden["image"].inputs["pixels"])
        with models.open_text_engine() as engine:
            words = engine.run({"input_ids": golden["text"].inputs["input_ids"]})["embedding"]
    assert (found @ words.T).argmax(axis=1).tolist() == [0, 1, 2]


def test_a_second_start_loads_what_the_first_has_built(
    opened: Callable[..., Engine], trt: ModuleType
) -> None:
    first = opened(tiny_image_model()).run({"pixels": pictures(3)})["embedding"]
    assert len(trt._built) == 1
    second = opened(tiny_image_model()).run({"pixels": pictures(3)})["embedding"]
    assert len(trt._built) == 1
    assert np.array_equal(first, second)


def test_another_model_gpu_or_version_is_built_anew(
    opened: Callable[..., Engine],
    trt: ModuleType,
    cuda: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened(tiny_image_model())
    opened(tiny_text_model())
    assert len(trt._built) == 2
    monkeypatch.setattr(cuda, "_gpus", [("Orin Nano", (8, 7))])
    opened(tiny_image_model())
    assert len(trt._built) == 3
    monkeypatch.setattr(sys.modules["edge.model.engines.tensorrt"].TensorRtEngine, "runtime", "11")
    opened(tiny_image_model())
    assert len(trt._built) == 4


@pytest.mark.parametrize("damage", ["cut", "foreign"])
def test_a_damaged_or_foreign_engine_is_never_given_to_tensorrt(
    opened: Callable[..., Engine], trt: ModuleType, tmp_path: Path, damage: str
) -> None:
    opened(tiny_image_model())
    [path] = (tmp_path / "engines").iterdir()
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-9])
    else:
        opened(tiny_text_model())
        [other] = set((tmp_path / "engines").iterdir()) - {path}
        path.write_bytes(other.read_bytes())
    given, built = len(trt._deserialized), len(trt._built)
    engine = opened(tiny_image_model())
    assert trt._deserialized[given:] == trt._deserialized[:1]  # what it has just built
    assert len(trt._built) == built + 1
    expected = reference(tiny_image_model(), {"pixels": pictures(3)})["embedding"]
    assert np.array_equal(engine.run({"pixels": pictures(3)})["embedding"], expected)


def test_an_engine_that_tensorrt_no_longer_takes_is_built_again(
    opened: Callable[..., Engine], trt: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(tiny_image_model())
    monkeypatch.setattr(trt, "_HEADER", b"another build of the same version\n")
    opened(tiny_image_model()).run({"pixels": pictures(1)})
    assert len(trt._built) == 2


def test_a_folder_that_refuses_costs_time_only(
    tmp_path: Path,
    opened: Callable[..., Engine],
    trt: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("EDGE_ENGINE_CACHE", str(tmp_path / "file"))
    for _ in range(2):
        opened(tiny_image_model()).run({"pixels": pictures(1)})
    assert len(trt._built) == 2
    assert "built again at the next start" in caplog.text


def test_an_engine_opened_in_one_thread_runs_and_closes_in_another(
    opened: Callable[..., Engine], cuda: ModuleType
) -> None:
    engine = opened(tiny_image_model())
    results: list[object] = []

    def work() -> None:
        results.append(engine.run({"pixels": pictures(1)})["embedding"].shape)
        engine.close()
        results.append(len(cuda._stack()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert results == [(1, 4), 0]
    assert cuda._stack() == []


def test_closing_gives_all_memory_back(opened: Callable[..., Engine], cuda: ModuleType) -> None:
    engine = opened(tiny_image_model())
    engine.run({"pixels": pictures(1)})
    assert len(cuda._memory) == 2
    engine.close()
    engine.close()
    assert cuda._memory == {}


def test_a_failing_copy_is_an_inference_error_and_the_next_batch_runs(
    opened: Callable[..., Engine], cuda: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = opened(tiny_image_model())
    monkeypatch.setattr(cuda, "_fail", "out of resources")
    with pytest.raises(InferenceError, match="GPU:0 Orin failed: out of resources"):
        engine.run({"pixels": pictures(1)})
    assert cuda._stack() == []
    expected = reference(tiny_image_model(), {"pixels": pictures(1)})["embedding"]
    assert np.array_equal(engine.run({"pixels": pictures(1)})["embedding"], expected)


def test_a_shape_that_tensorrt_refuses_does_not_run_with_the_one_before(
    opened: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge.model.engines.tensorrt import TensorRtEngine  # noqa: PLC0415 - over the double

    engine = opened(tiny_image_model())
    engine.run({"pixels": pictures(1)})
    assert isinstance(engine, TensorRtEngine)
    monkeypatch.setitem(engine._engine._shapes, "pixels", [(1, 3, 8, 8)] * 3)
    with pytest.raises(InferenceError, match=r"pixels: \(2, 3, 8, 8\) is outside of the profile"):
        engine.run({"pixels": pictures(2)})


def test_a_gpu_is_named_by_its_number(
    opened: Callable[..., Engine], cuda: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda, "_gpus", [("first", (8, 6)), ("second", (8, 9))])
    assert opened(tiny_image_model()).device == "GPU:0 first"
    assert opened(tiny_image_model(), "GPU:1").device == "GPU:1 second"
    with pytest.raises(EngineUnavailable, match="expected device 'GPU:2', found GPU:0, GPU:1; set"):
        opened(tiny_image_model(), "GPU:2")


@pytest.mark.parametrize("device", ["CPU", "GPU:", "GPU:x", "gpu", "GPU:-1", "GPU:0 "])
def test_another_word_is_no_gpu(opened: Callable[..., Engine], device: str) -> None:
    with pytest.raises(EngineUnavailable, match=f"expected device '{device}', found GPU:0"):
        opened(tiny_image_model(), device)


def test_no_gpu_is_unavailable_and_says_what_to_look_at(
    opened: Callable[..., Engine], cuda: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda, "_gpus", [])
    with pytest.raises(
        EngineUnavailable, match=r"no CUDA-capable device.*; install the NVIDIA dri"
    ):
        opened(tiny_image_model())


def test_a_driver_that_does_not_fit_is_unavailable_with_tensorrts_own_words(
    opened: Callable[..., Engine], trt: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trt, "_refuse", True)
    with pytest.raises(EngineUnavailable, match="error: 35; TensorRT and the NVIDIA driver must"):
        opened(tiny_image_model())


def test_a_gpu_that_fails_at_the_start_is_unavailable(
    opened: Callable[..., Engine], cuda: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise cuda.LogicError("cuStreamCreate failed: unspecified launch failure")

    monkeypatch.setattr(cuda.Stream, "__init__", fail)
    with pytest.raises(EngineUnavailable, match="GPU:0: expected a GPU that computes, found: cuS"):
        opened(tiny_image_model())
    assert cuda._stack() == []


def test_no_memory_to_run_in_is_unavailable(
    opened: Callable[..., Engine], trt: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trt, "_refuse_contexts", True)
    with pytest.raises(EngineUnavailable, match="expected memory to run the engine in, found out"):
        opened(tiny_image_model())


def test_a_type_that_numpy_does_not_have_is_a_model_error(opened: Callable[..., Engine]) -> None:
    node = helper.make_node("Identity", ["x"], ["y"])
    model = graph([node], [("x", TensorProto.BFLOAT16, [1])], [("y", TensorProto.BFLOAT16, [1])])
    with pytest.raises(ModelError, match=r"x: expected one of FLOAT, .*, found BF16"):
        opened(model)


@pytest.mark.parametrize("package", ["tensorrt", "pycuda", "pycuda.driver"])
def test_a_missing_package_says_where_it_comes_from(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(EngineUnavailable) as caught:
        open_engine("tensorrt", tiny_image_model(), GPU)
    assert f"expected the package {package.partition('.')[0]}, found" in str(caught.value)
    assert "pip install 'camera-edge-runtime[tensorrt]'" in str(caught.value)
    assert "comes with JetPack" in str(caught.value)
