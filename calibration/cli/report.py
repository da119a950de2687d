"""Writes an evaluation as JSON, and as one HTML page without other files."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from calibration.judge import Event, Judgement, Proportion, events_of, is_false
from calibration.replay import Alerted, Trace
from edge.errors import ConfigError

SCHEMA: Final = "edge-evaluation/1"
_TEMPLATE: Final = "report.html.j2"
# Share of unlabelled time under an alert above which few false alarms do not speak for a rule.
_HARDLY_ENDS: Final = 0.25
# Size of the plot in its own units; the page scales it.
_WIDTH, _HEIGHT, _EDGE = 720.0, 150.0, 4.0


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything that a report contains.

    Attributes:
        model: Bundle, precision and runtime in words.
        fps: Frames per second that were scored.
        passes: Number of passes through each clip.
        warm_up_s: Length of the warm-up with unlabelled frames, seconds.
        left_out: Labelled prompts that no rule has.
        traces: Trace of each rule on each clip.
        judgements: Judgement on each trace, in the same order.
        rules: Judgement on each rule over all its clips.
        total: Judgement over all rules and clips.
    """

    model: str
    fps: float
    passes: int
    warm_up_s: float
    left_out: tuple[str, ...]
    traces: tuple[Trace, ...]
    judgements: tuple[Judgement, ...]
    rules: tuple[Judgement, ...]
    total: Judgement


@dataclass(frozen=True, slots=True)
class Plot:
    """First pass of a trace in the plot's units.

    Attributes:
        margin: Points of the margin's polyline.
        threshold: Points of the threshold's polyline.
        labels: Left edge and width of each labelled event.
        alerts: Left edge and width of each alert, and whether it is false.
        ticks: Position and seconds of each tick.
        low: Margin at the lower edge.
        high: Margin at the upper edge.
    """

    margin: str
    threshold: str
    labels: tuple[tuple[float, float], ...]
    alerts: tuple[tuple[float, float, bool], ...]
    ticks: tuple[tuple[float, str], ...]
    low: float
    high: float
    width: float = _WIDTH
    height: float = _HEIGHT


def to_json(evaluation: Evaluation, *, traces: bool = True) -> dict[str, Any]:
    """Return the evaluation as JSON values; infinite ends of intervals become null."""
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "model": evaluation.model,
        "fps": evaluation.fps,
        "passes": evaluation.passes,
        "warm_up_s": evaluation.warm_up_s,
        "left_out": list(evaluation.left_out),
        "total": judgement_json(evaluation.total),
        "rules": [judgement_json(judgement) for judgement in evaluation.rules],
        "clips": [judgement_json(judgement) for judgement in evaluation.judgements],
    }
    if traces:
        document["traces"] = [_trace(trace, evaluation.passes) for trace in evaluation.traces]
    finite: dict[str, Any] = _finite(document)
    return finite


def to_html(evaluation: Evaluation) -> str:
    """Return the evaluation as a page that suits phones and follows the reader's dark mode."""
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415  an extra, which --help does without

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True,
                              lstrip_blocks=True)  # fmt: skip
    environment.filters.update(
        percent=percent, share=of_text, rate=rate_text, delay=delay_text, asked=asked_text
    )
    page = environment.from_string((files("calibration.cli") / _TEMPLATE).read_text("utf-8"))
    passes = evaluation.passes
    return page.render(
        evaluation=evaluation,
        cases=[
            (judgement, plot(trace, passes), rows(trace, passes))
            for trace, judgement in zip(evaluation.traces, evaluation.judgements, strict=True)
        ],
    )


def write(path: Path, text: str) -> None:
    """Write a report.

    Raises:
        ConfigError: The file cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise ConfigError(f"{path}: cannot write the report: {exc.strerror}") from exc


def plot(trace: Trace, passes: int) -> Plot:
    """Draw the first pass."""
    shown = [at for at in trace.times if at < trace.pass_s] or trace.times[:1]
    margins = trace.margins[: len(shown)]
    thresholds = trace.thresholds[: len(shown)]
    low, high = min([*margins, *thresholds], default=0.0), max([*margins, *thresholds], default=1.0)
    low, high = low - 0.05 * (high - low or 1), high + 0.05 * (high - low or 1)

    def x(at_s: float) -> float:
        return round(min(max(at_s / trace.pass_s, 0), 1) * _WIDTH, 1)

    def y(margin: float) -> float:
        return round(_HEIGHT - _EDGE - (margin - low) / (high - low) * (_HEIGHT - 2 * _EDGE), 1)

    def line(values: Sequence[float]) -> str:
        return " ".join(f"{x(at)},{y(value)}" for at, value in zip(shown, values, strict=True))

    step = _nice(trace.pass_s / 6)
    return Plot(
        margin=line(margins),
        threshold=line(thresholds),
        labels=tuple((x(one.start_s), x(one.end_s) - x(one.start_s)) for one in trace.labels),
        alerts=tuple(
            (
                x(alert.started_s),
                max(2.0, x(_end_s(alert)) - x(alert.started_s)),
                is_false(trace, passes, alert),
            )
            for alert in trace.alerts
            if alert.started_s < trace.pass_s
        ),
        ticks=tuple(
            (x(count * step), f"{count * step:g} s")
            for count in range(math.floor(trace.pass_s / step) + 1)
        ),
        low=low,
        high=high,
    )


def rows(trace: Trace, passes: int) -> list[tuple[float, Event | None, Alerted | None]]:
    """Return events, and alerts that belong to no event, ordered by time."""
    events: list[tuple[float, Event | None, Alerted | None]] = [
        (event.start_s, event, event.alert) for event in events_of(trace, passes)
    ]
    false = [
        (alert.started_s, None, alert) for alert in trace.alerts if is_false(trace, passes, alert)
    ]
    return sorted([*events, *false], key=lambda row: row[0])


def percent(value: float | None) -> str:
    """Return a share in percent; the word none without a share."""
    return "none" if value is None else f"{value:.0%}"


def of_text(share: Proportion) -> str:
    """Format a share: count, share and interval."""
    if not share.of:
        return "none"
    return f"{share.count}/{share.of} ({share.low:.0%} to {share.high:.0%})"


def rate_text(judgement: Judgement) -> str:
    """Format false alarms per hour with their interval."""
    rate = judgement.false_alarms
    if rate.per_hour is None:
        return f"{rate.count} in no unlabelled time"
    low, high = number(rate.low), number(rate.high)
    return f"{rate.count}: {number(rate.per_hour)}/h ({low} to {high})"


def number(value: float) -> str:
    """Format a number with about three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def delay_text(judgement: Judgement) -> str:
    """Format the median and the worst delay."""
    if judgement.delays is None:
        return "none"
    return f"{judgement.delays.median_s:.1f} s, worst {judgement.delays.worst_s:.1f} s"


def asked_text(judgement: Judgement) -> str:
    """Compare the allowed false alarms with the measured ones, in words."""
    asked, rate = judgement.asked_per_day, judgement.false_alarms
    if asked is None:
        return "fixed threshold"
    if not rate.hours:
        return f"{asked:g}/day asked; nothing measured"
    low, high = rate.low * 24, rate.high * 24
    found = f"{number(rate.count / rate.hours * 24)} measured ({number(low)} to {number(high)})"
    said = f"{asked:g}/day asked, {found}"
    if low > asked:
        return f"{said}: more than asked"
    if (judgement.under_alert or 0.0) > _HARDLY_ENDS:
        return f"{said}, but alerts hardly end"
    return f"{said}: fewer than asked" if high < asked else f"{said}: no contradiction"


def _nice(step: float) -> float:
    """Return the next larger of 1, 2, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(max(step, 1e-3)))
    return next(power * times for times in (1, 2, 5, 10) if power * times >= step)


def _end_s(alert: Alerted) -> float:
    return math.inf if alert.ended_s is None else alert.ended_s


def judgement_json(judgement: Judgement) -> dict[str, Any]:
    """Return the judgement as JSON values."""
    document = asdict(judgement)
    document["recall"]["value"] = judgement.recall.value
    document["precision"]["value"] = judgement.precision.value
    document["false_alarms"]["per_hour"] = judgement.false_alarms.per_hour
    finite: dict[str, Any] = _finite(document)
    return finite


def _trace(trace: Trace, passes: int) -> dict[str, Any]:
    return {
        "clip": trace.clip,
        "rule": trace.rule,
        "pass_s": trace.pass_s,
        "samples": [
            {"t": t, "margin": margin, "threshold": threshold}
            for t, margin, threshold in zip(
                trace.times, trace.margins, trace.thresholds, strict=True
            )
        ],
        "alerts": [
            {**asdict(alert), "false": is_false(trace, passes, alert)} for alert in trace.alerts
        ],
    }


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value
