"""INT8 with Q/DQ: the nodes that TensorRT wants, the numbers of ONNX Runtime's own quantizer."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime.quantization
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

from edge.errors import ModelError
from export.graph.reshape import simplify
from export.quantize import qdq
from export.quantize.qdq import insert_qdq, layers
from export.quantize.qdq_rules import qdq_violations
from export.quantize.static import quantize_static

LINEAR = ["Conv", "MatMul", "Gemm"]


@pytest.fixture(scope="module")
def int8(vit: onnx.ModelProto, samples: list[dict[str, NDArray[np.int8]]]) -> onnx.ModelProto:
    return quantize_static(vit, samples)


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def makers(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    return {value: node for node in model.graph.node for value in node.output}


def numbers_of_layers(
    model: onnx.ModelProto,
) -> dict[str, tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
    """Scale of the activation, scales and stored numbers of the weight, by layer."""
    made, stored = makers(model), constants(model)
    found = {}
    for node in model.graph.node:
        if node.op_type in LINEAR and made[node.input[1]].op_type == "DequantizeLinear":
            activation, weight = (made[value].input for value in node.input[:2])
            found[node.name] = stored[activation[1]], stored[weight[1]], stored[weight[0]]
    return found


def perceptron(weight: np.ndarray) -> onnx.ModelProto:
    """``x`` float [N,K] times ``weight`` [K,M]."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weight"], ["y"], name="linear")],
        "perceptron",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", weight.shape[0]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", weight.shape[1]])],
        [numpy_helper.from_array(weight, "weight")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def has_vnni() -> bool:
    flags = Path("/proc/cpuinfo")
    return not flags.exists() or "vnni" in flags.read_text()


def test_the_tower_over_int8_pixels_is_the_tower(
    exported: onnx.ModelProto,
    vit: onnx.ModelProto,
    held_out: NDArray[np.int8],
    run: Callable[..., Any],
) -> None:
    u8 = (held_out.view(np.uint8) ^ 0x80).astype(np.float64)
    mean, std = np.array([122.77, 116.75, 104.09]), np.array([68.5, 66.63, 70.32])
    picture = ((u8 - mean[:, None, None]) / std[:, None, None]).astype(np.float32)
    np.testing.assert_allclose(run(vit, held_out), run(exported, picture), atol=1e-5)


def test_int8_stays_close_to_float_on_frames_it_was_not_calibrated_on(
    vit: onnx.ModelProto,
    int8: onnx.ModelProto,
    held_out: NDArray[np.int8],
    run: Callable[..., Any],
    worst: Callable[..., Any],
) -> None:
    expected = run(vit, held_out)
    assert worst(run(int8, held_out), expected) > 0.999
    # The frames differ more than that, so the figure says something.
    assert worst(np.roll(expected, 1, axis=0), expected) < 0.98


def test_every_linear_layer_reads_int8_and_nothing_else_does(int8: onnx.ModelProto) -> None:
    made = makers(int8)
    for node in int8.graph.node:
        dequantized = [
            value in made and made[value].op_type == "DequantizeLinear" for value in node.input
        ]
        expected = [node.op_type in LINEAR] * min(2, len(dequantized))
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            assert dequantized == expected + [False] * (len(dequantized) - 2), node.name
    # In each block q, k, v, out and two of the feed-forward, and two products of attention.
    assert sum(node.op_type in LINEAR for node in int8.graph.node) == 1 + 3 * (6 + 2) + 1


def test_the_graph_keeps_the_rules_of_tensorrt(int8: onnx.ModelProto) -> None:
    assert qdq_violations(int8) == []


def test_pixels_enter_as_they_are(int8: onnx.ModelProto) -> None:
    readers = [node for node in int8.graph.node if "pixels" in node.input]
    [entry] = [node for node in readers if node.op_type != "Shape"]  # that one asks for N
    assert entry.op_type == "DequantizeLinear"
    assert constants(int8)[entry.input[1]] == 1
    assert constants(int8)[entry.input[2]] == 0
    assert "Cast" not in {node.op_type for node in int8.graph.node}


def test_weights_leave_room_for_their_neighbours_and_biases_stay_float(
    vit: onnx.ModelProto, int8: onnx.ModelProto
) -> None:
    stored = constants(int8)
    dequantized = {
        node.input[0]: node.attribute[0].i
        for node in int8.graph.node
        if node.op_type == "DequantizeLinear" and node.attribute
    }
    assert len(dequantized) == 1 + 3 * 6 + 1
    for name, axis in dequantized.items():
        weight = stored[name].astype(int)
        rows = np.moveaxis(weight, axis, 0)  # [O, I, ...]
        largest = np.abs(rows).reshape(len(rows), -1).max(axis=1)
        if weight.ndim == 4:  # over pixels: each output channel uses its whole range
            assert (largest == 127).all()
            continue
        pairs = [
            np.maximum(sign * rows[:, 0::2], 0) + np.maximum(sign * rows[:, 1::2], 0)
            for sign in (1, -1)
        ]
        largest = np.maximum(largest, np.maximum(*pairs).max(axis=1))
        assert (largest >= 126).all()
        assert (largest <= 128).all()
    assert np.int32 not in {array.dtype.type for array in stored.values()}
    assert int8.ByteSize() < 0.45 * vit.ByteSize()


def test_the_numbers_are_those_of_onnxruntimes_own_quantizer(
    exported: onnx.ModelProto,
    held_out: NDArray[np.int8],
    run: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Float picture in, so that both start from the same graph; weights of 7 bits, as it has."""
    monkeypatch.setattr(qdq, "channel_ranges", lambda rows: plain_ranges(rows) * 127 / 64)
    model = simplify(exported)
    calibration = [{"picture": frame[None] / np.float32(64)} for frame in held_out[:8]]

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # the library has no types
        left = iter(calibration)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            return next(self.left, None)

    # Without the products of attention: it cannot give their second factor 7 bits.
    attention = [layer.node.name for layer in layers(model) if layer.weight is None]
    prepared = onnx.ModelProto()
    prepared.CopyFrom(model)
    add_pre_process_metadata(prepared)
    onnxruntime.quantization.quantize_static(
        prepared,
        tmp_path / "theirs.onnx",
        Reader(),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=LINEAR,
        per_channel=True,
        reduce_range=True,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        extra_options={
            "ActivationSymmetric": True,
            "WeightSymmetric": True,
            "QuantizeBias": False,
            "OpTypesToExcludeOutputQuantization": LINEAR,
        },
        nodes_to_exclude=attention,
    )
    theirs = onnx.load(tmp_path / "theirs.onnx")
    ours = quantize_static(model, calibration, keep_float=attention)
    expected = numbers_of_layers(theirs)
    found = numbers_of_layers(ours)
    assert len(found) == len(expected) == 1 + 3 * 6 + 1
    for name, (activation, scale, weight) in expected.items():
        assert found[name][0] == pytest.approx(activation, rel=1e-6)
        np.testing.assert_allclose(found[name][1], scale, rtol=1e-6)
        np.testing.assert_array_equal(found[name][2], weight)
    count = [Counter(node.op_type for node in each.graph.node) for each in (ours, theirs)]
    assert count[0] == count[1]


def plain_ranges(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """The largest weight of each channel [O, I, ...], and no room for neighbours."""
    return np.abs(rows).reshape(len(rows), -1).max(axis=1)


@pytest.fixture
def loud() -> tuple[onnx.ModelProto, np.ndarray, np.ndarray]:
    """A layer whose products are as large as they can be, its input and the true answer."""
    rng = np.random.default_rng(2)
    weight = np.where(rng.random((256, 16)) < 0.9, 1, -1).astype(np.float32)
    value = rng.uniform(0.8, 1, (8, 256)).astype(np.float32)
    return perceptron(weight), value, value @ weight


@pytest.fixture
def loud_error(
    loud: tuple[onnx.ModelProto, NDArray[np.float32], NDArray[np.float32]],
    run: Callable[..., Any],
    run_openvino: Callable[..., Any],
) -> dict[str, np.float32]:
    """The largest relative error of each optimized runtime on the loud layer."""
    model, value, expected = loud
    quantized = quantize_static(model, [{"x": value}])
    return {
        "exact": np.abs(run(quantized, value) / expected - 1).max(),
        "onnxruntime": np.abs(run(quantized, value, exact=False) / expected - 1).max(),
        "openvino": np.abs(run_openvino(quantized, value) / expected - 1).max(),
    }


def test_int8_is_right_on_every_cpu(loud_error: dict[str, np.float32]) -> None:
    assert max(loud_error.values()) < 0.01, loud_error


@pytest.mark.skipif(has_vnni(), reason="this CPU multiplies bytes without saturation")
def test_plain_ranges_are_wrong_on_a_cpu_without_vnni(
    monkeypatch: pytest.MonkeyPatch, request: Any
) -> None:
    monkeypatch.setattr(qdq, "channel_ranges", plain_ranges)
    error = request.getfixturevalue("loud_error")
    assert error["exact"] < 0.01
    assert max(error.values()) > 0.05, error


def test_both_runtimes_agree_with_exact_arithmetic(
    int8: onnx.ModelProto,
    held_out: NDArray[np.int8],
    run: Callable[..., Any],
    run_openvino: Callable[..., Any],
    worst: Callable[..., Any],
) -> None:
    expected = run(int8, held_out)
    assert worst(run(int8, held_out, exact=False), expected) > 0.9999
    assert worst(run_openvino(int8, held_out), expected) > 0.999


def test_a_layer_that_is_kept_is_untouched(
    vit: onnx.ModelProto, samples: list[dict[str, NDArray[np.int8]]]
) -> None:
    names = [layer.node.name for layer in layers(vit)]
    conv = next(name for name in names if "Conv" in name)
    kept = quantize_static(vit, samples, keep_float=[conv, names[-1]])
    nodes = {node.name: node for node in kept.graph.node}
    for name in (conv, names[-1]):
        [before] = [node for node in vit.graph.node if node.name == name]
        assert nodes[name] == before
    assert "Cast" in {node.op_type for node in kept.graph.node}, "the pixels of the convolution"
    assert len(layers(vit)) - len(layers(kept)) == 0
    with pytest.raises(ModelError, match=r"names of layers to keep in float, found \['nonsense'\]"):
        insert_qdq(vit, {}, ["nonsense"])


def test_all_layers_kept_is_the_float_graph(
    vit: onnx.ModelProto,
    samples: list[dict[str, NDArray[np.int8]]],
    held_out: NDArray[np.int8],
    run: Callable[..., Any],
) -> None:
    kept = quantize_static(vit, samples, [layer.node.name for layer in layers(vit)])
    np.testing.assert_array_equal(run(kept, held_out), run(vit, held_out))


def test_the_same_samples_give_the_same_file(
    vit: onnx.ModelProto, int8: onnx.ModelProto, samples: list[dict[str, NDArray[np.int8]]]
) -> None:
    assert quantize_static(vit, samples).SerializeToString() == int8.SerializeToString()


def test_a_dead_channel_and_a_dead_input_have_a_scale_that_float16_can_hold() -> None:
    weight = np.ones((4, 3), np.float32)
    weight[:, 1] = 0
    quantized = quantize_static(perceptron(weight), [{"x": np.zeros((1, 4), np.float32)}])
    scales = [array for name, array in constants(quantized).items() if name.endswith(".scale")]
    assert len(scales) == 2
    assert all((scale.astype(np.float16) > 0).all() for scale in scales)


def test_samples_that_say_nothing_are_refused() -> None:
    model = perceptron(np.ones((4, 3), np.float32))
    with pytest.raises(ModelError, match="expected calibration samples, found none"):
        quantize_static(model, [])
    with pytest.raises(ModelError, match=r"finite values .* found NaN or infinity in x"):
        quantize_static(model, [{"x": np.full((1, 4), np.nan, np.float32)}])
