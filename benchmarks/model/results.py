"""Records of the engine's measurement: its settings, one result per variant, ratios of pairs."""

from dataclasses import dataclass
from typing import Literal

from edge.model.bundle.manifest import Precision
from export.compare.rounds import RoundsSummary

PERCENTS = (50, 90, 99)
FLOOR = "null"
"""Engine that computes nothing: its time is the cost of a call without a model."""

Status = Literal["ok", "failed", "floor"]


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """Settings of the engine's measurement.

    Attributes:
        engines: Rows of ``edge.model.engines.ENGINES``.
        precisions: Precisions of the image graph.
        device: Device, in the word of the runtimes.
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
        variant: Engine and precision, such as ``openvino int8``.
        engine: Row of ``edge.model.engines.ENGINES``.
        precision: Precision of the graph; None for the floor.
        runtime: Name and version of the runtime.
        device: Device really used, as the runtime reports it.
        batch: Frames per call.
        status: Outcome; ``floor`` is the ``null`` engine, which computes nothing.
        reason: Reason of a failure; None without one.
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
    rounds_ms: RoundsSummary | None = None
    core_ms: float | None = None
    frames_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class VariantRatio:
    """Ratio of the times of two variants.

    Attributes:
        batch: Frames per call.
        above: Variant whose time is divided.
        below: Variant by whose time it is divided.
        ratio: Median and range of the rounds' ratios.
    """

    batch: int
    above: str
    below: str
    ratio: RoundsSummary


@dataclass(frozen=True, slots=True)
class ModelResults:
    """Results of every variant at every batch size, and of each pair of variants."""

    variants: tuple[VariantResult, ...]
    ratios: tuple[VariantRatio, ...]
