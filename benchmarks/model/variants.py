"""Finds and opens the variants that are timed: a runtime with a precision."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import product
from typing import get_args

from benchmarks.model.results import FLOOR, ModelSettings
from edge.config.models import EngineConfig
from edge.errors import ConfigError, EngineUnavailable, InferenceError, ModelError
from edge.model.bundle.contract import contract_of
from edge.model.bundle.manifest import Precision
from edge.model.bundle.read import Bundle
from edge.model.engines import ENGINES, Engine, EngineSettings, open_engine
from edge.model.engines.null import null_model
from edge.scoring.open import open_models


def installed_engines(
    device: str, find: Callable[[str], object | None] = find_spec
) -> tuple[str, ...]:
    """Return the engines whose runtime is installed, without the floor.

    TensorRT runs only on GPUs, and is left out for other devices.

    Args:
        device: Device word of the runtimes.
        find: Function that returns None for a package that is not installed.

    Raises:
        EngineUnavailable: No runtime is installed.
    """
    known = [name for name in ENGINES if name != FLOOR]
    if not device.startswith("GPU"):
        known.remove("tensorrt")
    found = tuple(name for name in known if find(name))
    if not found:
        raise EngineUnavailable(
            f"expected at least one of {', '.join(known)}, found none installed. Install one "
            "with: pip install 'camera-edge-runtime[openvino]'"
        )
    return found


def check_names(engines: Sequence[str], precisions: Sequence[str]) -> None:
    """Refuse unknown names.

    Raises:
        ConfigError: An engine or a precision is unknown.
    """
    for option, names, known in (
        ("--engine", engines, [name for name in ENGINES if name != FLOOR]),
        ("--precision", precisions, get_args(Precision)),
    ):
        if unknown := [name for name in names if name not in known]:
            raise ConfigError(f"{option}: expected one of {', '.join(known)}, found {unknown[0]!r}")


@dataclass(slots=True)
class OpenVariant:
    """One variant, opened once for all batch sizes.

    Attributes:
        name: Kind and precision, such as ``openvino int8``; ``null`` for the floor.
        kind: Row of ``edge.model.engines.ENGINES``.
        precision: Precision of the image graph; None for the floor.
        engine: Engine that is timed; None if it could not be opened.
        reason: Reason why it could not be opened.
    """

    name: str
    kind: str
    precision: Precision | None
    engine: Engine | None
    reason: str | None = None


def open_variants(stack: ExitStack, bundle: Bundle, settings: ModelSettings) -> list[OpenVariant]:
    """Open the floor and every variant of ``settings``; ``stack`` closes them.

    Raises:
        EngineUnavailable: A runtime or device is missing.
    """
    return [
        _open_floor(stack, bundle),
        *(
            _open(stack, bundle, settings, kind, precision)
            for kind, precision in product(settings.engines, settings.precisions)
        ),
    ]


def _open_floor(stack: ExitStack, bundle: Bundle) -> OpenVariant:
    expected = contract_of(bundle.manifest, bundle.manifest.graphs[0])
    engine = open_engine(FLOOR, null_model(expected.inputs, expected.outputs), EngineSettings())
    return OpenVariant(FLOOR, FLOOR, None, stack.enter_context(closing(engine)))


def _open(
    stack: ExitStack, bundle: Bundle, settings: ModelSettings, kind: str, precision: Precision
) -> OpenVariant:
    asked = {"kind": kind, "device": settings.device, "threads": settings.threads}
    config = EngineConfig.model_validate({**asked, "precision": precision})
    name = f"{kind} {precision}"
    try:
        models = stack.enter_context(open_models(bundle, config))
    except (ModelError, InferenceError) as exc:
        return OpenVariant(name, kind, precision, None, str(exc))
    return OpenVariant(name, kind, precision, models.main.engine)
