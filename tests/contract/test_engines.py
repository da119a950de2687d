"""What every engine promises, asked of each of them.

``EDGE_REQUIRE_ENGINES=openvino,onnxruntime`` names engines whose absence fails instead of skips.
TensorRT needs a GPU: where it is neither installed nor required, doubles of it and of pycuda stand
in, so that at least the engine's own part is asked.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tiny_bundle import DIM, SIDE, tiny_golden, tiny_image_model
from tiny_window import FRAMES, head_reference, tiny_head_model

from edge.errors import ConfigError, EngineUnavailable, InferenceError, ModelError
from edge.model.engines import ENGINES, Engine, EngineSettings, TensorSpec, open_engine
from edge.model.engines.null import null_model

PIXELS = TensorSpec("pixels", "int8", (None, 3, SIDE, SIDE))
EMBEDDING = TensorSpec("embedding", "float32", (None, DIM))
SETTINGS = EngineSettings("CPU", threads=1)
DEVICES = {"tensorrt": "GPU"}
REQUIRED = os.environ.get("EDGE_REQUIRE_ENGINES", "").split(",")


def require(name: str) -> None:
    if name != "null" and not find_spec(name) and name not in REQUIRED:
        pytest.skip(f"{name} is not installed")


@pytest.fixture(params=sorted(ENGINES))
def name(request: pytest.FixtureRequest) -> str:
    if request.param == "tensorrt" and not find_spec("tensorrt") and "tensorrt" not in REQUIRED:
        request.getfixturevalue("tensorrt_double")
    require(request.param)
    return request.param


def settings_of(name: str) -> EngineSettings:
    return replace(SETTINGS, device=DEVICES.get(name, "CPU"))


@pytest.fixture
def settings(name: str) -> EngineSettings:
    return settings_of(name)


@pytest.fixture
def model(name: str) -> bytes:
    return null_model((PIXELS,), (EMBEDDING,)) if name == "null" else tiny_image_model()


@pytest.fixture
def engine(name: str, model: bytes, settings: EngineSettings) -> Iterator[Engine]:
    engine = open_engine(name, model, settings)
    yield engine
    engine.close()


def pictures(rows: int) -> np.ndarray:
    return np.random.default_rng(7).integers(-128, 128, (rows, 3, SIDE, SIDE), np.int8)


def test_an_engine_says_what_goes_in_and_comes_out(
    engine: Engine, name: str, settings: EngineSettings
) -> None:
    assert engine.name == name
    assert engine.device.startswith(settings.device)
    assert engine.runtime.startswith(name)
    assert engine.inputs == (PIXELS,)
    assert engine.outputs == (EMBEDDING,)


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_rows_match_the_batch(engine: Engine, rows: int) -> None:
    results = engine.run({"pixels": pictures(rows)})
    assert list(results) == ["embedding"]
    assert results["embedding"].shape == (rows, DIM)
    assert results["embedding"].dtype == np.float32
    assert np.linalg.norm(results["embedding"], axis=1) == pytest.approx(1, abs=1e-5)


def test_a_row_does_not_depend_on_its_neighbours(engine: Engine) -> None:
    batch = pictures(5)
    together = engine.run({"pixels": batch})["embedding"]
    alone = [engine.run({"pixels": batch[row : row + 1]})["embedding"][0] for row in range(5)]
    assert together == pytest.approx(np.stack(alone), abs=1e-6)
    assert len(np.unique(together, axis=0)) == 5


def test_real_engines_compute_what_the_graph_says(engine: Engine, name: str) -> None:
    golden = tiny_golden()["image"]
    error = np.abs(engine.run(golden.inputs)["embedding"] - golden.answers["embedding"])
    assert (error.max() < 1e-5) == (name != "null")


def test_the_full_range_of_int8_arrives(engine: Engine, name: str) -> None:
    if name == "null":
        pytest.skip("computes nothing")
    extremes = np.full((2, 3, SIDE, SIDE), -128, np.int8)
    extremes[1] = 127
    low, high = engine.run({"pixels": extremes})["embedding"]
    assert low[0] < -0.57
    assert high[0] > 0.57


def test_results_belong_to_the_caller(engine: Engine) -> None:
    batch = pictures(2)
    first = engine.run({"pixels": batch})["embedding"]
    kept = first.copy()
    engine.run({"pixels": -batch})
    assert np.array_equal(first, kept)
    first[:] = 0
    assert np.array_equal(engine.run({"pixels": batch})["embedding"], kept)


def test_a_view_with_strides_is_read_as_it_looks(engine: Engine) -> None:
    flipped = pictures(2)[:, :, ::-1, ::-1]
    expected = engine.run({"pixels": flipped.copy()})["embedding"]
    assert np.array_equal(engine.run({"pixels": flipped})["embedding"], expected)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"image": pictures(1)}, r"expected the inputs \['pixels'\], found \['image'\]"),
        ({"pixels": pictures(1), "more": pictures(1)}, r"found \['more', 'pixels'\]"),
        ({}, r"found \[\]"),
        ({"pixels": pictures(1).astype(np.float32)}, "expected dtype int8, found float32"),
        ({"pixels": pictures(1).astype(np.uint8)}, "expected dtype int8, found uint8"),
        ({"pixels": pictures(1)[0]}, r"expected shape \[\?, 3, 8, 8\], found \[3, 8, 8\]"),
        ({"pixels": pictures(1)[:, :, 1:]}, r"found \[1, 3, 7, 8\]"),
        ({"pixels": pictures(0)}, r"found \[0, 3, 8, 8\]"),
    ],
)
def test_tensors_that_do_not_fit_are_an_inference_error(
    engine: Engine, tensors: dict[str, np.ndarray], message: str
) -> None:
    with pytest.raises(InferenceError, match=message):
        engine.run(tensors)
    assert engine.run({"pixels": pictures(1)})["embedding"].shape == (1, DIM)


def test_inputs_with_different_numbers_of_rows_do_not_fit() -> None:
    words = TensorSpec("words", "int8", (None, 2))
    engine = open_engine("null", null_model((PIXELS, words), (EMBEDDING,)), SETTINGS)
    two = np.zeros((2, 2), np.int8)
    assert len(engine.run({"pixels": pictures(2), "words": two})["embedding"]) == 2
    with pytest.raises(InferenceError, match=r"found \{'pixels': 3, 'words': 2\}"):
        engine.run({"pixels": pictures(3), "words": two})


def comparing(name: str, settings: EngineSettings) -> Engine:
    """A graph of two inputs with N rows, and one of K vectors that each row is compared with."""
    if name != "null":
        return open_engine(name, tiny_head_model(), settings_of(name))
    rows = TensorSpec("embedding", "float32", (None, DIM))
    context = TensorSpec("context", "float32", (None, FRAMES, DIM))
    cosine = TensorSpec("cosine", "float32", (None, None))
    inputs = (rows, context, replace(rows, name="text"))
    return open_engine(name, null_model(inputs, (cosine,)), settings)


def comparison(rows: int, columns: int) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(11)
    shapes = {"embedding": (rows, DIM), "context": (rows, FRAMES, DIM), "text": (columns, DIM)}
    return {k: draw.standard_normal(shape).astype(np.float32) for k, shape in shapes.items()}


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 5), (3, 1), (3, 3), (2, 5)])
def test_a_graph_that_compares_takes_any_number_of_rows_and_of_columns(
    name: str, settings: EngineSettings, rows: int, columns: int
) -> None:
    engine = comparing(name, settings)
    tensors = comparison(rows, columns)
    cosine = engine.run(tensors)["cosine"]
    assert cosine.shape == (rows, columns)
    assert cosine.dtype == np.float32
    if name != "null":
        assert cosine == pytest.approx(head_reference(*tensors.values()), abs=1e-5)
    for row in range(rows):
        one = {k: v if k == "text" else v[row : row + 1] for k, v in tensors.items()}
        assert engine.run(one)["cosine"][0] == pytest.approx(cosine[row], abs=1e-6)
    engine.close()


@pytest.mark.parametrize("short", ["embedding", "context"])
def test_rows_that_do_not_belong_together_are_refused_and_not_repeated(
    name: str, settings: EngineSettings, short: str
) -> None:
    engine = comparing(name, settings)
    tensors = comparison(3, 2)
    tensors[short] = tensors[short][:1]
    with pytest.raises(InferenceError, match="expected as many rows in each input"):
        engine.run(tensors)
    engine.close()


@pytest.mark.parametrize(
    "damage",
    [lambda model: b"", lambda model: b"\x00junk" * 20, lambda model: model[: len(model) // 2]],
    ids=["empty", "junk", "cut off"],
)
def test_a_corrupt_model_is_a_model_error(
    name: str, model: bytes, settings: EngineSettings, damage: Callable[[bytes], bytes]
) -> None:
    with pytest.raises(ModelError, match=name):
        open_engine(name, damage(model), settings)


@pytest.mark.parametrize("device", ["NO_SUCH_DEVICE", "AUTO", "HETERO:CPU", ""])
def test_an_absent_device_is_unavailable_and_no_fall_back(
    name: str, model: bytes, device: str
) -> None:
    with pytest.raises(EngineUnavailable, match=f"expected device '?{device}.*found"):
        open_engine(name, model, replace(SETTINGS, device=device))


def test_threads_left_to_the_runtime(name: str, model: bytes, settings: EngineSettings) -> None:
    engine = open_engine(name, model, replace(settings, threads=0))
    assert engine.run({"pixels": pictures(1)})["embedding"].shape == (1, DIM)
    engine.close()


def test_close_twice_then_run_is_an_inference_error(engine: Engine) -> None:
    engine.close()
    engine.close()
    with pytest.raises(InferenceError, match="closed"):
        engine.run({"pixels": pictures(1)})


OPEN_AND_RUN = """
import sys
from pathlib import Path
import numpy as np
from edge.model.engines import EngineSettings, open_engine
from edge.errors import EdgeError
settings = EngineSettings(sys.argv[3])
engine = open_engine(sys.argv[1], Path(sys.argv[2]).read_bytes(), settings)
engine.run({"pixels": np.zeros((1, 3, 8, 8), np.int8)})
try:
    open_engine(sys.argv[1], b"junk", settings)
except EdgeError:
    pass
"""


def test_an_engine_prints_nothing_and_leaves_nothing_in_the_home_directory(
    name: str, model: bytes, settings: EngineSettings, tmp_path: Path
) -> None:
    if name != "null":
        # A weight that nothing uses: worth a warning to a runtime that is not told to be quiet.
        graph = onnx.load_from_string(model)
        graph.graph.initializer.append(numpy_helper.from_array(np.ones(3, np.float32), "unused"))
        model = graph.SerializeToString()
    (tmp_path / "model").write_bytes(model)
    home = tmp_path / "home"
    home.mkdir()
    # A runtime that reports itself over the internet holds back where CI is set.
    environment = {key: value for key, value in os.environ.items() if key != "CI"}
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-c",
            OPEN_AND_RUN,
            name,
            tmp_path / "model",
            settings.device,
        ],
        env=environment | {"HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(home.rglob("*")) == []


CLOSE_THEN_SIGNAL = """
import os, signal, sys
from pathlib import Path
from edge.model.engines import EngineSettings, open_engine
signal.signal(signal.SIGTERM, lambda *_: print("asked to end"))
model = Path(sys.argv[2]).read_bytes()
engines = [open_engine(sys.argv[1], model, EngineSettings(sys.argv[3])) for _ in range(3)]
while engines:
    engines.pop(0).close()
    os.kill(os.getpid(), signal.SIGTERM)
"""


def test_a_process_hears_signals_after_engines_were_closed(
    name: str, settings: EngineSettings, model: bytes, tmp_path: Path
) -> None:
    """As when a daemon that has changed its model is asked to end; in the order of opening."""
    (tmp_path / "model").write_bytes(model)
    done = subprocess.run(
        [sys.executable, "-c", CLOSE_THEN_SIGNAL, name, tmp_path / "model", settings.device],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, 3 * "asked to end\n")


@pytest.fixture
def forget(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make an import fail as if the module were not installed."""

    def forget(module: str) -> None:
        for loaded in list(sys.modules):
            if loaded.startswith("edge.model.engines.") and loaded != "edge.model.engines.base":
                monkeypatch.delitem(sys.modules, loaded)
        monkeypatch.setitem(sys.modules, module, None)

    return forget


def test_a_missing_runtime_says_what_to_install(
    name: str, model: bytes, settings: EngineSettings, forget: Callable[[str], None]
) -> None:
    if name == "null":
        pytest.skip("needs no package")
    forget(name)
    with pytest.raises(EngineUnavailable, match=rf"pip install 'camera-edge-runtime\[{name}\]'"):
        open_engine(name, model, settings)


def test_a_missing_module_of_our_own_is_a_bug_and_no_missing_runtime(
    name: str, model: bytes, forget: Callable[[str], None]
) -> None:
    forget("edge.model.engines.tensors")
    with pytest.raises(ModuleNotFoundError, match=r"edge\.model\.engines\.tensors"):
        open_engine(name, model, SETTINGS)


def test_an_unknown_engine_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="null, onnxruntime, openvino"):
        open_engine("torch", b"", SETTINGS)


def test_onnxruntime_without_its_device_does_not_compute_on_another() -> None:
    require("onnxruntime")
    with pytest.raises(EngineUnavailable, match="expected device 'CUDA', found CPU"):
        open_engine("onnxruntime", tiny_image_model(), replace(SETTINGS, device="CUDA"))


def test_openvino_keeps_float_graphs_in_float32() -> None:
    """By itself it computes in bfloat16 where the CPU can: 3 decimal digits instead of 7."""
    require("openvino")
    engine = open_engine("openvino", tiny_image_model(), SETTINGS)
    compiled = engine._request.get_compiled_model()  # type: ignore[attr-defined]
    precision = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    assert precision == "f32"
    assert compiled.get_property("ENABLE_CPU_PINNING") is False
    engine.close()
