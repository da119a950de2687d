"""The teacher, and what it said, kept on disk."""

import errno
import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from edge.errors import ConfigError, ModelError
from edge.manifest import ImageSpec
from export.distill import answers
from export.distill.answers import answer
from export.distill.pictures import prepare
from export.distill.teacher import MapShape, Teacher, _grid, _pooled, evenly, residuals

SPEC = ImageSpec(
    height=32, width=48, resize="stretch", interpolation="area", mean=(0, 0, 0), std=(1, 1, 1)
)


@pytest.fixture
def asked(teacher, monkeypatch):
    """A teacher that counts how many pictures it was shown."""
    opened = Teacher(teacher)
    shown = []
    ask = opened.ask
    monkeypatch.setattr(opened, "ask", lambda pixels: (shown.append(len(pixels)), ask(pixels))[1])
    yield opened, shown
    opened.close()


@pytest.fixture
def prepared(pictures, tmp_path):
    return prepare([pictures], tmp_path / "set")


def test_the_teacher_says_what_its_own_graph_says(teacher):
    pixels = np.random.default_rng(0).integers(-128, 128, (3, 3, 32, 32), dtype=np.int8)
    opened = Teacher(teacher)
    found = opened.ask(pixels)
    plain = onnxruntime.InferenceSession(teacher.read("image", "fp32"))
    (expected,) = plain.run(["embedding"], {"pixels": pixels})
    assert np.array_equal(found.embedding, expected)
    # Two blocks with two sums each; a class token before the 4 x 4 places.
    assert opened.shapes == (MapShape(32, 4, 4),) * 4
    assert [one.shape for one in found.maps] == [(3, 32, 4, 4)] * 4
    opened.close()


def test_a_map_keeps_its_places_and_loses_its_class_token():
    tokens = np.zeros((1, 1 + 24, 2), np.float32)
    tokens[0, 1:, 0] = np.arange(24)
    tokens[0, 0] = 1000
    grid = _grid(tokens.shape, SPEC)
    assert grid == MapShape(2, 4, 6)
    found = _pooled(tokens, grid, MapShape(2, 2, 3))
    assert found[0, 0].tolist() == [[3.5, 5.5, 7.5], [15.5, 17.5, 19.5]]


def test_only_sums_of_two_computed_values_of_one_shape_are_layers():
    def value(name, shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    nodes = [
        helper.make_node("Relu", ["pixels"], ["a"]),
        helper.make_node("Neg", ["a"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["sum"]),
        helper.make_node("Add", ["sum", "bias"], ["biased"]),
        helper.make_node("GlobalAveragePool", ["biased"], ["small"]),
        helper.make_node("Add", ["biased", "small"], ["broadcast"]),
    ]
    bias = onnx.numpy_helper.from_array(np.ones((1, 3, 1, 1), np.float32), "bias")
    graph = helper.make_graph(
        nodes, "g", [value("pixels", ["N", 3, 4, 4])], [value("broadcast", ["N", 3, 4, 4])], [bias]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    assert residuals(model) == [("sum", (1, 3, 4, 4))]


def test_layers_are_taken_evenly_and_the_last_one_always():
    assert evenly(range(12), 6) == [1, 3, 5, 7, 9, 11]
    assert evenly(range(7), 3) == [2, 4, 6]
    assert evenly(range(2), 6) == [0, 1]


def test_a_teacher_that_takes_clips_is_refused(teacher):
    manifest = teacher.manifest.model_copy(update={"frame_class": "C"})
    with pytest.raises(ConfigError, match=r"one frame at a time \(class F\), found class C"):
        Teacher(type(teacher)(teacher.path, manifest, teacher.hash))


def test_each_variation_is_asked_once_and_a_broken_off_run_goes_on(asked, prepared, tmp_path):
    opened, shown = asked
    everything = range(len(prepared))
    answer(opened, prepared, everything, range(1), 0, tmp_path)
    assert sum(shown) == len(prepared)
    cache = answer(opened, prepared, everything, range(3), 0, tmp_path)
    assert sum(shown) == 3 * len(prepared)
    answer(opened, prepared, everything, range(3), 0, tmp_path)
    assert sum(shown) == 3 * len(prepared)
    assert not np.array_equal(cache[5, 0].embedding, cache[5, 2].embedding)
    answers.block_path(cache.folder, 1, 0).unlink()
    answer(opened, prepared, everything, range(3), 0, tmp_path)
    assert sum(shown) == 3 * len(prepared) + min(64, len(prepared))


def test_another_seed_or_other_pictures_are_asked_anew(asked, prepared, tmp_path):
    opened, _ = asked
    folders = {
        answer(opened, prepared, members, range(1), seed, tmp_path).folder
        for members, seed in ((range(8), 0), (range(8), 1), (range(9), 0))
    }
    assert len(folders) == 3


def test_a_full_disk_is_told_and_leaves_nothing_half_written(
    asked, prepared, tmp_path, monkeypatch
):
    opened, _ = asked
    answer(opened, prepared, range(8), range(1), 0, tmp_path)

    def full(path, data):
        with path.open("wb") as file:
            file.write(data[:100])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ModelError, match=r"No space left on device; free some space or choose"):
        answer(opened, prepared, range(8), range(2), 0, tmp_path)
    files = [path.name for path in tmp_path.rglob("variation*")]
    assert files == ["variation000-000000.safetensors"]


def test_a_damaged_answer_is_told(asked, prepared, tmp_path):
    opened, _ = asked
    cache = answer(opened, prepared, range(8), range(1), 0, tmp_path)
    answers.block_path(cache.folder, 0, 0).write_bytes(b"damaged")
    with pytest.raises(ModelError, match="remove the file and start again"):
        answer(opened, prepared, range(8), range(1), 0, tmp_path)[3, 0]
