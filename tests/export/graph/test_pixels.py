"""The normalization folded away: compared with the float graph on the same pictures."""

from typing import Any

import numpy as np
import onnx
import pytest
from conv_graph import BIAS, RNG, SIDE, WEIGHT, conv_model, model_of, run
from onnx import TensorProto, helper

from edge.errors import ModelError
from export.graph.pixels import fold_pixels

MEAN, STD = (122.77, 116.75, 104.09), (68.5, 66.63, 70.32)
# What the graph computes in float32 and what the device computes: rounding apart, the same.
EXACT = 1e-5


def video_model(*first: onnx.NodeProto, **attributes: Any) -> onnx.ModelProto:
    """[N,T,3,H,W] to frames, to one convolution, as X-CLIP's video tower does it."""
    nodes = [
        *first,
        helper.make_node("Reshape", [first[-1].output[0] if first else "picture", "flat"], ["f"]),
        helper.make_node("Conv", ["f", "weight", "bias"], ["found"], name="stem", **attributes),
    ]
    constants = {
        "flat": np.array([-1, 3, SIDE, SIDE]), "weight": WEIGHT, "bias": BIAS,
    }  # fmt: skip
    return model_of(nodes, ["N", 4, 3, SIDE, SIDE], constants)


def pictures(*shape: int) -> np.ndarray:
    """uint8 [...,3,H,W] with black and white borders, where a wrong padding shows."""
    u8 = RNG.integers(0, 256, shape, np.uint8)
    u8[..., 0, :], u8[..., -1, :], u8[..., 0], u8[..., -1] = 0, 255, 255, 0
    return u8


def difference(model: onnx.ModelProto, folded: onnx.ModelProto, u8: np.ndarray) -> np.ndarray:
    """|float graph on the normalized picture - folded graph on int8 pixels|, by place."""
    columns = (3, 1, 1)
    mean, std = np.reshape(MEAN, columns), np.reshape(STD, columns)
    expected = run(model, ((u8 - mean) / std).astype(np.float32))
    return np.abs(run(folded, (u8 ^ 0x80).view(np.int8)) - expected)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"strides": [4, 4], "auto_pad": "VALID"},
        {"pads": [1, 1, 1, 1]},
        {"pads": [0, 1, 2, 1], "strides": [2, 2], "dilations": [2, 1]},
        {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
    ],
    ids=str,
)
def test_a_folded_convolution_gives_what_the_normalized_picture_gave(
    attributes: dict[str, Any], bias: bool
) -> None:
    model = conv_model(bias=bias, **attributes)
    folded = fold_pixels(model, "picture", MEAN, STD)
    [pixels] = folded.graph.input
    assert (pixels.name, pixels.type.tensor_type.elem_type) == ("pixels", TensorProto.INT8)
    assert difference(model, folded, pictures(2, 3, SIDE, SIDE)).max() < EXACT


def test_the_comparison_notices_another_mean() -> None:
    model = conv_model()
    folded = fold_pixels(model, "picture", (MEAN[0] + 0.5, *MEAN[1:]), STD)
    assert difference(model, folded, pictures(2, 3, SIDE, SIDE)).min() > EXACT


def test_a_border_of_grey_is_not_a_border_of_the_mean_colour() -> None:
    """A bias alone is exact inside and wrong at the border; so the map is not for show."""
    model = conv_model(pads=[1, 1, 1, 1])
    grey = (128 - np.array(MEAN)) / STD
    naive = fold_pixels(conv_model(), "picture", MEAN, STD)  # the shift as a bias
    naive.graph.node[-1].attribute.append(helper.make_attribute("pads", [1, 1, 1, 1]))
    wrong = difference(model, naive, pictures(1, 3, SIDE, SIDE))
    assert wrong[..., 1:-1, 1:-1].max() < EXACT
    assert wrong[..., 0, :].max() > np.abs(grey).min()


@pytest.mark.parametrize("attributes", [{}, {"pads": [1, 1, 1, 1]}], ids=["unpadded", "padded"])
def test_a_video_is_folded_behind_its_reshape(attributes: dict[str, list[int]]) -> None:
    model = video_model(**attributes)
    folded = fold_pixels(model, "picture", MEAN, STD)
    assert difference(model, folded, pictures(2, 4, 3, SIDE, SIDE)).max() < EXACT
    cast = next(node for node in folded.graph.node if node.op_type == "Cast")
    assert cast.input[0] == "f", "the pixels are int8 up to the convolution"


def test_a_cast_on_the_way_is_no_obstacle() -> None:
    model = video_model(helper.make_node("Cast", ["picture"], ["c"], to=TensorProto.FLOAT))
    folded = fold_pixels(model, "picture", MEAN, STD)
    assert difference(model, folded, pictures(1, 4, 3, SIDE, SIDE)).max() < EXACT


def test_what_asks_for_the_shape_reads_no_pixel() -> None:
    nodes = [
        helper.make_node("Conv", ["picture", "weight"], ["c"], name="stem"),
        helper.make_node("Shape", ["picture"], ["shape"]),
        helper.make_node("Cast", ["shape"], ["extents"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["extents"], ["largest"], keepdims=0),
        helper.make_node("Add", ["c", "largest"], ["found"]),
    ]
    model = model_of(nodes, ["N", 3, SIDE, SIDE], {"weight": WEIGHT})
    folded = fold_pixels(model, "picture", MEAN, STD)
    assert difference(model, folded, pictures(2, 3, SIDE, SIDE)).max() < EXACT


def test_a_weight_that_others_share_stays_theirs() -> None:
    nodes = [
        helper.make_node("Conv", ["picture", "weight"], ["c"], name="stem"),
        helper.make_node("ReduceSum", ["weight"], ["sum"], keepdims=0),
        helper.make_node("Add", ["c", "sum"], ["found"]),
    ]
    model = model_of(nodes, ["N", 3, SIDE, SIDE], {"weight": WEIGHT})
    before = model.SerializeToString()
    folded = fold_pixels(model, "picture", MEAN, STD)
    assert difference(model, folded, pictures(1, 3, SIDE, SIDE)).max() < EXACT
    assert model.SerializeToString() == before


def one_node(
    op: str, shape: tuple[Any, ...] = ("N", 3, SIDE, SIDE), **attributes: Any
) -> onnx.ModelProto:
    return model_of([helper.make_node(op, ["picture"], ["found"], name="first", **attributes)], shape, {})  # fmt: skip


def two_readers() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Conv", ["picture", "weight"], [f"c{branch}"], name=f"branch{branch}")
        for branch in range(2)
    ]
    nodes.append(helper.make_node("Add", ["c0", "c1"], ["found"]))
    return model_of(nodes, ["N", 3, SIDE, SIDE], {"weight": WEIGHT})


def computed_weight() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Relu", ["weight"], ["w"]),
        helper.make_node("Conv", ["picture", "w"], ["found"], name="stem"),
    ]
    return model_of(nodes, ["N", 3, SIDE, SIDE], {"weight": WEIGHT})


def channels_last() -> onnx.ModelProto:
    """Three columns pose as channels."""
    nodes = [
        helper.make_node("Transpose", ["picture"], ["t"], perm=[0, 3, 2, 1]),
        helper.make_node("Conv", ["t", "weight"], ["found"], name="stem"),
    ]
    return model_of(nodes, ["N", 3, SIDE, 3], {"weight": WEIGHT})


def grouped() -> onnx.ModelProto:
    conv = helper.make_node("Conv", ["picture", "weight"], ["found"], name="stem", group=3)
    return model_of([conv], ["N", 3, SIDE, SIDE], {"weight": WEIGHT[:3, :1]})


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (one_node("Relu"), "a convolution to read the picture, found Relu first"),
        (two_readers(), "one convolution .* found Conv branch0, Conv branch1; fuse"),
        (one_node("Identity"), "found an output of the graph"),
        (one_node("Relu", ("N", 4, SIDE, SIDE)), "expected 3 channels as in the mean, found 4"),
        (one_node("Relu", ("N", 3, "H", "W")), r"of fixed size, found FLOAT \[0, 3, 0, 0\]"),
        (one_node("Relu", (3, SIDE, SIDE)), r"expected a float32 picture \[N,3,H,W\]"),
        (computed_weight(), "w: expected a constant, found a value that is computed"),
        (channels_last(), "found them mixed with rows or columns"),
        (grouped(), "expected Conv stem to have one group"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_folded_is_refused_by_name(model: onnx.ModelProto, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        fold_pixels(model, "picture", MEAN, STD)


def test_an_input_that_is_not_there_and_a_deviation_of_zero_are_refused() -> None:
    with pytest.raises(ModelError, match="expected an input image, found picture"):
        fold_pixels(conv_model(), "image", MEAN, STD)
    with pytest.raises(ModelError, match="a deviation above 0 for each channel"):
        fold_pixels(conv_model(), "picture", MEAN, (1, 0, 1))
