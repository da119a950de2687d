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
        prompts: Sentences; each one alerts on every frame.
        engine: Engine, device, precision and threads.
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
    """Engine that ran.

    Attributes:
        engine: Row of ``edge.model.engines.ENGINES``.
        runtime: Name and version of the runtime.
        device: Device really used, as the runtime reports it.
        precision: Precision of the graph.
        threads: Threads of the engine; 0 if the runtime chose.
        mean_cosine: Mean cosine to the golden references; None without a golden test.
        min_cosine: Cosine of the worst golden row; None without a golden test.
    """

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
    """Results of the pipeline's measurement.

    Attributes:
        video: Video that was played.
        engine: Engine that ran.
        broker: Software of the broker; None if nothing was published.
        frames: Number of kept frames that count.
        stages: Result of each stage, in the order of the data.
        core_ms: Core time of all stages together, milliseconds per kept frame.
        path: Whole path against the bare engine.
        outlook: Estimates from the stages.
    """

    video: Video
    engine: EngineUsed
    broker: str | None
    frames: int
    stages: tuple[StageResult, ...]
    core_ms: float
    path: PathResult
    outlook: Outlook
