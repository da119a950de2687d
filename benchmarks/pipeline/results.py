"""Records of the pipeline's measurement: its settings, its results, estimates from them."""

from dataclasses import dataclass

from benchmarks.pipeline.path import PathResult
from benchmarks.pipeline.stages import StageResult, Video
from edge.config.models import EngineConfig


@dataclass(frozen=True, slots=True)
class PipelineSettings:
    """Settings of the pipeline's measurement.

    Attributes:
        source: Path or URL, possibly with a password.
        fps: Kept frames per second.
        frames: Kept frames that count.
        warmup: Kept frames before them that do not count, also at the start of each round.
        rounds: Rounds of the comparison with the bare engine.
        iterations: Pairs of calls in each round that count.
        prompts: Sentences.
    """

    source: str
    fps: float
    frames: int
    warmup: int
    rounds: int
    iterations: int
    prompts: tuple[str, ...]
    engine: EngineConfig

    @property
    def steps(self) -> int:
        """Return how often ``measure`` reports progress."""
        return self.warmup + self.frames + self.rounds


@dataclass(frozen=True, slots=True)
class EngineUsed:
    """Engine that ran: runtime and device as it reports them, and result of its golden test."""

    engine: str
    runtime: str
    device: str
    precision: str
    threads: int
    mean_cosine: float | None
    min_cosine: float | None


@dataclass(frozen=True, slots=True)
class Outlook:
    """Estimates from the core time of the stages; computed, not measured.

    Attributes:
        bottleneck: Stage that takes most of a core.
        cores_per_camera: Cores that one camera needs at the fps of this run.
        cameras_per_core: Cameras on one core that does nothing else.
    """

    bottleneck: str
    cores_per_camera: float
    cameras_per_core: float


@dataclass(frozen=True, slots=True)
class PipelineResults:
    """Results of the stages in the order of the data, and the estimates from them."""

    video: Video
    engine: EngineUsed
    broker: str | None
    frames: int
    stages: tuple[StageResult, ...]
    core_ms: float
    path: PathResult
    outlook: Outlook
