"""Times the engine alone: each variant of the image graph, on each runtime, in turns.

A variant is a runtime and a precision. Before it is timed at a batch size, it must pass the golden
set at that batch size; a variant that fails is not timed.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import combinations, product
from random import Random
from typing import Literal, get_args

import numpy as np

from benchmarks.statistics import Rounds, medians, paired_ratio, quantiles, spread
from edge.config.models import EngineConfig
from edge.errors import ConfigError, EngineUnavailable, InferenceError, ModelError
from edge.model.bundle.contract import contract_of
from edge.model.bundle.manifest import Precision
from edge.model.bundle.read import Bundle
from edge.model.engines import ENGINES, Engine, EngineSettings, open_engine
from edge.model.engines.null import null_model
from edge.model.selftest import Report, check
from edge.scoring.open import open_models
from export.compare.rounds import Spread

PERCENTS = (50, 90, 99)
FLOOR = "null"

_NS_PER_MS = 1e6

Status = Literal["ok", "failed", "floor"]


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """Settings of the engine's measurement.

    Attributes:
        engines: Rows of ``edge.model.engines.ENGINES``.
        precisions: Precisions of the image graph.
        threads: Threads of the engine; 0 leaves the choice to the runtime.
        batches: Frames per call.
        rounds: Number of rounds; in each, every variant has one turn, in a newly drawn order.
        warmup: Calls at the beginning of each turn that do not count: they bring the variant's
            weights back into the caches.
        iterations: Calls of a turn that count.
        seed: Seed of the orders.
    """

    engines: tuple[str, ...]
    precisions: tuple[Precision, ...]
    device: str
    threads: int
    batches: tuple[int, ...]
    rounds: int
    warmup: int
    iterations: int
    seed: int

    @property
    def turns(self) -> int:
        """Return the number of turns, the floor's included, if no variant fails."""
        variants = len(self.engines) * len(self.precisions) + 1
        return len(self.batches) * self.rounds * variants


@dataclass(frozen=True, slots=True)
class VariantResult:
    """One variant at one batch size. Times are per frame, not per call.

    Attributes:
        device: Device really used, as the runtime reports it.
        status: Outcome; ``floor`` is the ``null`` engine, which computes nothing.
        reason: Reason of a failure.
        mean_cosine: Mean cosine to the golden references, at this batch size.
        min_cosine: Cosine of the worst golden row.
        calls: Number of timed calls.
        ms: Quantiles over all calls, milliseconds.
        rounds_ms: Medians of the rounds, milliseconds.
        core_ms: Mean time on all cores together, milliseconds.
        frames_per_s: Frames per second, one call after the other.
    """

    variant: str
    engine: str
    precision: str | None
    runtime: str
    device: str
    batch: int
    status: Status
    reason: str | None = None
    mean_cosine: float | None = None
    min_cosine: float | None = None
    calls: int = 0
    ms: dict[str, float] | None = None
    rounds_ms: Spread | None = None
    core_ms: float | None = None
    frames_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class VariantRatio:
    """Ratio of the times of ``above`` and ``below``, round by round."""

    batch: int
    above: str
    below: str
    ratio: Spread


@dataclass(frozen=True, slots=True)
class ModelResults:
    """Results of every variant at every batch size, and of each pair of variants."""

    variants: tuple[VariantResult, ...]
    ratios: tuple[VariantRatio, ...]


def installed_engines(device: str) -> tuple[str, ...]:
    """Return the engines whose runtime is installed, without the floor.

    TensorRT runs only on GPUs, and is left out for other devices.

    Raises:
        EngineUnavailable: No runtime is installed.
    """
    known = [name for name in ENGINES if name != FLOOR]
    if not device.startswith("GPU"):
        known.remove("tensorrt")
    found = tuple(name for name in known if find_spec(name))
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


def measure(bundle: Bundle, settings: ModelSettings, progress: Callable[[], None]) -> ModelResults:
    """Open every variant, then time them in turns.

    Args:
        bundle: Bundle with the image graphs.
        settings: Variants, batch sizes and repetitions.
        progress: Called after each turn.

    Raises:
        EngineUnavailable: A runtime or device is missing.
        ModelError: The golden set is unusable.
    """
    with ExitStack() as stack:
        variants = [
            _open_floor(stack, bundle),
            *(
                _open(stack, bundle, settings, kind, precision)
                for kind, precision in product(settings.engines, settings.precisions)
            ),
        ]
        random = Random(settings.seed)  # noqa: S311 (repeatable on purpose)
        results: list[VariantResult] = []
        ratios: list[VariantRatio] = []
        for batch in settings.batches:
            contest = _Contest(bundle, batch, settings, variants)
            contest.run(random, progress)
            results += contest.results()
            ratios += contest.ratios()
    return ModelResults(tuple(results), tuple(ratios))


@dataclass(slots=True)
class _Variant:
    """Variant and its engine; without an engine, ``reason`` says why it could not be opened."""

    name: str
    kind: str
    precision: Precision | None
    engine: Engine | None
    reason: str | None = None


def _open_floor(stack: ExitStack, bundle: Bundle) -> _Variant:
    expected = contract_of(bundle.manifest, bundle.manifest.graphs[0])
    engine = open_engine(FLOOR, null_model(expected.inputs, expected.outputs), EngineSettings())
    return _Variant(FLOOR, FLOOR, None, stack.enter_context(closing(engine)))


def _open(
    stack: ExitStack, bundle: Bundle, settings: ModelSettings, kind: str, precision: Precision
) -> _Variant:
    asked = {"kind": kind, "device": settings.device, "threads": settings.threads}
    config = EngineConfig.model_validate({**asked, "precision": precision})
    name = f"{kind} {precision}"
    try:
        models = stack.enter_context(open_models(bundle, config))
    except (ModelError, InferenceError) as exc:
        return _Variant(name, kind, precision, None, str(exc))
    return _Variant(name, kind, precision, models.main.engine)


@dataclass(slots=True)
class _Turns:
    """Times per frame of the turns of one variant."""

    ms: list[list[float]]
    core_ms: list[float]


class _Contest:
    """Contest of all variants at one batch size."""

    def __init__(
        self, bundle: Bundle, batch: int, settings: ModelSettings, variants: list[_Variant]
    ) -> None:
        self._bundle, self._batch, self._settings = bundle, batch, settings
        self._variants = variants
        self._role = bundle.manifest.graphs[0]
        self._golden = bundle.golden()[self._role]
        self._tensors = {
            name: np.resize(array, (batch, *array.shape[1:]))  # repeats the rows
            for name, array in self._golden.inputs.items()
        }
        self._failed = {v.name: v.reason or "" for v in variants if v.engine is None}
        self._reports: dict[str, Report] = {}
        self._turns = {variant.name: _Turns([], []) for variant in variants}

    def run(self, random: Random, progress: Callable[[], None]) -> None:
        """Check every variant at this batch size, then give each one a turn in every round."""
        for variant in self._variants:
            self._check(variant)
        for _ in range(self._settings.rounds):
            for variant in random.sample(self._variants, len(self._variants)):
                if variant.name not in self._failed and variant.engine is not None:
                    self._take_turn(variant.name, variant.engine)
                progress()

    def results(self) -> list[VariantResult]:
        return [self._result(variant) for variant in self._variants]

    def ratios(self) -> list[VariantRatio]:
        """Return the ratio of each pair of correct variants; the floor is not compared."""
        sound = [v.name for v in self._variants if v.kind != FLOOR and v.name not in self._failed]
        return [
            VariantRatio(self._batch, above, below, paired_ratio(self._ms(above), self._ms(below)))
            for above, below in combinations(sound, 2)
        ]

    def _check(self, variant: _Variant) -> None:
        if variant.engine is None or variant.precision is None:
            return
        gate = self._bundle.entry(self._role, variant.precision).min_cosine or 0
        try:
            report = check(variant.engine, self._role, self._golden, gate, self._batch)
        except (ModelError, InferenceError) as exc:
            self._failed[variant.name] = str(exc)
        else:
            self._reports[variant.name] = report

    def _take_turn(self, name: str, engine: Engine) -> None:
        took = []
        try:
            for _ in range(self._settings.warmup):
                engine.run(self._tensors)
            core_from = time.process_time_ns()
            for _ in range(self._settings.iterations):
                wall_from = time.perf_counter_ns()
                engine.run(self._tensors)
                took.append(time.perf_counter_ns() - wall_from)
        except InferenceError as exc:
            self._failed[name] = str(exc)
            return
        core = time.process_time_ns() - core_from
        turns = self._turns[name]
        turns.ms.append([wall / _NS_PER_MS / self._batch for wall in took])
        turns.core_ms.append(core / _NS_PER_MS / self._batch / len(took))

    def _ms(self, name: str) -> Rounds:
        return self._turns[name].ms

    def _result(self, variant: _Variant) -> VariantResult:
        engine = variant.engine
        result = VariantResult(
            variant=variant.name,
            engine=variant.kind,
            precision=variant.precision,
            runtime="" if engine is None else engine.runtime,
            device="" if engine is None else engine.device,
            batch=self._batch,
            status="floor" if variant.kind == FLOOR else "ok",
        )
        if variant.name in self._failed:
            return replace(result, status="failed", reason=self._failed[variant.name])
        turns, report = self._turns[variant.name], self._reports.get(variant.name)
        calls = [ms for turn in turns.ms for ms in turn]
        ms = quantiles(calls, PERCENTS)
        return replace(
            result,
            mean_cosine=report.mean_cosine if report else None,
            min_cosine=report.min_cosine if report else None,
            calls=len(calls),
            ms=ms,
            rounds_ms=spread(medians(turns.ms)),
            core_ms=float(np.mean(turns.core_ms)),
            frames_per_s=1000 / ms["p50"],
        )
