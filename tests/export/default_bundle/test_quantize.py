"""What of the image graph became INT8, what did not, and what it cost."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from calibration.frames import frames_of
from edge.model.bundle.read import Bundle, open_bundle
from export.default_bundle import accuracy, packages
from export.default_bundle.concepts import CONCEPT_AXES
from export.proof.agreement import row_cosines

pytestmark = pytest.mark.bundle

Q_DQ = ("QuantizeLinear", "DequantizeLinear")
FLOAT_LAYERS = ("stem", "block0.", "block1.", "head", "logits")


@pytest.fixture(scope="module")
def bundle(concepts_bundle: Path) -> Bundle:
    return open_bundle(concepts_bundle)


@pytest.fixture(scope="module")
def graphs(bundle: Bundle) -> dict[str, onnx.GraphProto]:
    return {
        precision: onnx.load_model_from_string(bundle.read("image", precision)).graph
        for precision in ("fp32", "int8")
    }


def inputs_that_are_quantized(graph: onnx.GraphProto, prefix: str) -> dict[str, list[bool]]:
    """For each convolution below ``prefix``: is the picture quantized, are the weights?"""
    makers = {output: node.op_type for node in graph.node for output in node.output}
    return {
        node.name.removeprefix(prefix): [
            makers.get(value) == "DequantizeLinear" for value in node.input[:2]
        ]
        for node in graph.node
        if node.op_type == "Conv" and node.name.startswith(prefix)
    }


def test_the_detector_is_untouched(graphs: dict[str, onnx.GraphProto]) -> None:
    def nodes(precision: str) -> Counter[Any]:
        return Counter(
            (node.op_type, node.name, *node.output)
            for node in graphs[precision].node
            if node.name.startswith("detector.")
        )

    assert nodes("int8") == nodes("fp32")
    assert len(nodes("int8")) > 200
    weights = {
        precision: {
            tensor.name: onnx.numpy_helper.to_array(tensor)
            for tensor in graphs[precision].initializer
            if tensor.name.startswith("detector.")
        }
        for precision in graphs
    }
    assert weights["int8"].keys() == weights["fp32"].keys()
    for name, array in weights["fp32"].items():
        assert np.array_equal(weights["int8"][name], array), name


def test_the_middle_of_the_classifier_is_int8_and_its_ends_are_float(
    graphs: dict[str, onnx.GraphProto],
) -> None:
    found = inputs_that_are_quantized(graphs["int8"], "classifier.")
    ends = {name for name in found if name.startswith(FLOAT_LAYERS)}
    assert len(ends) == 7
    assert {name for name, quantized in found.items() if quantized == [True, True]} == (
        found.keys() - ends
    )
    assert {name for name, (_, weight) in found.items() if not weight} == ends
    assert not any(any(q) for q in inputs_that_are_quantized(graphs["fp32"], "").values())


def test_weights_are_signed_per_channel_and_activations_unsigned(
    graphs: dict[str, onnx.GraphProto],
) -> None:
    constants = {tensor.name: tensor for tensor in graphs["int8"].initializer}
    for node in graphs["int8"].node:
        if node.op_type not in Q_DQ or node.input[0].endswith("bias_quantized"):
            continue
        zero_point = constants[node.input[2]]
        is_weight = node.input[0] in constants
        expected = onnx.TensorProto.INT8 if is_weight else onnx.TensorProto.UINT8
        assert zero_point.data_type == expected, node.name
        assert (np.prod(zero_point.dims, dtype=int) > 1) == is_weight, node.name


def test_no_pair_of_products_overflows_the_16_bits_of_a_cpu_without_vnni(
    graphs: dict[str, onnx.GraphProto],
) -> None:
    """VPMADDUBSW adds two products of an unsigned and a signed byte into a saturating int16."""
    constants = {tensor.name: tensor for tensor in graphs["int8"].initializer}
    dequantized = {
        node.output[0]: node.input[0]
        for node in graphs["int8"].node
        if node.op_type == "DequantizeLinear"
    }
    largest = []
    for node in graphs["int8"].node:
        grouped = any(a.name == "group" and a.i > 1 for a in node.attribute)
        if node.op_type != "Conv" or node.input[1] not in dequantized or grouped:
            continue
        weight = onnx.numpy_helper.to_array(constants[dequantized[node.input[1]]]).astype(int)
        assert weight.shape[1] % 2 == 0
        for sign in (1, -1):
            one_sign = np.maximum(sign * weight, 0)
            largest.append((one_sign[:, 0::2] + one_sign[:, 1::2]).max())
    assert len(largest) > 40
    assert 255 * max(largest) < 2**15
    assert max(largest) >= 127, "and the range that is left is used"


def test_int8_is_smaller_by_three_quarters_of_what_it_quantized(bundle: Bundle) -> None:
    sizes = {p: bundle.entry("image", p).size for p in ("fp32", "int8")}
    assert sizes["int8"] < 0.7 * sizes["fp32"]


def photographs(bundle: Bundle, member: Callable[..., Any]) -> np.ndarray:
    names = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")
    spec = bundle.manifest.image
    return np.concatenate(
        [frames_of(member(packages.SCIKIT_IMAGE, name), spec, fps=1) for name in names]
    )


def test_the_loss_in_the_bundle_is_the_one_measured_again(bundle: Bundle) -> None:
    """On the golden frames, a part of those that the figures are of."""
    golden = bundle.golden()["image"]
    found = accuracy.image_embeddings(
        onnx.load_model_from_string(bundle.read("image", "int8")), golden.inputs["pixels"]
    )
    again = row_cosines(found, golden.answers["embedding"])
    stated = json.loads(bundle.read("accuracy"))["variants"]["image.int8.onnx"]
    assert again.min() >= stated["min_cosine"] - 1e-3
    assert again.mean() == pytest.approx(stated["mean_cosine"], abs=2e-3)
    assert stated["min_cosine"] >= bundle.entry("image", "int8").min_cosine


def test_int8_sees_the_same_on_photographs(bundle: Bundle, member: Callable[..., Any]) -> None:
    """Calibration has seen them, so this is about blunders."""
    pixels = photographs(bundle, member)
    rows = {
        precision: accuracy.image_embeddings(
            onnx.load_model_from_string(bundle.read("image", precision)), pixels
        )
        for precision in ("fp32", "int8")
    }
    assert row_cosines(rows["int8"], rows["fp32"]).min() > 0.94
    loss = accuracy.concept_columns(rows["int8"], rows["fp32"])
    assert loss["top_concept_agreement"] == 1
    unlike = accuracy.concept_columns(rows["int8"][::-1], rows["fp32"])
    assert unlike["min_concept_cosine"] < 0.2, "photographs of different things"


def test_agreement_counts_rows_whose_strongest_concept_is_the_same() -> None:
    reference = np.zeros((4, CONCEPT_AXES + 3), np.float32)
    reference[range(4), [1, 2, 3, 4]] = 0.6
    reference[:, -1] = 0.8
    found = reference.copy()
    found[3, [4, 5]] = found[3, [5, 4]]
    loss = accuracy.concept_columns(found, reference)
    assert loss["top_concept_agreement"] == 0.75
    assert loss["min_concept_cosine"] == 0
    assert loss["mean_concept_cosine"] == 0.75


def test_two_scenes_without_evidence_agree() -> None:
    empty = np.zeros((1, CONCEPT_AXES + 3), np.float32)
    empty[0, -1] = 1
    assert accuracy.concept_columns(empty, empty)["min_concept_cosine"] == 1
