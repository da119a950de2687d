"""Compares alerts with labels: which events were hit, which alerts were false, and how late. Pure.

An alert hits an event if it overlaps it, and is false if it overlaps no event. The label's
uncertainty counts in favour of the rule in both cases. Every pass through a clip shows the same
events, so the intervals count each event, alert and hour once, however often a clip was played.
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
    """Share over all passes, with its interval.

    Attributes:
        count: Successes.
        of: Trials.
        low: Lower end of the 95 % interval, 0..1.
        high: Upper end of the 95 % interval, 0..1.
    """

    count: int
    of: int
    low: float
    high: float

    @property
    def value(self) -> float | None:
        """Share as a number, 0..1; None without trials."""
        return self.count / self.of if self.of else None


@dataclass(frozen=True, slots=True)
class Rate:
    """Count per time over all passes, with its interval.

    Attributes:
        count: Number of occurrences.
        hours: Time that was observed, hours.
        low: Lower end of the 95 % interval, per hour.
        high: Upper end of the 95 % interval, per hour.
    """

    count: int
    hours: float
    low: float
    high: float

    @property
    def per_hour(self) -> float | None:
        """Occurrences per hour; None without time."""
        return self.count / self.hours if self.hours else None


@dataclass(frozen=True, slots=True)
class Delays:
    """Delays from the start of a label until its alert is published.

    An event that began during an alert has no delay.

    Attributes:
        count: Number of delays.
        median_s: Median, seconds.
        worst_s: Longest, seconds.
    """

    count: int
    median_s: float
    worst_s: float


@dataclass(frozen=True, slots=True)
class Event:
    """One labelled event in one pass.

    Attributes:
        start_s: Start, seconds of the timeline.
        end_s: End, seconds of the timeline.
        alert: First alert that hit it; None where it was missed.
    """

    start_s: float
    end_s: float
    alert: Alerted | None


@dataclass(frozen=True, slots=True)
class Judgement:
    """Judgement on one rule on one clip, or on several together.

    Attributes:
        clip: File name of the clip; empty for several.
        rule: Name of the rule; empty for several.
        text: Sentences of the rule; empty for several.
        recall: Share of events that were hit.
        precision: Share of alerts that were true.
        false_alarms: Rate of false alerts in the time without a label.
        under_alert: Share of the time without a label that lies under an alert, 0..1. It reveals an
            alert that never ends and so hits everything. None where all time is labelled.
        delays: Delays of the alerts; None where no alert began inside an event.
        asked_per_day: False alarms per day that the rule allows; None where its threshold is fixed
            or the rules differ.
        state: Source of the threshold.
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
    """Return every labelled event of every pass."""
    events = []
    for count in range(passes):
        for label in trace.labels:
            start, end = (count * trace.pass_s + at for at in label.span)
            hits = (alert for alert in trace.alerts if _overlaps(alert, (start, end)))
            events.append(Event(start + label.tol_s, end - label.tol_s, next(hits, None)))
    return events


def is_false(trace: Trace, passes: int, alert: Alerted) -> bool:
    """Return whether an alert overlaps no labelled event."""
    return not any(_overlaps(alert, span) for span in _spans(trace, passes))


def judge(traces: Sequence[Trace], passes: int) -> Judgement:
    """Return one judgement on rules and clips together; each clip was played ``passes`` times."""
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
    """Return a share with Wilson's interval.

    Args:
        count: Successes in all passes.
        of: Trials in all passes.
        passes: Number of passes; each repeats the same trials, which count once in the interval.
    """
    if not of:
        return Proportion(0, 0, 0.0, 1.0)
    return Proportion(count, of, *wilson_interval(count / of, of / passes))


def rate(count: int, hours: float, passes: int = 1) -> Rate:
    """Return a rate per hour with the exact interval of a Poisson count (Garwood 1936).

    Args:
        count: Occurrences in all passes.
        hours: Hours of all passes.
        passes: Number of passes, as in ``share``.
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
    """Return the labelled spans of all passes, with their uncertainty."""
    return [
        (count * trace.pass_s + label.span[0], count * trace.pass_s + label.span[1])
        for count in range(passes)
        for label in trace.labels
    ]


def _unlabelled_s(trace: Trace, passes: int) -> float:
    whole = (0.0, passes * trace.pass_s)
    return whole[1] - _covered_s(_spans(trace, passes), whole)


def _under_alert_s(trace: Trace, passes: int) -> float:
    """Return the unlabelled time under an alert: covered by alerts or labels, less by labels."""
    whole = (0.0, passes * trace.pass_s)
    labelled = _spans(trace, passes)
    alerts = [(alert.started_s, _end_s(alert)) for alert in trace.alerts]
    return _covered_s([*labelled, *alerts], whole) - _covered_s(labelled, whole)


def _covered_s(spans: Sequence[Span], whole: Span) -> float:
    """Return the length of ``whole`` that lies in any of ``spans``."""
    covered, until = 0.0, whole[0]
    for start, end in sorted(spans):
        start, end = max(start, until), min(end, whole[1])  # noqa: PLW2901  cut to what is new
        if end > start:
            covered += end - start
            until = end
    return covered
