"""Opens the graphs of a bundle on a runtime, checks their tensors and runs their self-test."""

from collections.abc import Iterator
from contextlib import contextmanager

from edge.errors import ModelError
from edge.model.bundle.contract import ANY, contract_of
from edge.model.bundle.manifest import Role
from edge.model.bundle.read import Bundle
from edge.model.engines import Engine, EngineSettings, TensorSpec, open_engine
from edge.model.engines.interruptible import interruptible
from edge.model.engines.null import null_model
from edge.model.engines.tensors import describe
from edge.model.selftest import Report, check
from edge.model.variants import Variant
from edge.system.ending import Stop


def open_graph(bundle: Bundle, role: Role, variant: Variant, settings: EngineSettings) -> Engine:
    """Open one graph and check that its inputs and outputs follow docs/bundle-format.md.

    Raises:
        EngineUnavailable: The engine or its device is missing.
        ModelError: The graph cannot be read, or has other inputs or outputs.
    """
    expected = contract_of(bundle.manifest, role)
    entry = bundle.entry(role, variant.precision, variant.format)
    if variant.kind == "null":
        engine = open_engine("null", null_model(expected.inputs, expected.outputs), settings)
    else:
        model = bundle.read(role, variant.precision, variant.format)
        engine = open_engine(variant.kind, model, settings, bundle.weights(entry))
    try:
        _check_tensors(entry.file, "input", expected.inputs, engine.inputs)
        # Further outputs are allowed: a text graph may also give its coverage.
        wanted = {spec.name for spec in expected.outputs}
        found = tuple(spec for spec in engine.outputs if spec.name in wanted)
        _check_tensors(entry.file, "output", expected.outputs, found)
    except ModelError:
        engine.close()
        raise
    return engine


def prove(
    bundle: Bundle, role: Role, variant: Variant, engine: Engine, stop: Stop | None = None
) -> Report | None:
    """Run the golden self-test of an open graph; None for the null engine.

    Args:
        bundle: Bundle of the graph.
        role: Role of the graph.
        variant: Variant of the graph.
        engine: Open graph.
        stop: Asks the daemon to end; None outside of it.

    Raises:
        Ended: The daemon is asked to end.
        ModelError: The self-test failed.
        InferenceError: The engine failed.
    """
    if variant.kind == "null":
        return None
    entry = bundle.entry(role, variant.precision, variant.format)
    return check(interruptible(engine, stop), role, bundle.golden()[role], entry.min_cosine or 0)


@contextmanager
def open_proven(
    bundle: Bundle,
    role: Role,
    variant: Variant,
    settings: EngineSettings,
    stop: Stop | None = None,
) -> Iterator[Engine]:
    """Open one graph that passed its self-test, and close it afterwards.

    The end of the daemon interrupts the self-test; later runs are the caller's.

    Raises:
        Ended: The daemon is asked to end.
        EngineUnavailable: The engine or its device is missing.
        ModelError: The graph cannot be read, has other inputs or outputs, or fails its self-test.
        InferenceError: The engine failed on the golden set.
    """
    engine = open_graph(bundle, role, variant, settings)
    try:
        prove(bundle, role, variant, engine, stop)
        yield engine
    finally:
        engine.close()


@contextmanager
def open_text_engine(
    bundle: Bundle, kind: str, settings: EngineSettings, stop: Stop | None = None
) -> Iterator[Engine]:
    """Open the text graph while prompts are compiled; it raises the errors of ``open_proven``.

    It is the larger graph (about 90 MB in the default bundle) and is needed only when prompts
    change. Because that is rare, the most exact precision is used.

    Args:
        bundle: Bundle of the model.
        kind: Name of the engine, a row of ``edge.model.engines.ENGINES``.
        settings: Settings of the engine.
        stop: Asks the daemon to end, and interrupts each series of runs; None outside of it.
    """
    variant = Variant(kind, "onnx", bundle.precisions("text")[0])
    with open_proven(bundle, "text", variant, settings, stop) as engine:
        yield interruptible(engine, stop)


def _check_tensors(
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
    """Whether a graph's tensor fits the contract; an axis may be dynamic where ours is fixed."""
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
