"""Multiply-accumulates and parameters, against counts by hand and published ones."""

import re

import numpy as np
import onnx
import pytest
import qdq_graph
import timm
import torch
from onnx import TensorProto, helper
from tiny_bundle import tiny_image_model
from torch import nn

from edge.errors import ModelError
from export.families.base import Part
from export.graph.macs import Work, count
from export.graph.reshape import simplify
from export.graph.to_onnx import to_onnx
from export.quantize.static import quantize_static


def exported(module: nn.Module, side: int = 32) -> onnx.ModelProto:
    pixels = torch.randn(1, 3, side, side)
    return to_onnx(
        Part("image", module, {"pixels": pixels}, ("out",), {"pixels": {0: "N"}, "out": {0: "N"}})
    )


class Attention(nn.Module):
    """Patches of 8 x 8 into 16 tokens of 24, one head of attention, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 24, 8, 8)
        self.qkv = nn.Linear(24, 72)
        self.out = nn.Linear(24, 10)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        tokens = self.patch(pixels).flatten(2).transpose(1, 2)
        query, key, value = self.qkv(tokens).chunk(3, dim=-1)
        mixed = (query @ key.transpose(1, 2)).softmax(-1) @ value
        return self.out(mixed.mean(1))


def test_a_convolution_is_counted_by_what_each_number_sees() -> None:
    # 16 x 16 places, 8 channels, 3 x 3 of 3 channels.
    work = count(exported(nn.Conv2d(3, 8, 3, stride=2, padding=1)))
    assert work == Work(16 * 16 * 8 * 27, 8 * 27 + 8)


def test_groups_see_only_their_own_channels() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 1, bias=False), nn.Conv2d(8, 8, 5, groups=4))
    # Without padding 28 x 28 places are left.
    macs = 32 * 32 * 8 * 3 + 28 * 28 * 8 * 25 * 2
    assert count(exported(module)) == Work(macs, 8 * 3 + 8 * 25 * 2 + 8)


def test_a_classifier_is_one_product_for_each_weight() -> None:
    module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 50))
    assert count(exported(module)) == Work(150, 200)


def test_products_of_two_computed_values_count_and_have_no_parameters() -> None:
    patch, linear, attention = 16 * 24 * 192, 16 * 24 * 72, 2 * 16 * 16 * 24
    module = Attention()
    work = count(exported(module))
    assert work.macs == patch + linear + attention + 24 * 10
    assert work.parameters == sum(tensor.numel() for tensor in module.parameters())


def test_a_published_figure_is_met() -> None:
    """EfficientNet-Lite0 at 224 x 224: 0.40 GMAC, 4.65 M parameters (timm)."""
    network = timm.create_model("efficientnet_lite0", pretrained=False).eval()
    work = count(exported(network, 224))
    layers, norms = by_hooks(network, 224)
    assert work.macs == layers
    # The published figure has two operations for each number that a norm gives.
    assert (work.macs + 2 * norms) / 1e9 == pytest.approx(0.399, abs=0.001)
    # A bias for each channel is left of the two numbers of its norm.
    assert work.parameters / 1e6 == pytest.approx(4.652, rel=0.01)


def by_hooks(network: nn.Module, side: int) -> tuple[int, int]:
    """Multiply-accumulates of convolutions and linear layers, and numbers that norms give."""
    found = [0, 0]

    def noted(module: nn.Module, _: object, result: torch.Tensor) -> None:
        if isinstance(module, nn.Conv2d | nn.Linear):
            found[0] += result.numel() * module.weight[0].numel()
        elif isinstance(module, nn.BatchNorm2d):
            found[1] += result.numel()

    hooks = [module.register_forward_hook(noted) for module in network.modules()]
    with torch.no_grad():
        network(torch.zeros(1, 3, side, side))
    for hook in hooks:
        hook.remove()
    return found[0], found[1]


def test_an_int8_graph_is_counted_by_its_float_layers() -> None:
    patch, linear = 16 * 32 * (16 * 8 * 8), 16 * 32 * 32
    attention, after = 2 * 16 * 16 * 32, 32 * 64 + 64 * 48
    parameters = 32 * (16 * 8 * 8) + 32 + 3 * 32 * 32 + 32 * 64 + 64 + 64 * 48
    work = count(qdq_graph.qdq_graph())
    assert work == Work(patch + 3 * linear + attention + after, parameters)


def test_a_quantized_export_counts_as_its_float_one() -> None:
    model = simplify(exported(Attention()))
    random = np.random.default_rng(0)
    samples = [{"pixels": random.normal(size=(1, 3, 32, 32)).astype(np.float32)} for _ in range(4)]
    quantized = quantize_static(model, samples)
    assert sum(node.op_type == "DequantizeLinear" for node in quantized.graph.node) > 3
    assert count(quantized) == count(model)


def test_a_weight_that_two_layers_share_counts_once() -> None:
    layer = nn.Conv2d(3, 3, 1)
    work = count(exported(nn.Sequential(layer, nn.ReLU(), layer)))
    assert work == Work(2 * 32 * 32 * 9, 12)


def test_a_graph_whose_batch_has_another_name_is_counted_for_one_input() -> None:
    model = onnx.load_from_string(tiny_image_model())
    assert count(model) == Work(12, 12 + 4)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    assert count(model) == Work(12, 12 + 4)


def test_a_shape_that_depends_on_the_input_is_named() -> None:
    model = exported(nn.Conv2d(3, 8, 3))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[2].dim_param = "rows"
    del model.graph.value_info[:]
    with pytest.raises(ModelError, match=r"expected a fixed shape of out at Conv .* depends on"):
        count(model)


@pytest.mark.parametrize("operator", ["ConvTranspose", "Einsum"])
def test_what_would_be_left_out_of_the_count_is_refused(operator: str) -> None:
    attributes = {"equation": "nchw,cdhw->ncw"} if operator == "Einsum" else {}
    nodes = [helper.make_node(operator, ["pixels", "weight"], ["out"], name="odd", **attributes)]
    weight = helper.make_tensor("weight", TensorProto.FLOAT, [3, 4, 1, 1], [0.0] * 12)
    extents = [1, 3, 1] if operator == "Einsum" else [1, 4, 1, 1]
    graph = helper.make_graph(
        nodes,
        "odd",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, 3, 1, 1])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, extents)],
        [weight],
    )
    with pytest.raises(ModelError, match=re.escape(f"found {operator} odd, whose work is not")):
        count(helper.make_model(graph))
