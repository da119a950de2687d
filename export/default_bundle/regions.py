"""Builds the ``regions`` graph: boxes of the detector with a vector in the concept space each.

In CenterNet ("Objects as Points", Zhou et al. 2019), an object is a place where the heat of its
class is not smaller than at the eight places around it. The network gives the distances from that
place to the four edges of the object's box. The strongest ``COUNT`` places become regions. The
vector of a region holds the evidence of its classes on the COCO axes and zero elsewhere. So its dot
product with a sentence is a sum of evidence too, on the same scale as that of the whole picture.
"""

import numpy as np
from onnx import TensorProto

from export.default_bundle.centernet import CLASSES, STRIDE
from export.default_bundle.concepts import DIM
from export.default_bundle.graph import Extent, Graph
from export.default_bundle.space import heat_evidence

COUNT = 100
"""Number of regions in a picture, Q; the original network gives as many."""


def add_regions(graph: Graph, heat: str, edges: str, size: Extent) -> tuple[str, str]:
    """Add the nodes that choose regions to ``graph``.

    Args:
        graph: Graph that gets the nodes.
        heat: Value name, float [1,80,h,w], 0..1.
        edges: Value name, float [1,4,h,w]: distances to left, top, right, bottom in pixels.
        size: H and W of the pixels.

    Returns:
        Two value names. The boxes: float [1,Q,4], centre x, centre y, width and height, 0..1. The
        regions: float [1,Q,1083]. The strongest comes first.
    """
    around = graph.node(
        "MaxPool", "around", [heat], kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1]
    )
    is_peak = graph.node("Not", "peaks.not", [graph.node("Less", "lower", [heat, around])])
    kept = graph.node("Cast", "peaks.float", [is_peak], to=TensorProto.FLOAT)
    peaks = graph.node("Mul", "peaks", [heat, kept])
    flat = _constant(graph, "flat", [1, CLASSES, -1])
    by_place = graph.node("Reshape", "peaks.flat", [peaks, flat])  # [1,80,hw]
    best = graph.node("ReduceMax", "best", [by_place], axes=[1], keepdims=0)  # [1,hw]
    place = _top(graph, best)  # [Q]
    heats = graph.node("Gather", "heats", [by_place, place], axis=2)  # [1,80,Q]
    rows = graph.node("Transpose", "heats.rows", [heats], perm=[0, 2, 1])
    evidence = heat_evidence(graph, rows)
    column = _constant(graph, "others", [0, 0, 0, 0, 0, DIM - CLASSES])
    found = graph.node("Pad", "regions", [evidence, column])
    return _boxes(graph, edges, place, size), found


def _top(graph: Graph, best: str) -> str:
    count = _constant(graph, "count", [COUNT])
    # TopK also gives the heat, but of the best class only; ``heats`` looks up all classes.
    _, places = graph.two("TopK", "top", [best, count], axis=1)
    return graph.node("Squeeze", "place", [places, _constant(graph, "batch", [0])])


def _boxes(graph: Graph, edges: str, place: str, size: Extent) -> str:
    columns = _constant(graph, "columns", size[1] // STRIDE)
    stride = graph.constant("stride", np.array(STRIDE, np.float32))
    x, y = (
        graph.node(
            "Mul",
            f"{name}.pixels",
            [
                graph.node(
                    "Cast", name, [graph.node(op, f"{name}.place", [place, columns])],
                    to=TensorProto.FLOAT,
                ),
                stride,
            ],
        )
        for name, op in (("x", "Mod"), ("y", "Div"))
    )  # fmt: skip
    flat = _constant(graph, "edges.shape", [4, -1])
    near = graph.node(
        "Gather", "near", [graph.node("Reshape", "edges.flat", [edges, flat]), place], axis=1
    )  # [4,Q]
    left, top, right, bottom = (
        graph.node("Gather", f"edge.{row}", [near, _constant(graph, f"row.{row}", [row])], axis=0)
        for row in range(4)
    )
    half = graph.constant("half", np.array(0.5, np.float32))
    parts = []
    for name, at, before, after, extent in (
        ("x", x, left, right, size[1]),
        ("y", y, top, bottom, size[0]),
    ):
        scale = graph.constant(f"{name}.extent", np.array(extent, np.float32))
        shift = graph.node("Mul", f"{name}.shift", [
            graph.node("Sub", f"{name}.shift.raw", [after, before]), half])  # fmt: skip
        centre = graph.node("Add", f"{name}.centre.pixels", [at, shift])
        length = graph.node("Add", f"{name}.length.pixels", [before, after])
        parts.append((
            graph.node("Div", f"{name}.centre", [centre, scale]),
            graph.node("Div", f"{name}.length", [length, scale]),
        ))  # fmt: skip
    (cx, width), (cy, height) = parts
    last = _constant(graph, "box.axis", [2])
    rows = [  # [1,Q,1] each
        graph.node("Unsqueeze", f"box.{count}", [value, last])
        for count, value in enumerate((cx, cy, width, height))
    ]
    return graph.node("Concat", "boxes", rows, axis=2)


def _constant(graph: Graph, name: str, value: int | list[int]) -> str:
    return graph.constant(name, np.array(value, np.int64))
