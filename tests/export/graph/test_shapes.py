"""Targets of reshapes in exported graphs of CLIP-like families."""

import collections
from typing import Any

import pytest

FAMILIES = ["clip", "siglip2", "chinese_clip", "vision_text_dual_encoder", "open_clip"]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_batch_is_all_that_reshapes_leave_open(exported: Any, family: str) -> None:
    for graph in exported(family).graphs.values():
        constants = {tensor.name for tensor in graph.graph.initializer}
        constants |= {n.output[0] for n in graph.graph.node if n.op_type == "Constant"}
        reshapes = [node for node in graph.graph.node if node.op_type == "Reshape"]
        assert reshapes
        assert sum(node.input[1] not in constants for node in reshapes) <= 1
        kinds = collections.Counter(node.op_type for node in graph.graph.node)
        assert kinds["Shape"] <= 10, "a shape is computed in every layer again"
