"""What rules do with samples that are rare because nothing moves: docs/events.md has the table."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC
from itertools import count

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from present import present
from prompts import prompt

from edge.alerts.events import EventMachine, Rule, Transition
from edge.alerts.null import AlarmTail
from edge.alerts.null.clusters import Clusters
from edge.alerts.scene.view import View
from edge.alerts.threshold import Calibration
from edge.alerts.watch import WatchedRule
from edge.model.bundle.manifest import Decision
from edge.rules.plan import plan
from edge.video.sample import Arrival

FPS, IDLE = 2.0, 0.1
HOLD_S = 4.0  # for which the gate stays open after the last movement
HIT, MISS = 0.5, 0.0
RULE = Rule.of(prompt(text="x", threshold=0.1), Decision(threshold=0.1, hysteresis=0.0), FPS, IDLE)


@dataclass(frozen=True)
class Seen:
    """One sample: its time, its margin, and whether nothing moved since the one before."""

    at: float
    margin: float
    still: bool = False


def arrival(seconds: float) -> Arrival:
    return Arrival(wall=seconds, monotonic=seconds, pts_s=None)


def full(margins: Sequence[float]) -> list[Seen]:
    """Every sample, as from a camera without a gate."""
    return [Seen(number / FPS, margin) for number, margin in enumerate(margins)]


def thinned(margins: Sequence[float], moves: Callable[[float], bool]) -> list[Seen]:
    """The samples of a camera whose gate is open while something moves, and ``HOLD_S`` longer."""
    kept: list[Seen] = []
    moved_at, before_was_heartbeat = 0.0, False
    for one in full(margins):
        moved_at = one.at if moves(one.at) else moved_at
        if one.at - moved_at <= HOLD_S:
            kept.append(Seen(one.at, one.margin, before_was_heartbeat))
            before_was_heartbeat = False
        elif one.at - kept[-1].at >= 1 / IDLE:
            kept.append(Seen(one.at, one.margin, still=True))
            before_was_heartbeat = True
    return kept


def alerts(samples: Sequence[Seen], rule: Rule = RULE) -> list[tuple[float, float]]:
    """Begin and end of each alert, in seconds; one that runs ends never."""
    numbers = count()
    machine = EventMachine(rule, lambda _at: str(next(numbers)))
    told: list[Transition] = []
    for sample in samples:
        told += machine.step(sample.margin, 0.0, arrival(sample.at), still=sample.still)
    begins = [one.at for one in told if one.type == "start"]
    ends = [one.at for one in told if one.type == "end"]
    return list(zip(begins, [*ends, math.inf], strict=False))


def stretches(lengths: Sequence[int]) -> list[float]:
    """Margins that hit and miss in turn, each for so many samples."""
    return [
        HIT if number % 2 else MISS for number, length in enumerate(lengths) for _ in range(length)
    ]


@given(lengths=st.lists(st.integers(1, 200), min_size=1, max_size=8))
def test_a_gate_that_opens_at_each_change_changes_no_alert(lengths: list[int]) -> None:
    margins = stretches(lengths)
    changes = {number / FPS for number in np.cumsum([0, *lengths])}
    samples = thinned(margins, changes.__contains__)
    assert alerts(samples) == alerts(full(margins))


@given(lengths=st.lists(st.integers(60, 200), min_size=1, max_size=8))
def test_what_changes_behind_a_closed_gate_alerts_at_the_second_heartbeat(
    lengths: list[int],
) -> None:
    # 30 s or more of each: a slow event is seen by the next heartbeat, and believed at the second.
    margins = stretches(lengths)
    late = 2 / IDLE
    found, wanted = alerts(thinned(margins, lambda at: at == 0.0)), alerts(full(margins))
    length_s = len(margins) / FPS
    begun = [pair for pair in wanted if pair[0] + late < min(pair[1], length_s)]
    assert len(begun) <= len(found) <= len(wanted)
    for (begin, end), (begin_wanted, end_wanted) in zip(found, wanted, strict=False):
        assert begin_wanted <= begin <= begin_wanted + late
        if math.isfinite(end):
            assert end_wanted <= end <= end_wanted + late


def beats(*margins: float, apart_s: float = 10.02) -> list[Seen]:
    """Heartbeats, after an open gate that saw nothing."""
    quiet = full([MISS] * 6)
    return quiet + [
        Seen(quiet[-1].at + apart_s * (n + 1), m, still=True) for n, m in enumerate(margins)
    ]


def test_one_heartbeat_alone_alerts_nothing_and_two_in_a_row_do() -> None:
    assert alerts(beats(HIT, MISS, HIT, MISS)) == []
    ((begin, _),) = alerts(beats(HIT, HIT, MISS))
    assert begin == pytest.approx(2.5 + 2 * 10.02)


def test_two_rare_samples_that_are_no_heartbeats_belong_apart_as_before() -> None:
    apart = [Seen(one.at, one.margin) for one in beats(HIT, HIT, HIT)]
    assert alerts(apart) == []


def test_persistence_is_that_of_full_rate_samples() -> None:
    # 40 of 60 at 2/s are 20 s: three heartbeats that hit span them, two do not.
    patient = present(Rule.of(prompt(text="x", threshold=0.1, on={"for": 40, "of": 60}),
                              Decision(threshold=0.1, hysteresis=0.0), FPS, IDLE))  # fmt: skip
    assert alerts(beats(HIT, HIT), patient) == []
    assert alerts(beats(HIT, HIT, HIT), patient) != []


def test_the_first_movement_after_a_heartbeat_that_hit_alerts_at_once() -> None:
    moving = [*beats(HIT), Seen(15.0, HIT, still=True)]
    assert alerts(moving)[0][0] == 15.0
    assert alerts([*beats(MISS), Seen(15.0, HIT, still=True), Seen(15.5, HIT)])[0][0] == 15.5


def test_a_still_camera_ends_no_alert_and_a_silent_one_does() -> None:
    running = full([HIT] * 6)
    still = [Seen(2.5 + 10.02 * n, HIT, still=True) for n in range(1, 7)]
    assert alerts(running + still) == [(0.5, math.inf)]
    silent = [*running, Seen(2.5 + 10.02, HIT)]
    assert alerts(silent)[0] == (0.5, 2.5 + 10.02)
    # A heartbeat that comes much too late says nothing about the time before it.
    frozen = [*running, Seen(2.5 + 3 / IDLE + 1, HIT, still=True)]
    assert alerts(frozen)[0][1] == 2.5 + 3 / IDLE + 1


def test_one_heartbeat_that_misses_ends_no_alert_and_two_do() -> None:
    running = full([HIT] * 6)
    one = [Seen(12.5, MISS, still=True), Seen(22.5, HIT, still=True)]
    assert alerts(running + one) == [(0.5, math.inf)]
    assert alerts([*running, one[0], Seen(22.5, MISS, still=True)]) == [(0.5, 22.5)]


def test_a_cooldown_lasts_as_long_as_it_says() -> None:
    cooled = Rule.of(
        prompt(text="x", threshold=0.1, cooldown="30s"),
        Decision(threshold=0.1, hysteresis=0.0),
        FPS,
        IDLE,
    )
    ended = full([HIT] * 6 + [MISS] * 6)  # the end is at 5 s
    still = [Seen(5.5 + 10 * n, HIT, still=True) for n in range(1, 8)]
    begins = [begin for begin, _ in alerts(ended + still, cooled)]
    # The first heartbeat after 35 s is at 35.5 s; the one after it agrees.
    assert begins == [0.5, 45.5]


@given(
    samples=st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=30),
    threshold=st.integers(0, 8),
    k_of_n=st.sampled_from([(1, 1), (2, 3), (3, 3), (2, 5)]),
)
def test_the_null_distribution_knows_at_which_threshold_a_heartbeat_would_alert(
    samples: list[tuple[int, bool]], threshold: int, k_of_n: tuple[int, int]
) -> None:
    rule = Rule(threshold, on_for=k_of_n[0], on_of=k_of_n[1], still_s=30.0)
    clusters, machine = Clusters(rule), EventMachine(rule, lambda _at: "")
    now = 0.0
    for value, still in samples:
        passed = 10.0 if still else 0.5
        now += passed
        statistic = clusters.push(value, rule.missing(passed) if still else 0)
        began = machine.step(value, 0.0, arrival(now), still=still)
        full_window = len(clusters._recent) >= rule.on_for
        assert bool(began) == (full_window and statistic >= threshold)
        if began:
            return  # from here on the machine follows the alert


def test_learning_counts_the_time_of_heartbeats_and_no_gap_between_them() -> None:
    rng = np.random.default_rng(1)
    with_gate, without = AlarmTail(RULE), AlarmTail(RULE)
    for number in range(8000):
        with_gate.observe(float(rng.normal()), 10.02 * number, alerting=False, still=number > 0)
        without.observe(float(rng.normal()), 10.02 * number, alerting=False)
    asked = with_gate.estimate(10.0)
    assert asked is not None
    assert asked.watched_days == pytest.approx(10.02 * 7999 / 86_400)
    assert without.estimate(10.0) is None  # nothing was watched: the negative control


def sentence(text: str) -> WatchedRule:
    settings = prompt(text=text, threshold=0.1)
    rule = Rule.of(settings, Decision(threshold=0.1, hysteresis=0.0), FPS, IDLE)
    return WatchedRule(plan("rule", settings), rule, Calibration(rule, None, zone=UTC), base=0.1)


def begins(rule: WatchedRule, samples: Sequence[Seen]) -> list[float]:
    return [
        sample.at
        for sample in samples
        for transition in rule.step(
            np.array([sample.margin], np.float32), 0.0, arrival(sample.at), "", still=sample.still
        )
        if transition.type == "start"
    ]


@pytest.mark.parametrize(
    "text", ["a van is parked for at least 30 seconds", "no van for at least 30 seconds"]
)
def test_a_duration_is_measured_in_time_and_not_in_samples(text: str) -> None:
    seen, unseen = (HIT, -HIT) if text.startswith("a van") else (-HIT, HIT)
    # 60 s without, 40 s with; the gate opens at the change.
    margins = [unseen] * 120 + [seen] * 80 + [unseen] * 20
    (wanted,) = begins(sentence(text), full(margins))
    samples = thinned(margins, {0.0, 60.0, 100.0}.__contains__)
    (found,) = begins(sentence(text), samples)
    assert wanted - 1 <= found <= wanted + 1 / IDLE
    # Twenty samples within ten seconds outnumber the heartbeats before them, and prove nothing.
    short = thinned([unseen] * 120 + [seen] * 20 + [unseen] * 20, {0.0, 60.0, 70.0}.__contains__)
    assert begins(sentence(text), short) == []


def test_a_covered_lens_is_noticed_by_heartbeats_within_two_minutes() -> None:
    rng = np.random.default_rng(0)
    scene = (rng.random((3, 36, 64)).repeat(4, 1).repeat(4, 2) * 200 - 100).astype(np.int8)
    black = np.full_like(scene, -128)
    view = View()
    assert all(view.step(scene, float(second)) is None for second in range(60))
    told = [
        (at, change.kind)
        for at in range(70, 200, 10)
        if (change := view.step(black, float(at), still=True)) is not None
    ]
    assert [kind for _, kind in told] == ["covered"]
    assert told[0][0] <= 70 + 120
