"""How far decisions move, on numbers that can be counted by hand."""

from dataclasses import replace

import av
import numpy as np
import pytest

from benchmarks.decisions import by_baseline, by_tail, decide, summed
from benchmarks.looks import PASSES, reencoded
from calibration.labels import Label
from calibration.replay import Trace
from edge.alerts.events import Rule
from edge.testing.synthetic import write_clip

RULE = Rule(threshold=0.1, on_for=1, on_of=1, off_after_s=1.0)
TRACE = Trace(
    "c", "p", "p", (Label(clip="c", prompt="p", start_s=4, end_s=6, tol_s=0.2),), pass_s=10.0
)
TIMES = np.arange(0, 10 * PASSES, 0.5)
EVENT = np.where((TIMES % 10 >= 4) & (TIMES % 10 <= 6), 0.3, -0.1)


@pytest.mark.parametrize(("times", "plus"), [(1.0, 0.0), (0.5, 0.0), (1.0, -0.2), (1.7, 0.3)])
def test_a_threshold_is_learned_where_margins_are_moved_and_stretched(times, plus):
    ordinary = np.random.default_rng(1).normal(-0.1, 0.05, 60)
    found = by_tail(times * ordinary + plus, ordinary, 0.02)
    assert found == pytest.approx(times * 0.02 + plus, abs=1e-3)


def test_a_threshold_below_ordinary_margins_moves_with_them():
    ordinary = np.random.default_rng(1).normal(0.3, 0.05, 60)
    assert by_tail(ordinary + 0.1, ordinary, 0.02) == pytest.approx(0.12)


def test_few_ordinary_samples_say_nothing():
    assert by_tail(np.zeros(5), np.ones(60), 0.02) == 0.02
    assert by_baseline(np.zeros(5), np.ones(60), 0.02) == 0.02


def test_a_baseline_moves_the_threshold_as_far_as_ordinary_margins_move():
    ordinary = np.random.default_rng(1).normal(-0.1, 0.05, 60)
    assert by_baseline(ordinary - 0.2, ordinary, 0.02) == pytest.approx(-0.18)


def test_what_moves_is_counted_by_sample_and_by_event():
    before = decide(RULE, EVENT, TIMES, TRACE)
    same = summed([(before, before)])
    assert (same.agreeing, same.lost, same.gained) == (same.samples, 0, 0)
    assert same.verdict.recall.value == 1

    missed = decide(RULE, np.where(TIMES < 10, EVENT - 0.25, EVENT), TIMES, TRACE)
    moved = summed([(missed, before)])
    assert (moved.samples - moved.agreeing, moved.lost, moved.gained) == (5, 1, 0)
    back = summed([(before, missed)])
    assert (back.lost, back.gained) == (0, 1)


def test_an_alert_out_of_nothing_is_false():
    noisy = EVENT.copy()
    noisy[1] = 0.2
    now = decide(RULE, noisy, TIMES, TRACE)
    moved = summed([(now, decide(RULE, EVENT, TIMES, TRACE))])
    assert moved.verdict.false_alarms.count == 1
    assert decide(replace(RULE, threshold=0.25), noisy, TIMES, TRACE).trace.alerts[0].started_s == 4


def test_a_clip_encoded_again_has_the_same_pictures_at_the_same_times(tmp_path):
    clip = write_clip(tmp_path / "a.mp4", width=64, height=48, fps=10, seconds=2, bframes=2)

    def frames(path):
        with av.open(str(path)) as container:
            return [(f.time, f.to_ndarray(format="rgb24").astype(int)) for f in
                    container.decode(video=0)]  # fmt: skip

    before, after = frames(clip), frames(reencoded(clip, tmp_path / "b.mp4", 23))
    start = before[0][0] - after[0][0]
    assert [t for t, _ in after] == pytest.approx([t - start for t, _ in before], abs=1e-3)
    worst = max(np.abs(a - b).mean() for (_, a), (_, b) in zip(before, after, strict=True))
    assert 0 < worst < 8
    poor = frames(reencoded(clip, tmp_path / "c.mp4", 45))
    assert max(np.abs(a - b).mean() for (_, a), (_, b) in zip(before, poor, strict=True)) > worst
