"""Exported parts of CLIP-like families: operators, names, weights, and errors."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from edge.errors import ModelError
from export.graph.to_onnx import to_onnx

FAMILIES = ["clip", "siglip2", "chinese_clip", "vision_text_dual_encoder", "open_clip"]


@pytest.mark.parametrize("family", FAMILIES)
def test_graphs_hold_standard_operators_named_as_the_part_names_them(
    exported: Any, family: str
) -> None:
    for role, graph in exported(family).graphs.items():
        part = exported(family).part(role)
        assert [value.name for value in graph.graph.input] == list(part.inputs)
        assert [value.name for value in graph.graph.output] == list(part.outputs)
        assert {opset.domain for opset in graph.opset_import} == {""}
        assert graph.opset_import[0].version == 18
        for value in (*graph.graph.input, *graph.graph.output):
            first = value.type.tensor_type.shape.dim[0]
            assert first.dim_param == part.dynamic[value.name][0]
        assert not any(tensor.external_data for tensor in graph.graph.initializer)
        names = [node.name for node in graph.graph.node]
        assert len(set(names)) == len(names)


def test_a_graph_holds_its_own_tower_and_not_the_other(exported: Any) -> None:
    weights = {
        role: sum(np.prod(tensor.dims) for tensor in graph.graph.initializer)
        for role, graph in exported("clip").graphs.items()
    }
    model = exported("clip").checkpoint.model
    towers = {
        "image": (model.vision_model, model.visual_projection),
        "text": (model.text_model, model.text_projection),
    }
    for role, modules in towers.items():
        own = sum(p.numel() for module in modules for p in module.parameters())
        assert weights[role] == pytest.approx(own, rel=0.02)


def test_two_exports_are_the_same_bytes(exported: Any) -> None:
    again = to_onnx(exported("clip").part("text"), 18)
    assert again.SerializeToString() == exported("clip").graphs["text"].SerializeToString()


def test_what_cannot_be_exported_names_the_graph(exported: Any) -> None:
    part = exported("clip").part("image")

    class Sorted(torch.nn.Module):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return torch.linalg.svd(pixels)[1]

    broken = type(part)(
        **{name: getattr(part, name) for name in part.__slots__} | {"module": Sorted()}
    )
    with pytest.raises(ModelError, match="image: expected a module that ONNX opset 18 can express"):
        to_onnx(broken)


def test_the_graph_of_a_moved_bundle_still_loads(exported: Any, tmp_path: Path) -> None:
    path = tmp_path / "text.onnx"
    path.write_bytes(exported("chinese_clip").graphs["text"].SerializeToString())
    onnx.checker.check_model(str(path), full_check=True)
