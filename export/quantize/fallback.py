"""Accuracy first: whole blocks go back to float until the INT8 graph passes its gate.

A block is what lies between two normalizations, so attention is one and a feed-forward is one; it
goes back as a whole, for a layer in INT8 between float neighbours saves little. The number of
normalizations on the longest way from the input numbers the blocks: no names are read, so this
holds for every exporter and family. A graph without normalizations has one block per layer.
"""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import onnx

from export.quantize.qdq import insert_qdq, layers
from export.quantize.ranges import Sample, measure_ranges

_log = logging.getLogger(__name__)

_NORMALIZATIONS = ("LayerNormalization", "GroupNormalization", "InstanceNormalization")

# From a quantized graph to its worst cosine against float.
Gate = Callable[[onnx.ModelProto], float]


@dataclass(frozen=True, slots=True)
class Block:
    """Layers that are quantized together.

    Attributes:
        nodes: Their names, in the order of the graph.
        cosine: Worst cosine with this block in INT8 and all others in float.
    """

    nodes: tuple[str, ...]
    cosine: float


@dataclass(frozen=True, slots=True, eq=False)
class Fallback:
    """What came out.

    Attributes:
        model: The INT8 graph; the last one that was tried.
        cosine: Its worst cosine.
        passed: Whether that is enough.
        in_float: Blocks that stayed in float, the most sensitive first.
        blocks: How many there are.
    """

    model: onnx.ModelProto
    cosine: float
    passed: bool
    in_float: tuple[Block, ...]
    blocks: int

    def __str__(self) -> str:
        if not self.in_float:
            return f"all {self.blocks} blocks in INT8, worst cosine {self.cosine:.4f}"
        each = ", ".join(
            f"{block.nodes[0]} ({len(block.nodes)} layers, {block.cosine:.4f} alone)"
            for block in self.in_float
        )
        return (
            f"{len(self.in_float)} of {self.blocks} blocks in float, worst cosine "
            f"{self.cosine:.4f}: {each}"
        )


def quantize_to_gate(
    model: onnx.ModelProto,
    samples: Sequence[Sample],
    gate: Gate,
    min_cosine: float,
    max_in_float: float = 0.5,
    keep_float: Collection[str] = (),
    ranges: Mapping[str, float] | None = None,
) -> Fallback:
    """Quantize all of ``model``, then keep blocks in float until ``gate`` gives ``min_cosine``.

    Blocks are ranked once, by the loss that each causes alone, and only if the whole graph fails.
    So a graph that passes costs one call of ``gate``, another one call per block more.

    Args:
        model: Float graph, simplified.
        samples: Inputs by name that fix the ranges.
        gate: Worst cosine of a quantized graph; deterministic.
        min_cosine: What is enough.
        max_in_float: Share of the blocks that may stay in float; beyond it INT8 saves little.
        keep_float: Names of nodes that stay in float whatever happens.
        ranges: Of what the layers read, where training has found them; else they are measured.

    Raises:
        ModelError: See ``quantize_static``.
    """
    ranges = measure_ranges(model, samples) if ranges is None else ranges
    always = set(keep_float) & {layer.node.name for layer in layers(model)}
    groups = [
        left for group in blocks_of(model) if (left := tuple(n for n in group if n not in always))
    ]
    quantized = insert_qdq(model, ranges, always)
    cosine = gate(quantized)
    in_float: list[Block] = []
    if cosine < min_cosine:
        everything = {node for group in groups for node in group}
        ranked = sorted(
            (
                Block(group, gate(insert_qdq(model, ranges, everything - set(group) | always)))
                for group in groups
            ),
            key=lambda block: block.cosine,  # equal ones keep the order of the graph
        )
        for block in ranked[: int(len(groups) * max_in_float)]:
            in_float.append(block)
            kept = always | {node for block in in_float for node in block.nodes}
            quantized = insert_qdq(model, ranges, kept)
            cosine = gate(quantized)
            _log.info("%s in float: worst cosine %.4f", block.nodes[0], cosine)
            if cosine >= min_cosine:
                break
    return Fallback(quantized, cosine, cosine >= min_cosine, tuple(in_float), len(groups))


def blocks_of(model: onnx.ModelProto) -> list[tuple[str, ...]]:
    """Return the names of the layers of ``model`` block by block, in the order of the graph."""
    depths: dict[str, int] = {}
    by_node: dict[str, int] = {}
    for node in model.graph.node:
        depth = max((depths.get(value, 0) for value in node.input), default=0)
        by_node[node.name] = depth
        after = depth + (node.op_type in _NORMALIZATIONS)
        depths.update(dict.fromkeys(node.output, after))
    names = [layer.node.name for layer in layers(model)]
    if max(depths.values(), default=0) == 0:
        return [(name,) for name in names]
    found: dict[int, list[str]] = {}
    for name in names:
        found.setdefault(by_node[name], []).append(name)
    return [tuple(found[depth]) for depth in sorted(found)]
