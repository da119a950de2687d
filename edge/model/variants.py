"""A graph of a bundle on a runtime: opened, checked, proven.

A variant is a runtime with a precision; which one a device uses, ``edge.model.choice`` measures.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

from edge.config.models import EngineConfig
from edge.errors import EngineUnavailable, ModelError
from edge.model.bundle.contract import ANY, signature
from edge.model.bundle.manifest import Format, Precision, Role
from edge.model.bundle.read import Bundle
from edge.model.engines import Engine, EngineSettings, TensorSpec, open_engine
from edge.model.engines.null import null_model
from edge.model.engines.tensors import describe
from edge.model.selftest import Report, check

# Engines that ``auto`` considers, and what they read.
_FORMATS: Final[dict[str, tuple[Format, ...]]] = {
    "openvino": ("openvino", "onnx"),
    "onnxruntime": ("onnx",),
}


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to run the graphs of a model that are used for each sample.

    Attributes:
        kind: The engine, a row of ``edge.model.engines.ENGINES``.
        format: Of the files.
        precision: Of the model's main graph; the others take it where they have it.
    """

    kind: str
    format: Format
    precision: Precision

    def __str__(self) -> str:
        return f"{self.kind} {self.precision}" + (" (IR)" if self.format == "openvino" else "")


def variants(bundle: Bundle, config: EngineConfig) -> list[Variant]:
    """What this device may run of ``bundle``, as far as can be told without opening anything.

    Most exact first; the configuration's ``kind`` and ``precision`` narrow it down.

    Raises:
        EngineUnavailable: No runtime is installed.
        ModelError: The bundle has no such precision.
    """
    role = bundle.manifest.graphs[0]
    if config.kind == "null":
        return [Variant("null", "onnx", bundle.precisions(role)[-1])]
    # CPUs compute float16 in float32, with casts around each operator: never the fastest.
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


def open_graph(bundle: Bundle, role: Role, variant: Variant, settings: EngineSettings) -> Engine:
    """Open one graph and check that it takes and gives what docs/bundle-format.md says.

    Raises:
        EngineUnavailable: The engine or its device is not there.
        ModelError: The graph cannot be read, or is another one.
    """
    expected = signature(bundle.manifest, role)
    entry = bundle.entry(role, variant.precision, variant.format)
    if variant.kind == "null":
        engine = open_engine("null", null_model(expected.inputs, expected.outputs), settings)
    else:
        model = bundle.read(role, variant.precision, variant.format)
        engine = open_engine(variant.kind, model, settings, bundle.weights(entry))
    try:
        _check_signature(entry.file, "input", expected.inputs, engine.inputs)
        # Further outputs are allowed: a text graph may also tell its coverage.
        wanted = {spec.name for spec in expected.outputs}
        found = tuple(spec for spec in engine.outputs if spec.name in wanted)
        _check_signature(entry.file, "output", expected.outputs, found)
    except ModelError:
        engine.close()
        raise
    return engine


def prove(bundle: Bundle, role: Role, variant: Variant, engine: Engine) -> Report | None:
    """Run the golden self-test of an open graph; None for the null engine.

    Raises:
        ModelError: It failed.
        InferenceError: The engine failed.
    """
    if variant.kind == "null":
        return None
    entry = bundle.entry(role, variant.precision, variant.format)
    return check(engine, role, bundle.golden()[role], entry.min_cosine or 0)


@contextmanager
def open_proven(
    bundle: Bundle, role: Role, variant: Variant, settings: EngineSettings
) -> Iterator[Engine]:
    """Open one graph that passed its self-test, and close it afterwards.

    Raises:
        EngineUnavailable: The engine or its device is not there.
        ModelError: The graph cannot be read, is another one, or fails its self-test.
        InferenceError: The engine failed on the golden set.
    """
    engine = open_graph(bundle, role, variant, settings)
    try:
        prove(bundle, role, variant, engine)
        yield engine
    finally:
        engine.close()


@contextmanager
def open_text_engine(bundle: Bundle, kind: str, settings: EngineSettings) -> Iterator[Engine]:
    """Open the text graph, for as long as prompts are compiled; errors as ``open_proven``.

    It is the larger graph (about 90 MB in the default bundle) and is needed only when prompts
    change. Because that is rare, the most exact file of it runs.

    Args:
        bundle: The model.
        kind: The engine, a row of ``edge.model.engines.ENGINES``.
        settings: Of the engine.
    """
    variant = Variant(kind, "onnx", bundle.precisions("text")[0])
    with open_proven(bundle, "text", variant, settings) as engine:
        yield engine


def _check_signature(
    name: str, what: str, expected: tuple[TensorSpec, ...], found: tuple[TensorSpec, ...]
) -> None:
    by_name = {spec.name: spec for spec in found}
    if len(expected) != len(found) or not all(
        spec.name in by_name and _serves(spec, by_name[spec.name]) for spec in expected
    ):
        raise ModelError(
            f"{name}: expected the {what} {_words(expected)}, found {_words(found)}; build the "
            "bundle again"
        )


def _serves(expected: TensorSpec, found: TensorSpec) -> bool:
    """Whether a graph's tensor takes what is expected; it may be dynamic where we are fixed."""
    return (
        expected.dtype == found.dtype
        and len(expected.shape) == len(found.shape)
        and all(
            have is None or want in {have, ANY}
            for want, have in zip(expected.shape, found.shape, strict=True)
        )
    )


def _words(specs: tuple[TensorSpec, ...]) -> str:
    return ", ".join(f"{spec.name} {spec.dtype} {describe(spec.shape)}" for spec in specs) or "none"
