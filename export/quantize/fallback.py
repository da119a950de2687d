"""Makes an INT8 graph that passes its gate: whole blocks go back to float until it does.

A block is what lies between two normalizations: attention is one block, a feed-forward is another.
A block goes back as a whole, because a single layer in INT8 between float neighbours saves little.
The number of normalizations on the longest way from the input numbers the blocks. No names are
read, so this holds for every exporter and family. A graph without normalizations has one block for
each layer.
"""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import onnx

from export.quantize.qdq import insert_qdq, layers
from export.quantize.ranges import Sample, measure_ranges

_log = logging.getLogger(__name__)

_NORMALIZATIONS = ("LayerNormalization", "GroupNormalization", "InstanceNormalization")


@dataclass(frozen=True, slots=True)
class Judged:
    """Result of measuring one quantized graph.

    Attributes:
        cosine: Worst cosine to the float graph; blocks are ranked by it.
        passed: Whether the graph passes every check of its gate.
    """

    cosine: float
    passed: bool


# Measures a quantized graph; deterministic.
Judge = Callable[[onnx.ModelProto], Judged]


@dataclass(frozen=True, slots=True)
class Block:
    """Layers that are quantized together.

    Attributes:
        nodes: Names of the layers, in the order of the graph.
        cosine: Worst cosine of the graph with this block in INT8 and all others in float.
    """

    nodes: tuple[str, ...]
    cosine: float


@dataclass(frozen=True, slots=True, eq=False)
class Fallback:
    """An INT8 graph and the blocks of it that stayed in float.

    Attributes:
        model: INT8 graph that was tried last.
        cosine: Worst cosine of ``model``.
        passed: Whether ``model`` passes every check of its gate.
        in_float: Blocks that stayed in float, the most sensitive first.
        blocks: Count of all blocks.
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
    judge: Judge,
    max_in_float: float = 0.5,
    keep_float: Collection[str] = (),
    ranges: Mapping[str, float] | None = None,
) -> Fallback:
    """Quantize all of ``model``, then keep blocks in float until ``judge`` lets the graph pass.

    Blocks are ranked once, by the loss that each causes alone, and only if the whole graph fails.
    So a graph that passes costs one call of ``judge``. Any other costs one more call for each block
    to rank them, and one for each block that goes back.

    Args:
        model: Float graph, simplified.
        samples: Inputs by name that fix the ranges.
        judge: Function that measures a quantized graph.
        max_in_float: Share of the blocks that may stay in float, 0..1; with more, INT8 saves
            little.
        keep_float: Names of nodes that always stay in float.
        ranges: Largest magnitude of each value that a layer reads, where training has found them;
            None measures them.

    Raises:
        ModelError: As ``quantize_static``.
    """
    ranges = measure_ranges(model, samples) if ranges is None else ranges
    always = set(keep_float) & {layer.node.name for layer in layers(model)}
    groups = [
        left for group in blocks_of(model) if (left := tuple(n for n in group if n not in always))
    ]
    quantized = insert_qdq(model, ranges, always)
    judged = judge(quantized)
    in_float: list[Block] = []
    if not judged.passed:
        everything = {node for group in groups for node in group}
        alone = (insert_qdq(model, ranges, everything - set(group) | always) for group in groups)
        ranked = sorted(
            (Block(group, judge(one).cosine) for group, one in zip(groups, alone, strict=True)),
            key=lambda block: block.cosine,  # equal blocks keep the order of the graph
        )
        for block in ranked[: int(len(groups) * max_in_float)]:
            in_float.append(block)
            kept = always | {node for block in in_float for node in block.nodes}
            quantized = insert_qdq(model, ranges, kept)
            judged = judge(quantized)
            _log.info("%s in float: worst cosine %.4f", block.nodes[0], judged.cosine)
            if judged.passed:
                break
    return Fallback(quantized, judged.cosine, judged.passed, tuple(in_float), len(groups))


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
