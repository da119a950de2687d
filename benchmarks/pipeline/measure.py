"""Times each stage from packets to the broker, and the whole path against its engine.

Every prompt alerts on every frame and every embedding is published, which is the most work that one
frame can cause.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring.broker import Address
from benchmarks.pipeline.config import CAMERA, bench_config
from benchmarks.pipeline.path import Pair, compare
from benchmarks.pipeline.results import EngineUsed, Outlook, PipelineResults, PipelineSettings
from benchmarks.pipeline.stages import Line, StageResult, publishing, time_stages
from edge.alerts.pipeline import Pipeline
from edge.alerts.rule_set import RuleSet
from edge.control.preparation import compile_prompts
from edge.delivery.outbox import Outbox
from edge.errors import ConfigError
from edge.model.bundle.read import Bundle
from edge.resources import OUTBOX, model_ref
from edge.scoring.open import Models, open_models
from edge.video.decode import Frame
from edge.video.preprocess import Preprocessor
from edge.video.sample import Sample


def measure(
    bundle: Bundle,
    settings: PipelineSettings,
    broker: Address | None,
    state_dir: Path,
    progress: Callable[[], None],
    connect_s: float = 10.0,
) -> PipelineResults:
    """Time the stages on a file or a camera, then the whole path against the bare engine.

    Args:
        bundle: Bundle of the model.
        settings: Source, rates and repetitions.
        broker: Broker to publish to; None leaves that stage out.
        state_dir: Folder of the outbox; its disk decides the cost of a commit.
        progress: Called after each kept frame and each round.
        connect_s: Longest wait for the broker's connection, seconds.

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
            None if broker is None else stack.enter_context(publishing(config, outbox, connect_s)),
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
