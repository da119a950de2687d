"""Inserts the quantizers of the quantization-aware phase, which trains through INT8 rounding.

NNCF traces the student and puts a quantizer before each input of each layer that
``export.quantize.qdq`` turns to INT8, in the same strict form: signed, symmetric, one scale for an
activation, one per output channel for a weight, 7 bits for the second factor of a product. Scales
of activations are learned, except those of second factors; scales of weights follow from the
weights, by the rule of ``export.quantize.weight_ranges``. So the trained network rounds as the
graph of ``insert_qdq`` does; ``ranges_of`` gives it the learned ranges.

``nncf.quantize`` itself would quantize more places, unsigned after a ReLU and per channel before
depthwise convolutions, which is a graph that TensorRT does not run in INT8. NNCF's own quantizers
compile C++ when they first run, which needs a compiler and takes over a minute on a 2-core machine;
the quantizers of this module are plain torch.

Batch normalizations are frozen in this phase, as they are in the graph.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Final

import onnx
import torch
from torch import Tensor, nn

from edge.errors import ModelError
from edge.system.command_line import needing
from export.distill.students import Student
from export.quantize.qdq import FACTOR_LEVELS, LEVELS, layers

# Smallest scale, as in ``export.quantize.qdq``.
_SMALLEST: Final = 2.0**-24
_PRODUCTS: Final = ("matmul", "bmm", "__matmul__")
_LAYERS: Final = ("conv2d", "linear", *_PRODUCTS)


class ActivationQuantizer(nn.Module):
    """Rounds a value by a learned scale; while it observes, it only records the largest magnitude.

    The gradient of the scale is that of LSQ (Esser et al., ICLR 2020, equations 1 to 3 and 2.2).

    With fewer levels than a byte has, the scale stays that of the largest observed value. A graph
    clips at the end of the byte and not at the end of the levels, so a scale that learned to clip
    would overflow the range that the levels leave room for.

    Args:
        levels: Largest magnitude as an integer.
    """

    def __init__(self, levels: int) -> None:
        super().__init__()
        self._levels = levels
        self.largest = nn.Parameter(torch.zeros(()), requires_grad=levels == LEVELS)
        self.observing = False

    def forward(self, value: Tensor) -> Tensor:
        if self.observing:
            with torch.no_grad():
                self.largest.copy_(torch.maximum(self.largest, value.abs().max()))
            return value
        step = _scaled(self.largest.abs(), (value.numel() * self._levels) ** -0.5) / self._levels
        step = step.clamp(min=_SMALLEST)
        clipped = (value / step).clamp(-LEVELS - 1, LEVELS)  # as QuantizeLinear does
        return (clipped + (clipped.round() - clipped).detach()) * step

    @property
    def range(self) -> float:
        """Largest magnitude that is not clipped."""
        return abs(float(self.largest.detach()))


class WeightQuantizer(nn.Module):
    """Rounds a weight [O, ...] by a scale per output channel; the gradient ignores the rounding.

    Args:
        plain: Whether the largest weight of a channel decides its scale. Otherwise sums of two
            neighbours decide it too (``export.quantize.weight_ranges``).
    """

    def __init__(self, *, plain: bool) -> None:
        super().__init__()
        self._plain = plain

    def forward(self, weight: Tensor) -> Tensor:
        with torch.no_grad():
            wide = weight.detach().reshape(len(weight), weight.shape[1], -1)
            largest = wide.abs().amax(dim=(1, 2)) if self._plain else channel_ranges(wide)
            scale = (largest / LEVELS).clamp(min=_SMALLEST)
            zero = torch.zeros_like(scale, dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -LEVELS, LEVELS)


def _scaled(value: Tensor, share: float) -> Tensor:
    """Return ``value``, with its gradient multiplied by ``share``."""
    return value * share + (value - value * share).detach()


def channel_ranges(weight: Tensor) -> Tensor:
    """Ranges [O] of a weight [O, I, P], as ``export.quantize.weight_ranges`` computes them.

    This one computes on the device of the weight.
    """
    if weight.shape[1] % 2:
        weight = nn.functional.pad(weight, (0, 0, 0, 1))
    ranges = weight.abs().amax(dim=(1, 2))
    for one_sign in (weight.clamp(min=0), (-weight).clamp(min=0)):
        pairs = one_sign[:, 0::2] + one_sign[:, 1::2]
        ranges = torch.maximum(ranges, pairs.amax(dim=(1, 2)))
    return ranges


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """A layer of the traced student.

    Attributes:
        weight: Shape of the constant weight; empty for a product of two computed values.
        inputs: Quantizers of the computed inputs; None for the picture, which is bytes already.
    """

    weight: tuple[int, ...]
    inputs: tuple[ActivationQuantizer | None, ...]


def insert_quantizers(student: Student, example: Tensor) -> list[Site]:
    """Put quantizers into ``student``, and return its layers in the order in which they run.

    Afterwards a call of the student rounds; ``Student.embed`` does not.

    Args:
        student: Student in eval mode.
        example: Normalised pictures, float32 [2, 3, H, W].

    Raises:
        ConfigError: NNCF is not installed.
    """
    with needing({"nncf"}, "distils", "distill"):
        from nncf.torch.function_hook import (  # noqa: PLC0415 takes seconds
            build_graph,
            register_pre_function_hook,
            wrap_model,
        )
    wrap_model(student)
    graph = build_graph(student, example)
    shared: dict[tuple[int, int], ActivationQuantizer] = {}
    sites = []
    for index in sorted(graph.nodes):
        meta = graph.nodes[index]["meta"]
        if getattr(meta, "func_name", "") not in _LAYERS:
            continue
        edges = sorted(
            ((edge["meta"].input_port, edge["meta"].output_port, source)
             for source, _, edge in graph.in_edges(index, data=True)),
        )  # fmt: skip
        weight: tuple[int, ...] = ()
        inputs: list[ActivationQuantizer | None] = []
        for port, output, source in edges[:2]:
            kind = graph.nodes[source]["type"].value
            if kind == "const":
                weight = tuple(graph.nodes[source]["meta"].shape)
                quantizer: nn.Module = WeightQuantizer(plain=None in inputs)
            elif kind == "input":
                inputs.append(None)
                continue
            else:
                levels = FACTOR_LEVELS if port == 1 else LEVELS
                quantizer = shared.setdefault((source, output), ActivationQuantizer(levels))
                inputs.append(quantizer)
            register_pre_function_hook(student, meta.op_name, port, quantizer)
        sites.append(Site(weight, tuple(inputs)))
    return sites


def observe(student: Student, sites: Sequence[Site], pictures: Iterable[Tensor]) -> None:
    """Set the first ranges from batches of pictures [B, 3, H, W], as post-training does."""
    quantizers = [q for site in sites for q in site.inputs if q is not None]
    for quantizer in quantizers:
        quantizer.observing = True
    with torch.no_grad():
        for batch in pictures:
            student(batch)
    for quantizer in quantizers:
        quantizer.observing = False


def in_run_order(model: onnx.ModelProto, traced: onnx.ModelProto) -> onnx.ModelProto:
    """Copy of ``model`` with its nodes in the order of ``traced``, from which it was simplified.

    ONNX Runtime writes parallel branches, such as a block and its shortcut, in an order of its own.
    A fused node keeps the name of the last value.
    """
    places = {name: place for place, node in enumerate(traced.graph.node) for name in node.output}
    nodes = list(model.graph.node)
    readers: dict[str, list[int]] = {}
    missing = []
    made = {name for node in nodes for name in node.output}
    for index, node in enumerate(nodes):
        after = max((places.get(name, -1) for name in node.input), default=-1)
        for name in node.output:  # a node that ONNX Runtime added follows its inputs
            places.setdefault(name, after)
        computed = [name for name in node.input if name in made]
        missing.append(len(computed))
        for name in computed:
            readers.setdefault(name, []).append(index)
    ordered = onnx.ModelProto()
    ordered.CopyFrom(model)
    del ordered.graph.node[:]
    ready = [(places[nodes[i].output[0]], i) for i, count in enumerate(missing) if not count]
    heapify(ready)
    while ready:
        node = nodes[heappop(ready)[1]]
        ordered.graph.node.append(node)
        for index in (index for name in node.output for index in readers.get(name, ())):
            missing[index] -= 1
            if not missing[index]:
                heappush(ready, (places[nodes[index].output[0]], index))
    return ordered


def ranges_of(sites: Sequence[Site], model: onnx.ModelProto) -> dict[str, float]:
    """Learned range of each value that a layer of the exported student reads, by its name.

    Args:
        sites: Layers of the traced student, in the order in which they run.
        model: Graph of the student, simplified, ``pixels`` folded, in the order in which it runs
            (``in_run_order``).

    Raises:
        ModelError: The graph has other layers than the traced student.
    """
    found = layers(model)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    theirs = [sorted(shapes[layer.weight]) if layer.weight else [] for layer in found]
    ours = [sorted(site.weight) for site in sites]
    if ours != theirs:
        raise ModelError(
            f"expected the {len(ours)} layers of the traced student in its graph, found "
            f"{len(theirs)} others; this is a slip of the export, report it"
        )
    ranges: dict[str, float] = {}
    for site, layer in zip(sites, found, strict=True):
        for value, quantizer in zip(layer.activations, site.inputs, strict=True):
            known = quantizer.range if quantizer is not None else float(LEVELS)
            ranges[value] = max(known, ranges.get(value, 0.0))
    return ranges
