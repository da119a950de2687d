"""Makes tables of the results of each bench."""

from benchmarks.model import results as model
from benchmarks.model.results import ModelResults, ModelSettings, VariantResult
from benchmarks.pipeline import live, stages
from benchmarks.pipeline.live import LiveResults
from benchmarks.pipeline.results import PipelineResults, PipelineSettings
from benchmarks.report.sections import ReportSection, milliseconds
from export.compare.rounds import RoundsSummary

# Text for a missing value, which is neither a measurement nor a zero.
_NONE = "—"


def model_facts(settings: ModelSettings, results: ModelResults) -> dict[str, str]:
    """Return the facts in the header of ``model``, except those about the machine."""
    opened = dict.fromkeys(
        f"{result.runtime} on {result.device}" for result in results.variants if result.device
    )
    return {
        "engines": f"{', '.join(opened)}; {_threads(settings.threads)}",
        "counts": f"{settings.rounds} rounds of {settings.iterations} calls a variant, "
        f"{settings.warmup} before each to warm up, seed {settings.seed}",
    }


def model_sections(results: ModelResults) -> list[ReportSection]:
    """Return the tables of the variants and of their pairs."""
    times = ReportSection(
        "The engine alone, ms per frame",
        (
            "variant", "batch", *(f"p{percent}" for percent in model.PERCENTS), "rounds",
            "core-ms", "cosine",
        ),
        tuple(_variant(result) for result in results.variants),
        tuple(
            f"{result.variant}, batch {result.batch}, FAILED: {result.reason}"
            for result in results.variants
            if result.status == "failed"
        ),
    )  # fmt: skip
    if not results.ratios:
        return [times]
    ratios = ReportSection(
        "Pair by pair, in the same rounds",
        ("time of", "batch", "ratio", "rounds"),
        tuple(
            (f"{pair.above} / {pair.below}", str(pair.batch), f"{pair.ratio.median:.2f}",
             _range(pair.ratio, 2))
            for pair in results.ratios
        ),
    )  # fmt: skip
    return [times, ratios]


def pipeline_facts(settings: PipelineSettings, results: PipelineResults) -> dict[str, str]:
    """Return the facts in the header of ``pipeline``, except those about the machine."""
    engine, video = results.engine, results.video
    rate = "" if video.fps is None else f" at {video.fps:g} fps"
    cosine = (
        "" if engine.min_cosine is None else f", golden cosine {engine.min_cosine:.4f} at least"
    )
    return {
        "video": f"{video.source}, {video.codec} {video.width}x{video.height}{rate}",
        "sampling": f"{settings.fps:g} fps, "
        + ("keyframes only" if video.keyframes_only else "every packet decoded"),
        "engine": f"{engine.runtime}, {engine.device}, {engine.precision}, "
        f"{_threads(engine.threads)}, batch 1{cosine}",
        "broker": results.broker or "none: neither --mqtt nor mosquitto",
        "counts": f"{results.frames} frames after {settings.warmup} to warm up",
    }


def pipeline_sections(results: PipelineResults, ran: LiveResults | None) -> list[ReportSection]:
    """Return the tables: stages, whole path against the engine, estimates, daemon if it ran."""
    path, outlook = results.path, results.outlook
    verdict = "within" if path.ratio.median <= path.target else "ABOVE"
    sections = [
        ReportSection(
            "Stages, per kept frame",
            ("stage", *(f"p{percent} ms" for percent in stages.PERCENTS), "core-ms", "share"),
            (
                *(
                    (
                        stage.stage,
                        *_quantiles(stage.ms, len(stages.PERCENTS)),
                        milliseconds(stage.core_ms),
                        f"{stage.core_ms / results.core_ms:.0%}",
                    )
                    for stage in results.stages
                ),
                ("all", *_quantiles(None, len(stages.PERCENTS)), milliseconds(results.core_ms), ""),
            ),
            (
                f"Bottleneck: {outlook.bottleneck}.",
                f"Computed, not run: {outlook.cores_per_camera:.3f} cores a camera.",
                f"Computed, not run: {outlook.cameras_per_core:.1f} cameras a core.",
            ),
        ),
        ReportSection(
            "Decoded frame to embedding, by the bare engine call",
            ("", "median", "rounds"),
            (
                ("whole path, ms", milliseconds(path.path_ms.median), _range(path.path_ms, 2)),
                ("bare engine, ms", milliseconds(path.engine_ms.median), _range(path.engine_ms, 2)),
                ("ratio", f"{path.ratio.median:.3f}", _range(path.ratio, 3)),
            ),
            (f"{path.pairs} pairs in turns; {verdict} the target of {path.target:.2f}.",),
        ),
    ]
    return sections if ran is None else [*sections, _live(ran)]


def _live(ran: LiveResults) -> ReportSection:
    return ReportSection(
        "The daemon on one camera: frame arrival to PUBACK",
        ("message", "count", *(f"p{percent} ms" for percent in live.PERCENTS)),
        tuple(
            (latency.kind, str(latency.messages), *_quantiles(latency.ms, len(live.PERCENTS)))
            for latency in ran.latencies
        ),
        (
            f"{ran.camera}; {ran.broker}.",
            f"Measured over {ran.seconds:.0f} s at {ran.fps:.2f} samples/s: {ran.cores:.3f} cores.",
            f"Resident memory: {ran.rss_mb:.0f} MB.",
        ),
    )


def _variant(result: VariantResult) -> tuple[str, ...]:
    if result.ms is None or result.rounds_ms is None or result.core_ms is None:
        blank = ("",) * (len(model.PERCENTS) + 2)
        return (result.variant, str(result.batch), "FAILED", *blank)
    return (
        result.variant,
        str(result.batch),
        *map(milliseconds, result.ms.values()),
        _range(result.rounds_ms, 2),
        milliseconds(result.core_ms),
        _NONE if result.min_cosine is None else f"{result.min_cosine:.4f}",
    )


def _quantiles(ms: dict[str, float] | None, columns: int) -> tuple[str, ...]:
    return (_NONE,) * columns if ms is None else tuple(map(milliseconds, ms.values()))


def _range(values: RoundsSummary, digits: int) -> str:
    return f"{values.low:.{digits}f} … {values.high:.{digits}f}"


def _threads(threads: int) -> str:
    return f"{threads or 'automatic'} thread{'s' * (threads != 1)}"
