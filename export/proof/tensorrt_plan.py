"""Shows the plan that TensorRT's compiler makes of a graph: kernels and data types, without a GPU.

TensorRT for RTX builds for a named GPU on a machine without one, with the ONNX parser and the graph
compiler of TensorRT. So the plan shows whether INT8 survives all the way into the kernels, and
where it is lost in silence. It does not show a Jetson's speed, nor the kernels that TensorRT itself
would choose there. The engine is built and never run.
"""

import re
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing import get_context
from types import MappingProxyType

import onnx

from edge.errors import EngineUnavailable, ModelError
from edge.model.bundle.onnx_file import check_self_contained
from edge.model.engines.tensorrt_builder import build_engine

# The nearest to the Orin's own, SM87, for which TensorRT for RTX does not build.
CAPABILITY = "SM86"
CAPABILITIES = ("SM80", "SM86", "SM89", "SM120", "SM121")

_LAYERS = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
# Kernel types of generated code: they add, normalize and convert around the layers.
_AROUND = {"kgen", "shape_call"}
_ATTENTION = "_gemm_mha"

_LINE = re.compile(
    r"Name: (?P<name>.*?), LayerType: (?P<type>\w+), Inputs: \[(?P<inputs>.*?)\]"
    r"(?:, Constants: \[(?P<constants>.*?)\])?, Outputs: \[(?P<outputs>.*)\], TacticName: .*"
    r"Metadata: (?P<metadata>.*)"
)
# Extents stand in brackets too; they are removed, so that the lists above end at the right bracket.
_EXTENTS = re.compile(r"(?:Dimensions|Strides|StrideOrder): \[[^\]]*\], ")
_DATA_TYPE = re.compile(r"Datatype: (\w+)")
_ONNX_NODE = re.compile(r"\[ONNX Layer: ([^\]]*)\]")


@dataclass(frozen=True, slots=True)
class Kernel:
    """One kernel of a plan.

    Attributes:
        name: The builder's name for it.
        type: ``gemm``, ``correlation`` (convolution), ``kgen`` (generated code) and so on.
        inputs: Data types of the inputs, as TensorRT writes them (``Int8``, ``Half``, ``Float``).
        constants: Data types of weights, scales and the like.
        outputs: Data types of the outputs.
        nodes: Names of the ONNX nodes that it computes, wholly or in part.
    """

    name: str
    type: str
    inputs: tuple[str, ...]
    constants: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[str, ...]

    @property
    def is_int8(self) -> bool:
        """Whether the kernel multiplies int8 by int8."""
        return [*self.inputs, *self.constants][:2] == ["Int8", "Int8"]


@dataclass(frozen=True, slots=True)
class EnginePlan:
    """A built engine as its builder describes it.

    Attributes:
        builder: Name and version of the builder.
        capability: Compute capability that the engine is built for, such as ``SM86``.
        kernels: Kernels in their order.
        layers: Names of the ONNX nodes with a weight (Conv, ConvTranspose, Gemm, MatMul).
        parse_s: Seconds to read the graph.
        build_s: Seconds to build.
        engine_bytes: Size of the engine, bytes.
    """

    builder: str
    capability: str
    kernels: tuple[Kernel, ...]
    layers: tuple[str, ...]
    parse_s: float
    build_s: float
    engine_bytes: int

    @property
    def int8_layers(self) -> tuple[str, ...]:
        """Layers with a weight whose kernels all multiply int8 by int8."""
        kernels = self._kernels_of_layers()
        return tuple(
            name
            for name in self.layers
            if kernels[name] and all(kernel.is_int8 for kernel in kernels[name])
        )

    @property
    def float_layers(self) -> tuple[str, ...]:
        """The other layers with a weight."""
        int8 = set(self.int8_layers)
        return tuple(name for name in self.layers if name not in int8)

    @property
    def fused_attention(self) -> int:
        """Number of kernels that compute a whole attention."""
        return sum(_ATTENTION in kernel.name for kernel in self.kernels)

    @property
    def kinds(self) -> Mapping[str, int]:
        """Number of kernels by type and data types: ``gemm Int8 x Int8 -> Half: 49``."""
        return MappingProxyType(Counter(_kind(kernel) for kernel in self.kernels))

    def _kernels_of_layers(self) -> dict[str, list[Kernel]]:
        return {
            name: [
                kernel
                for kernel in self.kernels
                if kernel.type not in _AROUND and name in kernel.nodes
            ]
            for name in self.layers
        }


def plan(model: bytes, capability: str = CAPABILITY) -> EnginePlan:
    """Build ``model`` in a process of its own and return the builder's description of it.

    So a compiler that crashes on a graph does not end the export, and its gigabytes are free again
    at once.

    Args:
        model: An ONNX model without external data.
        capability: One of ``CAPABILITIES``.

    Raises:
        EngineUnavailable: TensorRT for RTX is not installed, or does not start.
        ModelError: TensorRT cannot read the graph (the message names the nodes), cannot build it,
            or died.
    """
    if find_spec("tensorrt_rtx") is None:
        raise EngineUnavailable(
            "expected the package tensorrt_rtx, found none; install it with: "
            "pip install tensorrt-rtx (Linux on x86-64, 95 MB), or build without the plan"
        )
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(_build, model, capability).result()
        except BrokenProcessPool as exc:
            raise ModelError(
                "tensorrt_rtx: expected an engine, found its process dead; memory may be short "
                "(about four times the graph's size is needed), or the graph crashes its compiler"
            ) from exc


def parse_layers(log: str) -> tuple[Kernel, ...]:
    """Read the builder's list of kernels.

    Raises:
        ModelError: There is no list, or a line of it has another form.
    """
    lines = [line for line in log.splitlines() if line.startswith("Name: ") and "LayerType" in line]
    matches = [_LINE.fullmatch(_EXTENTS.sub("", line)) for line in lines]
    if not matches or None in matches:
        wrong = next((line for line, m in zip(lines, matches, strict=True) if not m), "no list")
        raise ModelError(
            f"expected the builder's list of kernels, found: {wrong[:200]}; this version of "
            "TensorRT writes it differently"
        )
    return tuple(
        Kernel(
            name=match["name"],
            type=match["type"],
            inputs=tuple(_DATA_TYPE.findall(match["inputs"])),
            constants=tuple(_DATA_TYPE.findall(match["constants"] or "")),
            outputs=tuple(_DATA_TYPE.findall(match["outputs"])),
            nodes=tuple(_ONNX_NODE.findall(match["metadata"])),
        )
        for match in matches
        if match
    )


def _build(model: bytes, capability: str) -> EnginePlan:
    import tensorrt_rtx  # noqa: PLC0415 - only here, in a process that may die

    graph = _with_names(model)
    build = build_engine(
        tensorrt_rtx, graph.SerializeToString(), capability=capability, detailed=True
    )
    return EnginePlan(
        builder=f"tensorrt_rtx {tensorrt_rtx.__version__}",
        capability=capability,
        kernels=parse_layers(build.layers),
        layers=_layers(graph.graph),
        parse_s=build.parse_s,
        build_s=build.build_s,
        engine_bytes=len(build.engine),
    )


def _with_names(model: bytes) -> onnx.ModelProto:
    """Return the model with a unique name for every node: the builder identifies nodes by name."""
    check_self_contained(model, "the graph")
    graph: onnx.ModelProto = onnx.load_from_string(model)
    taken: set[str] = set()
    for index, node in enumerate(graph.graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}_{index}"
        taken.add(node.name)
    return graph


def _layers(graph: onnx.GraphProto) -> tuple[str, ...]:
    fixed = {tensor.name for tensor in graph.initializer}
    layers = []
    for node in graph.node:  # in topological order, as ONNX demands
        given = [name for name in node.input if name]
        if fixed.issuperset(given):
            fixed.update(node.output)
        elif node.op_type in _LAYERS and not fixed.isdisjoint(given[:2]):
            layers.append(node.name)
    return tuple(layers)


def _kind(kernel: Kernel) -> str:
    outputs = ", ".join(kernel.outputs)
    if _ATTENTION in kernel.name:
        return f"fused attention {' x '.join(kernel.inputs)} -> {outputs}"
    if kernel.type in _AROUND:
        return kernel.type
    return f"{kernel.type} {' x '.join((kernel.inputs + kernel.constants)[:2])} -> {outputs}"
