"""Times each stage from packets to the broker, and the whole path against its engine.

Every prompt alerts on every frame and every embedding is published, which is the most work that one
frame can cause.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.broker import Address
from benchmarks.path import Pair, PathResult, compare
from benchmarks.scene import CAMERA, bench_config
from benchmarks.stages import Line, StageResult, Video, publishing, time_stages
from edge.alerts.pipeline import Pipeline
from edge.alerts.rule_set import RuleSet
from edge.config.models import EngineConfig
from edge.control.preparation import compile_prompts
from edge.delivery.outbox import Outbox
from edge.errors import ConfigError
from edge.model.bundle.read import Bundle
from edge.parts import OUTBOX, model_ref
from edge.scoring.open import Models, open_models
from edge.video.decode import Frame
from edge.video.preprocess import Preprocessor
from edge.video.sample import Sample


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


def measure(
    bundle: Bundle,
    settings: PipelineSettings,
    broker: Address | None,
    state_dir: Path,
    progress: Callable[[], None],
) -> PipelineResults:
    """Time the stages on a file or a camera, then the whole path against the bare engine.

    Args:
        bundle: Bundle of the model.
        settings: Source, rates and repetitions.
        broker: Broker to publish to; None leaves that stage out.
        state_dir: Folder of the outbox; its disk decides the cost of a commit.
        progress: Called after each kept frame and each round.

    Raises:
        EdgeError: From the stages, as they raise it in the daemon.
    """
    config = bench_config(
        bundle, settings.source, settings.fps, settings.prompts, settings.engine, broker, state_dir
    )
    with ExitStack() as stack:
        models = stack.enter_context(open_models(bundle, config.engine))
        bank = compile_prompts(models.scoring.open_compiler, config.prompts, config.background)
        reference, decision = model_ref(models), bundle.manifest.decision
        outbox = stack.enter_context(
            closing(Outbox(config.state_dir / OUTBOX, config.outbox.max_bytes))
        )
        line = Line(
            Preprocessor(bundle.manifest.image),
            Pipeline(
                config, reference, decision, models.scoring.scorer, RuleSet(config.prompts, bank)
            ),
            outbox,
            None if broker is None else stack.enter_context(publishing(config, outbox)),
        )
        video, stages, pictures = time_stages(
            line,
            settings.source,
            settings.fps,
            warmup=settings.warmup,
            frames=settings.frames,
            progress=progress,
        )
        path = compare(
            [_pair(line, models, frame) for frame in pictures],
            rounds=settings.rounds,
            warmup=settings.warmup,
            iterations=settings.iterations,
            progress=progress,
        )
        core_ms = sum(stage.core_ms for stage in stages)
        return PipelineResults(
            video=video,
            engine=_engine_used(models),
            broker=None if broker is None else broker.software,
            frames=settings.frames,
            stages=stages,
            core_ms=core_ms,
            path=path,
            outlook=_outlook(stages, core_ms, settings.fps),
        )


def _pair(line: Line, models: Models, frame: Frame) -> Pair:
    pixels = line.preprocess(frame.picture)[None]

    def path() -> NDArray[np.float32]:
        sample = Sample(CAMERA, 0, frame.arrival, line.preprocess(frame.picture))
        scored = line.pipeline.score(sample)
        if scored is None or scored.embedding is None:
            raise ConfigError(
                "edge-bench pipeline: expected a model of class F, found one whose frames have no "
                "embedding of their own; edge-bench model takes it"
            )
        return scored.embedding[np.newaxis]

    def engine() -> NDArray[np.float32]:
        embedding: NDArray[np.float32] = models.main.engine.run({"pixels": pixels})["embedding"]
        return embedding

    return Pair(path, engine)


def _engine_used(models: Models) -> EngineUsed:
    engine, report = models.main.engine, models.main.report
    return EngineUsed(
        engine=models.variant.kind,
        runtime=engine.runtime,
        device=engine.device,
        precision=models.precision,
        threads=models.settings.threads,
        mean_cosine=report.mean_cosine if report else None,
        min_cosine=report.min_cosine if report else None,
    )


def _outlook(stages: Sequence[StageResult], core_ms: float, fps: float) -> Outlook:
    cores = core_ms / 1000 * fps
    return Outlook(
        bottleneck=max(stages, key=lambda stage: stage.core_ms).stage,
        cores_per_camera=cores,
        cameras_per_core=1 / cores,
    )
