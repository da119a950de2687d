"""How far decisions move, on numbers that can be counted by hand."""

from dataclasses import replace

import numpy as np

from benchmarks.studies.decisions.changes import summed
from benchmarks.studies.decisions.methods import decide
from benchmarks.studies.decisions.versions import PASSES
from calibration.labels import Label
from calibration.replay import Trace
from edge.alerts.events import Rule

RULE = Rule(threshold=0.1, on_for=1, on_of=1, off_after_s=1.0)
TRACE = Trace(
    "c", "p", "p", (Label(clip="c", prompt="p", start_s=4, end_s=6, tol_s=0.2),), pass_s=10.0
)
TIMES = np.arange(0, 10 * PASSES, 0.5)
EVENT = np.where((TIMES % 10 >= 4) & (TIMES % 10 <= 6), 0.3, -0.1)


def test_what_moves_is_counted_by_sample_and_by_event() -> None:
    before = decide(RULE, EVENT, TIMES, TRACE)
    same = summed([(before, before)])
    assert (same.agreeing, same.lost, same.gained) == (same.samples, 0, 0)
    assert same.verdict.recall.value == 1

    missed = decide(RULE, np.where(TIMES < 10, EVENT - 0.25, EVENT), TIMES, TRACE)
    moved = summed([(missed, before)])
    assert (moved.samples - moved.agreeing, moved.lost, moved.gained) == (5, 1, 0)
    back = summed([(before, missed)])
    assert (back.lost, back.gained) == (0, 1)


def test_an_alert_out_of_nothing_is_false() -> None:
    noisy = EVENT.copy()
    noisy[1] = 0.2
    now = decide(RULE, noisy, TIMES, TRACE)
    moved = summed([(now, decide(RULE, EVENT, TIMES, TRACE))])
    assert moved.verdict.false_alarms.count == 1
    assert decide(replace(RULE, threshold=0.25), noisy, TIMES, TRACE).trace.alerts[0].started_s == 4
