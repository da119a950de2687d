"""The graphs of the bundle against the original networks in their own frameworks.

``tests/golden`` has the answers of torch, transformers and TensorFlow.js and how they were made;
none of the three is needed here.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from pictures import picture
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from edge.model.bundle.read import open_bundle
from export.default_bundle import centernet, packages, towers
from export.default_bundle.graph import Graph

pytestmark = pytest.mark.bundle

GOLDEN = Path(__file__).parents[2] / "golden"


def reference(name: str) -> dict[str, Any]:
    return json.loads((GOLDEN / f"{name}.json").read_text())


def pixels(height: int, width: int) -> np.ndarray:
    """int8 [1,3,H,W] of the picture that the references were made with."""
    return (picture(height, width).transpose(2, 0, 1) ^ 0x80).view(np.int8)[None]


@pytest.fixture(scope="module")
def image(concepts_bundle: Path) -> onnx.ModelProto:
    return onnx.load_model_from_string(open_bundle(concepts_bundle).read("image", "fp32"))


def assert_heat(found: np.ndarray, expected: dict[str, Any]) -> None:
    """``found`` [80,h,w] against TensorFlow.js: best of each class, and single points."""
    rows, columns = expected["shape"][1:3]
    assert found.shape == (80, rows, columns)
    assert np.abs(found.max((1, 2)) - expected["peaks"]).max() < 1e-5
    points = np.array([found[0, row, column] for row, column, _ in expected["person"]])
    assert np.abs(points - [value for *_, value in expected["person"]]).max() < 1e-6
    assert np.ptp(expected["peaks"]) > 0.1, "the picture tells classes apart"


def test_the_classifier_answers_as_torch_does(
    image: onnx.ModelProto, run: Callable[..., Any]
) -> None:
    expected = reference("efficientnet_lite0")
    *_, logits = run(image, {"pixels": pixels(288, 512)}, inner=("classifier.logits",))
    assert np.abs(logits[0, ::10] - expected["every_tenth"]).max() < 1e-4
    assert logits[0].argmax() == expected["argmax"]


def test_one_pixel_beside_is_another_answer(
    image: onnx.ModelProto, run: Callable[..., Any]
) -> None:
    expected = reference("efficientnet_lite0")
    shifted = np.roll(pixels(288, 512), 1, axis=3)
    *_, logits = run(image, {"pixels": shifted}, inner=("classifier.logits",))
    assert np.abs(logits[0, ::10] - expected["every_tenth"]).max() > 0.1


def test_the_detector_answers_as_tensorflow_does(
    image: onnx.ModelProto, run: Callable[..., Any]
) -> None:
    *_, heat = run(image, {"pixels": pixels(288, 512)}, inner=("detector.tower_0.keypoints",))
    assert_heat(heat[0], reference("centernet")["sizes"]["288x512"])


def test_the_detector_answers_as_tensorflow_does_at_the_size_it_was_published_for(
    run: Callable[..., Any], member: Callable[..., Any]
) -> None:
    graph, size = Graph(), (512, 512)
    source = centernet.read_graph_model(
        member(packages.HUMAN, "centernet.json").read_bytes(),
        member(packages.HUMAN, "centernet.bin").read_bytes(),
    )
    heat = centernet.heat_map(graph, source, "pixels", size)
    model = graph.model(
        "detector", {"pixels": (TensorProto.INT8, ["N", 3, *size])}, {heat: ["N", 80, 128, 128]}
    )
    [found] = run(model, {"pixels": pixels(*size)})
    assert_heat(found[0], reference("centernet")["sizes"]["512x512"])


@pytest.fixture(scope="module")
def sentences(member: Callable[..., Any]) -> tuple[dict[str, Any], list[list[int]]]:
    expected = reference("minilm")
    tokenizer = Tokenizer.from_str(member(packages.MINILM, "tokenizer.json").read_text())
    tokenizer.no_truncation()
    tokenizer.no_padding()
    ids = [encoding.ids for encoding in tokenizer.encode_batch(expected["sentences"])]
    return expected, ids


def test_sentences_have_the_token_ids_of_transformers(
    sentences: tuple[dict[str, Any], list[list[int]]],
) -> None:
    expected, ids = sentences
    assert ids == expected["input_ids"]


@pytest.mark.parametrize("length", [19, 64])
def test_the_text_tower_answers_as_transformers_does(
    run: Callable[..., Any],
    member: Callable[..., Any],
    sentences: tuple[dict[str, Any], list[list[int]]],
    length: int,
) -> None:
    expected, ids = sentences
    model = towers.sentence_graph(load_file(member(packages.MINILM, "model.safetensors")))
    [found] = run(model, {"input_ids": towers.pad(ids, length)})
    assert np.abs(found[:, ::8] - expected["every_eighth"]).max() < 1e-5
    assert np.abs(found @ found.T - expected["cosines"]).max() < 1e-5


def test_the_text_tower_in_float16_points_the_same_way(
    run: Callable[..., Any],
    concepts_bundle: Path,
    sentences: tuple[dict[str, Any], list[list[int]]],
) -> None:
    expected, ids = sentences
    model = onnx.load_model_from_string(open_bundle(concepts_bundle).read("text", "fp16"))
    *_, found = run(model, {"input_ids": towers.pad(ids, 64)}, inner=("tower.sentence",))
    eighth = np.array(expected["every_eighth"])
    lengths = np.linalg.norm(eighth, axis=1) * np.linalg.norm(found[:, ::8], axis=1)
    assert ((eighth * found[:, ::8]).sum(1) / lengths).min() > 0.99999


def test_boxes_are_those_that_tensorflow_would_decode(
    member: Callable[..., Any], run: Callable[..., Any]
) -> None:
    """CenterNet's own decoding, written down naively: peaks of the heat, edges read off there."""
    source = centernet.read_graph_model(
        member(packages.HUMAN, "centernet.json").read_bytes(),
        member(packages.HUMAN, "centernet.bin").read_bytes(),
    )
    graph = Graph()
    heat_name, edges_name = centernet.heat_and_edges(graph, source, "pixels", (288, 512))
    maps = graph.model(
        "maps",
        {"pixels": (TensorProto.INT8, ["N", 3, 288, 512])},
        {heat_name: ["N", 80, 72, 128], edges_name: ["N", 4, 72, 128]},
    )
    frame = pixels(288, 512)
    heat, edges = (output[0] for output in run(maps, {"pixels": frame}))
    boxes, regions = run(towers.regions_graph(source), {"pixels": frame})
    padded = np.pad(heat, ((0, 0), (1, 1), (1, 1)), constant_values=-1)
    around = np.max(
        [padded[:, y : y + 72, x : x + 128] for y in range(3) for x in range(3)], axis=0
    )
    peaks = np.where(heat >= around, heat, 0)
    order = np.argsort(-peaks.max(axis=0).ravel(), kind="stable")[:20]
    for row, place in enumerate(order):
        y, x = divmod(int(place), 128)
        left, top, right, bottom = edges[:, y, x]
        x0, y0, x1, y1 = 4 * x - left, 4 * y - top, 4 * x + right, 4 * y + bottom
        expected = [(x0 + x1) / 2 / 512, (y0 + y1) / 2 / 288, (x1 - x0) / 512, (y1 - y0) / 288]
        assert boxes[0, row] == pytest.approx(expected, abs=1e-4)
        evidence = np.maximum(peaks[:, y, x] - 0.1, 0) / 0.9
        assert regions[0, row, :80] == pytest.approx(evidence, abs=1e-4)
    assert not regions[0, :, 80:].any()
