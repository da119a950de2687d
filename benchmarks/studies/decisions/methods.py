"""Decides on the scores of a clip with several methods, by sample and by event.

* ``cosine, fixed``: by the similarity itself, as a slider in other software does. Its threshold is
  set on the unchanged clip, for each rule and clip, so that as many samples are hits as by margin;
* ``margin, fixed``: the bundle's threshold on the margin;
* ``margin, baseline``: that threshold moved by as much as the version's ordinary (unlabelled)
  margins have moved, as the baseline of ``edge.alerts.null`` does within half an hour;
* ``margin, tail``: a tail (``edge/alerts/null/tail.py``) is fitted to the version's ordinary
  margins above their median; it exceeds the threshold as rarely as the unchanged clip's exceeds the
  bundle's.

The daemon learns from at least a hundred peaks, over hours; these clips last seconds, and on them
it keeps the bundle's threshold. The last two methods show what its parts would do with so little
data. Rules with fewer than twenty ordinary samples keep the bundle's threshold.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.studies.decisions.versions import (
    FPS,
    PASSES,
    REFERENCE,
    VERSIONS,
    VersionScores,
)
from calibration.labels import Label
from calibration.replay import Alerted, Setup, Trace, clip_s
from edge.alerts.events import EventMachine, Rule
from edge.alerts.null.tail import Tail, fit
from edge.video.sample import Arrival

# Fewest ordinary samples of a clip for a threshold of its own.
_FEWEST: Final = 20
METHODS: Final = ("cosine, fixed", "margin, fixed", "margin, baseline", "margin, tail")


@dataclass(frozen=True, slots=True, eq=False)
class Decided:
    """Decisions for one rule on one clip.

    Attributes:
        hits: Whether each sample reaches the threshold, bool [n].
        trace: Samples and alerts of the rule.
        passes: Number of passes through the clip.
    """

    hits: NDArray[np.bool_]
    trace: Trace
    passes: int


def decide(
    rule: Rule, values: NDArray[np.float64], times: NDArray[np.float64], trace: Trace
) -> Decided:
    """Decide with the event machine.

    Args:
        rule: Threshold and timing of the rule.
        values: Margins or cosines, float64 [n].
        times: Seconds of the timeline, float64 [n], ascending.
        trace: Record of the rule and the clip, without samples and alerts.
    """
    machine = EventMachine(rule)
    alerts: list[Alerted] = []
    for at, value in zip(times, values, strict=True):
        moment = Arrival(float(at), float(at), None)
        for transition in machine.step(float(value), 0.0, moment):
            if transition.type == "start":
                alerts.append(Alerted(transition.started_at, transition.at))
            elif transition.type == "end":
                alerts[-1] = replace(alerts[-1], ended_s=transition.ended_at)
    decided = replace(trace, alerts=alerts, times=list(times), margins=list(values))
    return Decided(values >= rule.threshold, decided, PASSES)


def by_baseline(
    here: NDArray[np.float64], unchanged: NDArray[np.float64], threshold: float
) -> float:
    """Return the threshold as far above margins ``here`` [n] as it is above ``unchanged`` [m]."""
    if min(len(here), len(unchanged)) < _FEWEST:
        return threshold
    return threshold + float(here.mean() - unchanged.mean())


def by_tail(here: NDArray[np.float64], unchanged: NDArray[np.float64], threshold: float) -> float:
    """Return the threshold that margins ``here`` [n] exceed as rarely as ``unchanged`` [m] theirs.

    A threshold below the ordinary margins moves with their median.
    """
    if min(len(here), len(unchanged)) < _FEWEST:
        return threshold
    (there, before), (base, tail) = (_tail(values) for values in (unchanged, here))
    if before is None or tail is None or threshold <= there:
        return base + threshold - there
    hazard = float(before.hazards(np.array([threshold - there]))[0])
    return base + float(tail.excesses(np.array([hazard]))[0])


def _tail(values: NDArray[np.float64]) -> tuple[float, Tail | None]:
    base = float(np.median(values))
    excesses = values[values > base] - base
    if len(excesses) < 2:
        return base, None
    return base, fit(excesses, np.full(len(excesses), np.inf), np.ones(len(excesses)))


def decide_all(
    versions: Mapping[str, VersionScores],
    labels: Mapping[str, Sequence[Label]],
    setup: Setup,
    clip: Path,
) -> Iterator[tuple[str, str, str, Decided, Decided]]:
    """Decide on every version with every method, for every rule.

    Args:
        versions: Scores by version of the clip.
        labels: Labels by rule.
        setup: Configuration, models and bank of the scores.
        clip: File of the clip.

    Yields:
        Version, method, rule, decisions on the version, and decisions on the unchanged clip.
    """
    base = versions[REFERENCE]
    decision = setup.models.bundle.manifest.decision
    pass_s = clip_s(clip, FPS)
    for name, own in labels.items():
        column = setup.bank.names.index(name)
        rule = Rule.of(setup.config.prompts[name], decision, FPS)
        trace = Trace(clip.name, name, setup.config.prompts[name].text[0], tuple(own), pass_s)
        hits = (base.margin[:, column] >= rule.threshold).mean()
        # A rank, so that ties do not matter: as many samples are hits by cosine as by margin.
        level = float(np.quantile(base.cosine[:, column], 1 - hits, method="higher"))
        raw = replace(rule, threshold=level)
        unchanged: dict[str, Decided] = {}
        for version in (REFERENCE, *VERSIONS):
            scores = versions[version]
            ordinary = (
                scores.margin[_ordinary(scores.times, trace), column],
                base.margin[_ordinary(base.times, trace), column],
                rule.threshold,
            )
            moved, rare = by_baseline(*ordinary), by_tail(*ordinary)
            methods: dict[str, tuple[Rule, NDArray[np.float64]]] = {
                METHODS[0]: (raw, scores.cosine[:, column]),
                METHODS[1]: (rule, scores.margin[:, column]),
                METHODS[2]: (replace(rule, threshold=moved), scores.margin[:, column]),
                METHODS[3]: (replace(rule, threshold=rare), scores.margin[:, column]),
            }
            for method, (used, values) in methods.items():
                decided = decide(used, values, scores.times, trace)
                unchanged.setdefault(method, decided)
                yield version, method, name, decided, unchanged[method]


def _ordinary(times: NDArray[np.float64], trace: Trace) -> NDArray[np.bool_]:
    within = times % trace.pass_s
    labelled = np.zeros(len(times), bool)
    for label in trace.labels:
        labelled |= (within >= label.span[0]) & (within <= label.span[1])
    return ~labelled
