"""The teacher's image graph with some of its layers made visible."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from classroom import Classroom
from numpy.typing import NDArray
from tiny_detector import tiny_detector_bundle
from tiny_window import tiny_window_bundle

from edge.errors import ConfigError
from edge.model.bundle.manifest import ImageSpec
from edge.model.bundle.read import Bundle
from edge.model.engines import EngineSettings, open_engine
from export.distill import teacher
from export.distill.align import MapShape
from export.distill.result import graph_of
from export.distill.teacher import Teacher, evenly, residuals


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(1).integers(-128, 128, (5, 3, 32, 32)).astype(np.int8)


def run(model: onnx.ModelProto | bytes, pixels: np.ndarray) -> dict[str, np.ndarray]:
    data = model if isinstance(model, bytes) else model.SerializeToString()
    engine = open_engine("onnxruntime", data, EngineSettings(threads=0))
    try:
        return engine.run({"pixels": pixels})
    finally:
        engine.close()


def spec(height: int, width: int) -> ImageSpec:
    return ImageSpec(
        height=height, width=width, resize="stretch", interpolation="bicubic",
        mean=(0,) * 3, std=(1,) * 3,
    )  # fmt: skip


@pytest.fixture
def taught(bundle: Bundle) -> Iterator[Teacher]:
    opened = Teacher(bundle)
    yield opened
    opened.close()


def test_with_its_layers_visible_it_still_answers_bit_for_bit_as_the_bundle(
    bundle: Bundle, taught: Teacher, pixels: NDArray[np.int8]
) -> None:
    found = taught.ask(pixels)
    assert len(found.maps) == 4
    plain = run(bundle.read("image", "fp32"), pixels)["embedding"]
    assert found.embedding.tobytes() == plain.tobytes()


def test_a_transformer_hands_over_each_blocks_two_sums_without_the_class_token(
    bundle: Bundle, taught: Teacher, pixels: NDArray[np.int8]
) -> None:
    assert taught.shapes == (MapShape(32, 4, 4),) * 4  # two blocks; 8 of 32 pixels in a patch
    model = onnx.load_model_from_string(bundle.read("image", "fp32"))
    for name in taught.layers:
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, 1, None))
    raw = run(model, pixels)
    for name, found in zip(taught.layers, taught.ask(pixels).maps, strict=True):
        assert raw[name].shape == (5, 17, 32)
        for row in range(4):
            for column in range(4):
                token = raw[name][:, 1 + 4 * row + column]
                assert np.array_equal(found[:, :, row, column], token.astype(np.float16))


def test_of_many_layers_some_are_taken_evenly_with_the_last(bundle: Bundle) -> None:
    opened = Teacher(bundle, 2)
    everything = [
        name for name, _ in residuals(onnx.load_from_string(bundle.read("image", "fp32")))
    ]
    assert opened.layers == (everything[1], everything[3])
    opened.close()
    assert evenly(range(12), 6) == [1, 3, 5, 7, 9, 11]
    assert evenly(range(3), 6) == [0, 1, 2]
    assert evenly(range(5), 2) == [2, 4]
    assert evenly(range(5), 0) == []


def test_a_convolutional_network_hands_over_its_residual_sums_and_no_biases(
    room: Classroom,
) -> None:
    student = room.student("test_resnet")
    graph = graph_of(student.eval(), room.spec(student))
    found = residuals(graph)
    adds = [node for node in graph.graph.node if node.op_type == "Add"]
    blocks = [part for stage in range(1, 5) for part in getattr(student.backbone, f"layer{stage}")]
    assert len(found) == len(blocks) <= len(adds)
    assert all(len(shape) == 4 and shape[0] == 1 for _, shape in found)
    assert [shape[1] for _, shape in found] == sorted(
        (s[1] for _, s in found), key=[32, 48, 192, 96].index
    )
    assert found[-1][1][1] == student.map_channels[-1]


def test_sums_with_a_constant_are_no_layers() -> None:
    helper = onnx.helper
    shape: list[str | int | None] = ["N", 4, 8]
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Add", ["a", "bias"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["c"]),
        helper.make_node("ReduceMean", ["c", "axes"], ["mean"], keepdims=1),
        helper.make_node("Add", ["c", "mean"], ["d"]),  # of two shapes
        helper.make_node("Relu", ["d"], ["y"]),
    ]
    constants = [
        onnx.numpy_helper.from_array(np.ones((4, 8), np.float32), "bias"),
        onnx.numpy_helper.from_array(np.array([1]), "axes"),
    ]
    graph = helper.make_graph(
        nodes, "sums", [helper.make_tensor_value_info("x", 1, shape)],
        [helper.make_tensor_value_info("y", 1, shape)], constants,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    assert residuals(model) == [("c", (1, 4, 8))]


@pytest.mark.parametrize(
    ("tokens", "height", "width", "expected"),
    [
        (17, 32, 32, (4, 4)),  # with a class token
        (16, 32, 32, (4, 4)),  # without
        (33, 32, 64, (4, 8)),
        (197, 224, 224, (14, 14)),
        (49, 224, 224, (7, 7)),
        (10, 32, 32, (3, 3)),
        (14, 32, 32, (1, 14)),  # no grid at all
    ],
)
def test_tokens_are_laid_out_in_the_shape_of_the_picture(
    tokens: int, height: int, width: int, expected: tuple[int, int]
) -> None:
    grid = teacher._grid((1, tokens, 6), spec(height, width))
    assert (grid.channels, grid.rows, grid.columns) == (6, *expected)


@pytest.mark.parametrize("extra", [0, 1])
def test_each_place_of_a_map_holds_what_was_at_that_place(extra: int) -> None:
    """Values that say where they are: 100 * row + column; the class token would be seen."""
    rows, columns = 4, 8
    places = np.add.outer(100 * np.arange(rows), np.arange(columns)).astype(np.float32)
    tokens = np.concatenate([np.full(extra, -5e4, np.float32), places.ravel()])
    values = np.stack([tokens, tokens + 0.5], axis=1)[None]  # [1, L, 2]
    grid = teacher._grid(values.shape, spec(32, 64))
    found = teacher._pooled(values, grid, MapShape(2, rows, columns))
    assert np.array_equal(found[0, 0], places)
    assert np.array_equal(found[0, 1], places + 0.5)
    halved = teacher._pooled(values, grid, MapShape(2, 2, 4))
    assert np.array_equal(halved[0, 0], places.reshape(2, 2, 4, 2).mean(axis=(1, 3)))


def test_a_large_grid_is_kept_as_seven_by_seven(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teacher, "GRID", 2)
    opened = Teacher(bundle, 1)
    assert opened.shapes == (MapShape(32, 2, 2),)
    assert opened.ask(np.zeros((1, 3, 32, 32), np.int8)).maps[0].shape == (1, 32, 2, 2)
    opened.close()
    monkeypatch.undo()
    assert teacher.GRID == 7


def test_sentences_are_the_vectors_of_its_own_text_graph(taught: Teacher) -> None:
    texts = [f"a person number {index}" for index in range(70)]  # more than are encoded together
    found = taught.sentences(texts)
    assert found.shape == (70, 24)
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-5)
    assert taught.sentences(texts[66:67])[0] == pytest.approx(found[66], abs=1e-5)


@pytest.mark.parametrize("make", [tiny_window_bundle, tiny_detector_bundle])
def test_a_bundle_that_does_not_look_at_single_frames_cannot_teach(
    make: Callable[..., Any], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="expected a teacher that looks at one frame at a time"):
        Teacher(make(tmp_path / "bundle"))
