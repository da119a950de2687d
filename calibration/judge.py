"""Alerts against labels: what was hit, what was false, how late, with intervals. Pure.

An event is hit by an alert that overlaps it, and an alert is false that overlaps no event, each
with the label's uncertainty in favour of the rule. Every pass through a clip shows the same events,
so however often a clip was played, the intervals count each event, alert and hour once.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from calibration.intervals import wilson_interval
from calibration.replay import Alerted, Trace

Span = tuple[float, float]

_LEVEL: Final = 0.95


@dataclass(frozen=True, slots=True)
class Proportion:
    """So many of so many, over all passes.

    Attributes:
        low: Of the 95 % interval, 0..1.
        high: Likewise.
    """

    count: int
    of: int
    low: float
    high: float

    @property
    def value(self) -> float | None:
        """0..1; None of nothing."""
        return self.count / self.of if self.of else None


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in so long, over all passes; 95 % interval, per hour."""

    count: int
    hours: float
    low: float
    high: float

    @property
    def per_hour(self) -> float | None:
        """None of no time."""
        return self.count / self.hours if self.hours else None


@dataclass(frozen=True, slots=True)
class Delays:
    """From a label's start until the alert goes out, seconds.

    An event that an alert runs into from before has none.
    """

    count: int
    median_s: float
    worst_s: float


@dataclass(frozen=True, slots=True)
class Event:
    """One labelled event in one pass, in seconds of the timeline.

    Attributes:
        alert: The first that hit it; None where it was missed.
    """

    start_s: float
    end_s: float
    alert: Alerted | None


@dataclass(frozen=True, slots=True)
class Judgement:
    """How a rule did on one clip, or several together.

    Attributes:
        clip: File name; empty for several.
        rule: Name; empty for several.
        text: What it says.
        recall: Events hit.
        precision: Alerts that were true.
        false_alarms: Alerts that were not, in the time without a label.
        under_alert: Share of the time without a label that stands under an alert, 0..1: an alert
            that never ends hits everything, and shows here. None where all is labelled.
        delays: None where no alert began inside an event.
        asked_per_day: What the rule asks for; None where its threshold is fixed, or rules differ.
        state: Where the threshold came from.
    """

    clip: str
    rule: str
    text: str
    recall: Proportion
    precision: Proportion
    false_alarms: Rate
    under_alert: float | None
    delays: Delays | None
    asked_per_day: float | None
    state: str


def events_of(trace: Trace, passes: int) -> list[Event]:
    """Every labelled event of every pass."""
    events = []
    for count in range(passes):
        for label in trace.labels:
            start, end = (count * trace.pass_s + at for at in label.span)
            hits = (alert for alert in trace.alerts if _overlaps(alert, (start, end)))
            events.append(Event(start + label.tol_s, end - label.tol_s, next(hits, None)))
    return events


def is_false(trace: Trace, passes: int, alert: Alerted) -> bool:
    """Whether an alert overlaps no labelled event."""
    return not any(_overlaps(alert, span) for span in _spans(trace, passes))


def judge(traces: Sequence[Trace], passes: int) -> Judgement:
    """Judge rules on clips, each played ``passes`` times, as one."""
    events = [event for trace in traces for event in events_of(trace, passes)]
    alerts = [(trace, alert) for trace in traces for alert in trace.alerts]
    false = sum(is_false(trace, passes, alert) for trace, alert in alerts)
    unlabelled_s = sum(_unlabelled_s(trace, passes) for trace in traces)
    under_s = sum(_under_alert_s(trace, passes) for trace in traces)
    delays = sorted(
        event.alert.told_s - event.start_s
        for trace in traces
        for event, label in zip(events_of(trace, passes), trace.labels * passes, strict=True)
        if event.alert is not None and event.alert.started_s >= event.start_s - label.tol_s
    )
    first = traces[0]
    alone = len(traces) == 1
    asked = {trace.asked for trace in traces}
    return Judgement(
        clip=first.clip if alone else "",
        rule=first.rule if len({trace.rule for trace in traces}) == 1 else "",
        text=first.text if len({trace.rule for trace in traces}) == 1 else "",
        recall=share(sum(event.alert is not None for event in events), len(events), passes),
        precision=share(len(alerts) - false, len(alerts), passes),
        false_alarms=rate(false, unlabelled_s / 3600, passes),
        under_alert=under_s / unlabelled_s if unlabelled_s > 0 else None,
        delays=Delays(len(delays), median(delays), delays[-1]) if delays else None,
        asked_per_day=asked.pop() if len(asked) == 1 else None,
        state=", ".join(sorted({trace.state for trace in traces})),
    )


def share(count: int, of: int, passes: int = 1) -> Proportion:
    """A share with Wilson's interval.

    Args:
        count: Successes in all passes.
        of: Trials in all passes.
        passes: How often the same trials were made: they count once in the interval.
    """
    if not of:
        return Proportion(0, 0, 0.0, 1.0)
    return Proportion(count, of, *wilson_interval(count / of, of / passes))


def rate(count: int, hours: float, passes: int = 1) -> Rate:
    """A rate with the exact interval of a Poisson count (Garwood 1936), per hour.

    Args:
        count: In all passes.
        hours: Of all passes.
        passes: As in ``share``.
    """
    if hours <= 0:
        return Rate(count, 0.0, 0.0, math.inf)
    once, hours_once = count / passes, hours / passes
    from scipy.stats import chi2  # noqa: PLC0415  an extra, which --help does without

    low = float(chi2.ppf((1 - _LEVEL) / 2, 2 * once)) / 2 if once else 0.0
    high = float(chi2.ppf((1 + _LEVEL) / 2, 2 * once + 2)) / 2
    return Rate(count, hours, low / hours_once, high / hours_once)


def _overlaps(alert: Alerted, span: Span) -> bool:
    return alert.started_s <= span[1] and _end_s(alert) >= span[0]


def _end_s(alert: Alerted) -> float:
    return math.inf if alert.ended_s is None else alert.ended_s


def _spans(trace: Trace, passes: int) -> list[Span]:
    """Labelled time, uncertainty included."""
    return [
        (count * trace.pass_s + label.span[0], count * trace.pass_s + label.span[1])
        for count in range(passes)
        for label in trace.labels
    ]


def _unlabelled_s(trace: Trace, passes: int) -> float:
    whole = (0.0, passes * trace.pass_s)
    return whole[1] - _covered_s(_spans(trace, passes), whole)


def _under_alert_s(trace: Trace, passes: int) -> float:
    """Time under an alert that is not labelled: what both cover, less what the labels do."""
    whole = (0.0, passes * trace.pass_s)
    labelled = _spans(trace, passes)
    alerts = [(alert.started_s, _end_s(alert)) for alert in trace.alerts]
    return _covered_s([*labelled, *alerts], whole) - _covered_s(labelled, whole)


def _covered_s(spans: Sequence[Span], whole: Span) -> float:
    """How much of ``whole`` lies in any of ``spans``."""
    covered, until = 0.0, whole[0]
    for start, end in sorted(spans):
        start, end = max(start, until), min(end, whole[1])  # noqa: PLW2901  cut to what is new
        if end > start:
            covered += end - start
            until = end
    return covered
