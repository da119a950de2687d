"""Lists the variants of a bundle that a device may run, each a runtime with a precision.

``edge.model.choice`` measures them and chooses one.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

from edge.config.models import EngineConfig
from edge.errors import EngineUnavailable, ModelError
from edge.model.bundle.manifest import Format, Precision
from edge.model.bundle.read import Bundle

# Engines that ``auto`` considers, and the formats that they read.
_FORMATS: Final[dict[str, tuple[Format, ...]]] = {
    "openvino": ("openvino", "onnx"),
    "onnxruntime": ("onnx",),
}


@dataclass(frozen=True, slots=True)
class Variant:
    """Way to run the graphs of a model that are used for each sample.

    Attributes:
        kind: Name of the engine, a row of ``edge.model.engines.ENGINES``.
        format: Format of the graphs' files.
        precision: Precision of the model's main graph; the other graphs use it where they have it.
    """

    kind: str
    format: Format
    precision: Precision

    def __str__(self) -> str:
        return f"{self.kind} {self.precision}" + (" (IR)" if self.format == "openvino" else "")


def variants(bundle: Bundle, config: EngineConfig) -> list[Variant]:
    """List the variants of ``bundle`` that this device may run; no graph is opened.

    The most exact comes first. The configuration's ``kind`` and ``precision`` narrow the list.

    Raises:
        EngineUnavailable: No runtime is installed.
        ModelError: The bundle lacks the configured precision.
    """
    role = bundle.manifest.graphs[0]
    if config.kind == "null":
        return [Variant("null", "onnx", bundle.precisions(role)[-1])]
    # CPUs compute float16 in float32, with casts around each operator, so it is never the fastest.
    pointless = {"fp16"} if config.device == "CPU" and config.precision == "auto" else set()
    found = [
        Variant(kind, format_, precision)
        for kind in _kinds(config)
        for format_ in _FORMATS.get(kind, ("onnx",))
        for precision in bundle.precisions(role, format_)
        if config.precision == precision
        or (config.precision == "auto" and precision not in pointless)
    ]
    if not found:
        raise ModelError(
            f"{bundle.path}: expected the {role} graph in {config.precision}, found "
            f"{', '.join(bundle.precisions(role))}; set engine.precision to one of these, or auto"
        )
    order = ("fp32", "fp16", "int8")
    return sorted(found, key=lambda variant: order.index(variant.precision))


def built_later(bundle: Bundle, config: EngineConfig, now: Variant) -> Variant | None:
    """Return the variant whose engines take minutes to build, and run once they are; else None.

    It is TensorRT, where the configuration leaves the choice and JetPack has installed it. It has
    the precision of the variant that runs now, so payloads and what was learned stay right.

    Args:
        bundle: Bundle of the model.
        config: Configuration of the engine.
        now: Variant that runs meanwhile.
    """
    role = bundle.manifest.graphs[0]
    wanted = (
        config.kind == "auto"
        and config.device == "CPU"
        and now.precision in bundle.precisions(role, "onnx")
        and all(find_spec(package) for package in ("tensorrt", "pycuda"))
    )
    return Variant("tensorrt", "onnx", now.precision) if wanted else None


def _kinds(config: EngineConfig) -> list[str]:
    if config.kind != "auto":
        return [config.kind]
    kinds = [kind for kind in _FORMATS if find_spec(kind)]
    if not kinds:
        raise EngineUnavailable(
            f"engine auto: expected one of {', '.join(_FORMATS)}, found none installed. Install "
            "one with: pip install 'camera-edge-runtime[openvino]'"
        )
    return kinds
