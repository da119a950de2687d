"""Times the engine alone: each variant of the image graph, on each runtime, in turns.

A variant is a runtime and a precision. Before it is timed at a batch size, it must pass the golden
set at that batch size; a variant that fails is not timed.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import combinations
from random import Random

import numpy as np

from benchmarks.measuring.statistics import Rounds, medians, paired_ratio, quantiles, summary
from benchmarks.model.results import (
    FLOOR,
    PERCENTS,
    ModelResults,
    ModelSettings,
    VariantRatio,
    VariantResult,
)
from benchmarks.model.variants import OpenVariant, open_variants
from edge.errors import InferenceError, ModelError
from edge.model.bundle.read import Bundle
from edge.model.engines import Engine
from edge.model.selftest import Report, check

_NS_PER_MS = 1e6


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
        variants = open_variants(stack, bundle, settings)
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
class _Turns:
    """Times per frame of one variant, milliseconds.

    Attributes:
        ms: Wall time of each call, by turn.
        core_ms: Mean core time of a call, by turn.
    """

    ms: list[list[float]]
    core_ms: list[float]


class _Contest:
    """Turns of all variants at one batch size, and the results of these turns."""

    def __init__(
        self, bundle: Bundle, batch: int, settings: ModelSettings, variants: list[OpenVariant]
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
        """Return one result per variant, in the order of the variants."""
        return [self._result(variant) for variant in self._variants]

    def ratios(self) -> list[VariantRatio]:
        """Return the ratio of each pair of correct variants; the floor is not compared."""
        sound = [v.name for v in self._variants if v.kind != FLOOR and v.name not in self._failed]
        return [
            VariantRatio(self._batch, above, below, paired_ratio(self._ms(above), self._ms(below)))
            for above, below in combinations(sound, 2)
        ]

    def _check(self, variant: OpenVariant) -> None:
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

    def _result(self, variant: OpenVariant) -> VariantResult:
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
            rounds_ms=summary(medians(turns.ms)),
            core_ms=float(np.mean(turns.core_ms)),
            frames_per_s=1000 / ms["p50"],
        )
