"""Builds engines: with TensorRT 10.3 to 11 on a device, with TensorRT for RTX without a device.

The network is strongly typed: the graph alone decides which parts run in INT8 (by its Q/DQ nodes)
and in FP16. So no flags and no calibrators are needed, which TensorRT 11 removed. TensorRT's module
is an argument, because its name differs.
"""

import functools
import time
from dataclasses import dataclass
from typing import Any

from edge.errors import EngineUnavailable, ModelError

# Largest number of rows of one run where the graph does not fix it; longer batches run in pieces.
MAX_ROWS = 8
# Largest and usual extent of any other open axis, such as the sentences of a head.
MAX_EXTENT = 256
_USUAL_EXTENT = 8
# Part of a cached engine's key; raise the number when this module builds something else.
RECIPE = "strongly-typed/1"

_PROBLEMS = ("ERROR", "INTERNAL_ERROR")
_SHOWN = 3

# Advice about operators that TensorRT lacks, or accepts in one form only.
_STATIC = "quantize it with static Q/DQ around float operators"
_SYMMETRIC = "quantize symmetrically to int8 (docs/tensorrt.md)"
_NEEDED = {
    "ConvInteger": _STATIC,
    "DynamicQuantizeLinear": _STATIC,
    "MatMulInteger": _STATIC,
    "QLinearConv": _STATIC,
    "QLinearMatMul": _STATIC,
    "DequantizeLinear": _SYMMETRIC,
    "QuantizeLinear": _SYMMETRIC,
    "Resize": "resize before the graph, or without antialias",
}
_OTHERWISE = "export it by operators that TensorRT has, or give the graph to another engine"


@dataclass(frozen=True, slots=True)
class Build:
    """Built engine.

    Attributes:
        engine: Serialized engine.
        layers: List of kernels as the builder prints it, one a line; empty unless ``detailed``.
        parse_s: Time to read the graph, seconds.
        build_s: Time to build the engine, seconds.
    """

    engine: bytes
    layers: str
    parse_s: float
    build_s: float


def build_engine(
    trt: Any, model: bytes, *, capability: str | None = None, detailed: bool = False
) -> Build:
    """Build ``model`` with the TensorRT module ``trt``.

    Args:
        trt: Module ``tensorrt`` or ``tensorrt_rtx``.
        model: ONNX model without external data.
        capability: Member of RTX's ``ComputeCapability`` to build for; None: this machine's GPU.
        detailed: Whether to return the list of kernels too.

    Raises:
        EngineUnavailable: TensorRT does not start here.
        ModelError: TensorRT cannot read the graph (the message names the nodes) or build it.
    """
    log = logger(trt)
    log.begin(detailed=detailed)
    try:
        builder = trt.Builder(log)
    except (TypeError, RuntimeError) as exc:  # "factory function returned nullptr"
        raise EngineUnavailable(
            f"{_version(trt)}: expected a builder, found {exc}: {log.problems()}; TensorRT and "
            "the NVIDIA driver must fit together: install both from the same JetPack"
        ) from exc
    # Every object here must outlive the objects made from it. TensorRT keeps no references, and a
    # parser whose network was freed ends the process.
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    began = time.perf_counter()
    parser = trt.OnnxParser(network, log)
    if not parser.parse(model):
        raise ModelError(f"{_version(trt)}: expected a graph that it can read, {_refusal(parser)}")
    parsed = time.perf_counter()
    if not network.num_inputs or not network.num_outputs:
        raise ModelError(f"{_version(trt)}: expected a graph with inputs and outputs, found none")
    config = builder.create_builder_config()
    if detailed:
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if capability is not None:
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(trt.ComputeCapability, capability), 0)
    _add_profile(builder, network, config)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise ModelError(
            f"{_version(trt)}: expected an engine, found {log.problems()}; export the graph "
            "again, or run it with another engine"
        )
    done = time.perf_counter()
    return Build(bytes(engine), log.layers, parsed - began, done - parsed)


def _add_profile(builder: Any, network: Any, config: Any) -> None:
    """Set the range of each open axis: up to MAX_ROWS for the row, MAX_EXTENT for others.

    The row is the first axis of the first input whose first axis is open. In other inputs, a first
    axis with another name is not the row.
    """
    profile = builder.create_optimization_profile()
    row: str | None = None
    is_open = False
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        shape = list(tensor.shape)
        if -1 not in shape:
            continue
        is_open = True
        name = tensor.get_dimension_name(0) or ""
        if row is None and shape[0] == -1:
            row = name
        usual, most = list(shape), list(shape)
        for axis in (axis for axis, extent in enumerate(shape) if extent == -1):
            is_row = axis == 0 and name == row
            usual[axis], most[axis] = (1, MAX_ROWS) if is_row else (_USUAL_EXTENT, MAX_EXTENT)
        least = [1 if extent == -1 else extent for extent in shape]
        profile.set_shape(tensor.name, least, usual, most)
    if is_open and config.add_optimization_profile(profile) < 0:
        raise ModelError(
            "expected open axes that fit one optimization profile, found others; export the graph "
            "with fixed shapes"
        )


def _refusal(parser: Any) -> str:
    """Return ``found node "x" (Op): why; what to do`` for the first unreadable nodes."""
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    return "found " + (" | ".join(map(_in_words, errors[:_SHOWN])) or "no reason given")


def _in_words(error: Any) -> str:
    # Without a driver, a problem of the driver follows each other problem.
    lines = [line for line in error.desc().splitlines() if "cudaError" not in line]
    why = f"{error.code().name} in {error.func()}: {' '.join(lines).strip()}"
    if error.node() < 0:
        return why
    operator = error.node_operator()
    name = error.node_name() or f"number {error.node()}"
    return f'node "{name}" ({operator}): {why}; {_NEEDED.get(operator, _OTHERWISE)}'


def _version(trt: Any) -> str:
    return f"{trt.__name__} {trt.__version__}"


@functools.cache  # one for the process: TensorRT uses the first logger that it was given for ever
def logger(trt: Any) -> Any:
    """Return a log for TensorRT that keeps the important lines and prints nothing."""

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.begin(detailed=False)

        def begin(self, *, detailed: bool) -> None:
            self.layers = ""
            self._detailed = detailed
            self._problems: list[str] = []

        def problems(self) -> str:
            """Return the first problems since the last call; later ones follow from them."""
            found, self._problems = self._problems, []
            return " | ".join(found) or "no reason given"

        def log(self, severity: Any, message: str) -> None:
            if severity.name in _PROBLEMS and len(self._problems) < _SHOWN:
                self._problems.append(message.strip())
            elif self._detailed and message.startswith("Layers:"):
                self.layers = message

    return Logger()
