"""Chooses which variant of a bundle this device runs: the fastest that passes its self-test.

No data sheet gives the answer: INT8 is 4 times as fast on one CPU and slower on another, and a
runtime may give wrong answers on a third. So each variant that the installed runtimes can open is
proven on the golden set and timed, once. The result is kept on disk for this combination of bundle,
runtimes and processor.
"""

import contextlib
import hashlib
import json
import logging
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge.config.models import EngineConfig
from edge.errors import EngineError, EngineUnavailable, ModelError
from edge.model.bundle.manifest import Format, Precision, Role
from edge.model.bundle.read import Bundle
from edge.model.engines import Engine, EngineSettings
from edge.model.engines.interruptible import interruptible
from edge.model.graphs import open_graph, prove
from edge.model.variants import Variant, variants
from edge.system import systemd
from edge.system.atomic_file import write_atomically
from edge.system.attempts import NOT_NOTED, Attempts
from edge.system.ending import Stop
from edge.system.set_aside import set_aside

_log = logging.getLogger(__name__)

# Number of timed calls of one row; after ``_ENOUGH_S`` seconds, ``_FEWEST_CALLS`` are enough.
_CALLS: Final = 15
_FEWEST_CALLS: Final = 3
_ENOUGH_S: Final = 2.0
# A less exact variant must take less than this share of the time of a more exact one. Smaller
# differences are within the error of the timing.
_WORTH: Final = 0.95
# systemd waits for a start so much longer with each variant: a slow processor takes minutes.
_LONGEST_MEASUREMENT_S: Final = 600


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class MeasuredVariant(_Record):
    """Measurement of one variant.

    Attributes:
        ms: Median time of a call with one row; None where the variant failed.
        min_cosine: Cosine of the worst golden row; None where the variant failed.
        failure: Reason why the variant cannot be used; None where it can be used.
        unavailable: Whether the runtime or its device is missing. It is not written to the
            file: only a choice in which every variant fails needs it, and that is not kept.
    """

    kind: str
    format: Format
    precision: Precision
    ms: float | None = None
    min_cosine: float | None = None
    failure: str | None = None
    unavailable: bool = Field(default=False, exclude=True)

    @property
    def variant(self) -> Variant:
        return Variant(self.kind, self.format, self.precision)


class _Kept(_Record):
    """Content of the file that keeps the measurements."""

    schema_: Literal["edge-choice/1"] = "edge-choice/1"
    measured: tuple[MeasuredVariant, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """Variant to run, and the measurements behind it.

    Attributes:
        variant: Variant to run.
        measured: All variants that were tried, most exact first; empty where only one variant was
            possible.
        remembered: Whether the measurements are from an earlier start.
    """

    variant: Variant
    measured: tuple[MeasuredVariant, ...]
    remembered: bool


def choose(
    bundle: Bundle,
    config: EngineConfig,
    cache: Path,
    *,
    again: bool = False,
    keep: bool = True,
    stop: Stop | None = None,
    attempts: Attempts = NOT_NOTED,
) -> Choice:
    """Find the fastest variant that passes its self-test.

    Args:
        bundle: Bundle of the model.
        config: Configuration, which narrows the choice; one variant alone is not measured.
        cache: Folder of the measurements.
        again: Measure even if there are measurements.
        keep: Keep the measurements.
        stop: Asks the daemon to end; None outside of it.
        attempts: Notes each variant while it is measured.

    Raises:
        Ended: The daemon is asked to end.
        EngineUnavailable: No runtime is installed, or none supports the device.
        ModelError: No variant passes, or a file is damaged.
    """
    found = variants(bundle, config)
    if len(found) == 1:
        return Choice(found[0], (), remembered=False)
    path = cache / f"{_key(bundle, config, found)}.json"
    measured = None if again else _recall(path)
    remembered = measured is not None
    if measured is None:
        settings = EngineSettings(config.device, config.threads)
        _log.info("measuring, once, which of %d variants is fastest here", len(found))
        measured = tuple(
            _measure(bundle, variant, settings, stop or Stop(), attempts) for variant in found
        )
    chosen = fastest(measured)
    if chosen is None:
        raise _none_passes(bundle, measured)
    if keep and not remembered:
        _keep(path, measured)
    return Choice(chosen.variant, measured, remembered)


def fastest(measured: Sequence[MeasuredVariant]) -> MeasuredVariant | None:
    """Return the variant to run; None if all failed. ``measured`` has the most exact first."""
    best: MeasuredVariant | None = None
    for one in measured:
        if one.ms is not None and (best is None or best.ms is None or one.ms < _WORTH * best.ms):
            best = one
    return best


def _measure(
    bundle: Bundle, variant: Variant, settings: EngineSettings, stop: Stop, attempts: Attempts
) -> MeasuredVariant:
    stop.check()
    systemd.notify(
        f"STATUS=measuring {variant}\nEXTEND_TIMEOUT_USEC={_LONGEST_MEASUREMENT_S * 1_000_000}"
    )
    role = bundle.manifest.graphs[0]
    facts = {"kind": variant.kind, "format": variant.format, "precision": variant.precision}
    # A damaged file ends the choice, because the bundle must be installed again; no other variant
    # may hide the damage.
    bundle.read(role, variant.precision, variant.format)
    try:
        with trying_variant(attempts, bundle, role, variant, settings):
            engine = open_graph(bundle, role, variant, settings)
            try:
                report = prove(bundle, role, variant, engine, stop)
                ms = ms_of_row(interruptible(engine, stop), bundle)
            finally:
                engine.close()
    except (EngineError, ModelError) as exc:
        _log.warning("%s: not usable: %s", variant, exc)
        return MeasuredVariant.model_validate(
            facts
            | {
                "failure": f"{type(exc).__name__}: {exc}",
                "unavailable": isinstance(exc, EngineUnavailable),
            }
        )
    return MeasuredVariant.model_validate(
        facts | {"ms": ms, "min_cosine": report.min_cosine if report else None}
    )


def trying_variant(
    attempts: Attempts, bundle: Bundle, role: Role, variant: Variant, settings: EngineSettings
) -> AbstractContextManager[Callable[[], None]]:
    """Note that a graph is opened on a runtime, whose compiler or driver may end the process.

    Raises:
        StruckOut: It did so twice in a row.
    """
    facts = [bundle.hash, _version(variant.kind), settings.device, _processor()]
    advice = "set another engine (engine.kind, engine.precision), or update its packages"
    part = f"the {role} graph of {bundle.manifest.model.id} ({variant})"
    return attempts.trying(part, json.dumps(facts), advice)


def ms_of_row(engine: Engine, bundle: Bundle) -> float:
    """Return the median time of a call of the main graph with one golden row, milliseconds.

    Raises:
        InferenceError: The engine failed.
        Ended: An interruptible engine, and the daemon is asked to end.
    """
    golden = bundle.golden()[bundle.manifest.graphs[0]]
    row = {name: array[:1] for name, array in golden.inputs.items()}
    took: list[float] = []
    while len(took) < _CALLS and (len(took) < _FEWEST_CALLS or sum(took) < _ENOUGH_S):
        began = time.perf_counter()
        engine.run(row)
        took.append(time.perf_counter() - began)
    return round(1000 * statistics.median(took), 3)


def _none_passes(bundle: Bundle, measured: Sequence[MeasuredVariant]) -> EngineError | ModelError:
    reasons = "; ".join(f"{one.variant}: {one.failure}" for one in measured)
    if all(one.unavailable for one in measured):
        return EngineUnavailable(f"{bundle.path}: no variant can run here: {reasons}")
    return ModelError(f"{bundle.path}: expected a variant that passes its self-test: {reasons}")


def _key(bundle: Bundle, config: EngineConfig, found: Sequence[Variant]) -> str:
    facts = [
        bundle.hash,
        [[str(variant), _version(variant.kind)] for variant in found],
        [config.device, config.threads],
        _processor(),
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _processor() -> str:
    """Return the identity of the processor: its model and the flags of its instructions."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor()
    lines_of_it = {line for line in lines if line.startswith(("model name", "flags", "Features"))}
    return "\n".join([platform.machine(), *sorted(lines_of_it)])


def _recall(path: Path) -> tuple[MeasuredVariant, ...] | None:
    """Return the kept measurements; a file that cannot be used is set aside, and measured again."""
    try:
        return _Kept.model_validate_json(path.read_bytes()).measured
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as exc:
        reason = str(exc).partition("\n")[0]
        _log.warning("%s: cannot be used, measuring again: %s", path, reason)
    with contextlib.suppress(OSError):
        set_aside(path)
    return None


def _keep(path: Path, measured: tuple[MeasuredVariant, ...]) -> None:
    """Write the measurements; a device that cannot write them measures at each start."""
    try:
        write_atomically(path, _Kept(measured=measured).model_dump_json(indent=2).encode())
    except OSError as exc:
        _log.warning("%s: the measurement cannot be kept: %s", path, exc.strerror)
