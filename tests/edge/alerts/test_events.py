from collections.abc import Callable
from dataclasses import replace
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from present import present
from prompts import prompt
from ulid import ULID

from edge.alerts.events import EventMachine, RisingIds, Rule, Transition
from edge.model.bundle.manifest import Decision
from edge.video.sample import Arrival

WALL = 1_700_000_000.0
YEAR = 365 * 86400.0

ONE_OF_ONE = Rule(threshold=0.1, on_for=1, on_of=1, off_after_s=0.0)


def at(seconds: float, wall: float | None = None) -> Arrival:
    return Arrival(wall=WALL + seconds if wall is None else wall, monotonic=seconds, pts_s=None)


def counted() -> Callable[[float], str]:
    numbers = count()
    return lambda _at: f"id{next(numbers)}"


def play(
    rule: Rule | None,
    margins: list[float],
    period: float = 0.5,
    machine: EventMachine | None = None,
) -> list[Transition]:
    """Step through margins, one each ``period`` seconds from 0; what was told, in order."""
    machine = machine or EventMachine(present(rule), counted())
    return [
        transition
        for index, margin in enumerate(margins)
        for transition in machine.step(margin, margin + 0.2, at(index * period))
    ]


def brief(transitions: list[Transition]) -> list[tuple[str, float]]:
    return [(t.type, t.at - WALL) for t in transitions]


HIT, MISS = 0.5, 0.0


@pytest.mark.parametrize(
    ("pattern", "start"),
    [
        ([HIT, HIT], 0.5),
        ([HIT, MISS, HIT], 1.0),
        ([HIT, MISS, MISS, HIT], None),
        ([MISS, HIT, MISS, HIT], 1.5),
        ([HIT, MISS, MISS, HIT, HIT], 2.0),
        ([HIT], None),
    ],
)
def test_it_starts_when_two_of_the_last_three_samples_are_hits(
    pattern: list[float], start: float | None
) -> None:
    told = play(Rule(threshold=0.1, on_for=2, on_of=3), pattern)
    assert brief(told) == ([("start", start)] if start else [])


def test_a_sample_exactly_at_the_threshold_is_a_hit_and_one_below_is_not() -> None:
    assert brief(play(ONE_OF_ONE, [0.0999, 0.1])) == [("start", 0.5)]


def test_the_newest_sample_must_itself_be_a_hit() -> None:
    """After a gap in the rule (k lowered while running) two old hits alone must not start it."""
    machine = EventMachine(Rule(threshold=0.1, on_for=3, on_of=3), counted())
    assert play(None, [HIT, HIT], machine=machine) == []
    machine.rule = Rule(threshold=0.1, on_for=2, on_of=3)
    assert machine.step(MISS, 0.0, at(1.0)) == []
    assert [t.type for t in machine.step(HIT, 0.0, at(1.5))] == ["start"]


def test_a_start_carries_the_first_hit_and_the_largest_margin_so_far() -> None:
    (start,) = play(Rule(threshold=0.1, on_for=2, on_of=3), [0.05, 0.7, 0.0, 0.3])
    assert (start.started_at, start.at, start.ended_at) == (WALL + 0.5, WALL + 1.5, None)
    assert (start.margin, start.score, start.peak) == (0.3, 0.5, 0.7)


def test_within_the_hysteresis_an_alert_goes_on_but_none_starts() -> None:
    rule = Rule(threshold=0.5, hysteresis=0.25, on_for=1, on_of=1, off_after_s=0.0)
    assert brief(play(rule, [0.49, 0.25])) == []
    assert brief(play(rule, [0.5, 0.3, 0.25, 0.24])) == [("start", 0.0), ("end", 1.5)]


def test_it_ends_once_every_sample_of_off_after_was_below() -> None:
    rule = Rule(threshold=0.1, on_for=1, on_of=1, off_after_s=1.0)
    told = play(rule, [HIT, HIT, MISS, MISS, HIT, MISS, MISS, MISS, MISS])
    assert brief(told) == [("start", 0.0), ("end", 3.5)]
    assert told[1].ended_at == WALL + 2.0
    assert told[1].id == told[0].id
    assert (told[1].margin, told[1].peak) == (MISS, HIT)


def test_no_alert_starts_within_the_cooldown_and_its_samples_do_not_count_afterwards() -> None:
    rule = Rule(threshold=0.1, on_for=2, on_of=2, off_after_s=0.0, cooldown_s=2.0)
    told = play(rule, [HIT, HIT, MISS, *[HIT] * 6])
    # Ended at 1.0, so quiet to 3.0; hits at 3.0 and 3.5 are the first two that count.
    assert brief(told) == [("start", 0.5), ("end", 1.0), ("start", 3.5)]
    assert told[2].started_at == WALL + 3.0
    assert told[2].id != told[0].id


def test_a_running_alert_reports_itself_every_so_often() -> None:
    rule = Rule(threshold=0.1, on_for=1, on_of=1, off_after_s=5.0, update_every_s=1.0)
    told = play(rule, [0.5, 0.9, 0.2, 0.3, 0.4])
    assert brief(told) == [("start", 0.0), ("update", 1.0), ("update", 2.0)]
    assert [t.margin for t in told] == [0.5, 0.2, 0.4]
    assert [t.peak for t in told] == [0.5, 0.9, 0.9]
    assert {t.id for t in told} == {told[0].id}


def test_update_every_zero_never_updates() -> None:
    rule = Rule(threshold=0.1, on_for=1, on_of=1, update_every_s=0.0)
    assert brief(play(rule, [HIT] * 50)) == [("start", 0.0)]


def test_hits_on_both_sides_of_a_gap_do_not_add_up() -> None:
    rule = Rule(threshold=0.1, on_for=2, on_of=3, gap_s=10.0)
    assert brief(play(rule, [HIT, HIT], period=10.0)) == [("start", 10.0)]
    assert brief(play(rule, [HIT, HIT], period=10.1)) == []


def test_a_gap_ends_the_alert_where_it_was_last_seen() -> None:
    rule = Rule(threshold=0.1, on_for=2, on_of=2, off_after_s=1.0, gap_s=10.0)
    machine = EventMachine(rule, counted())
    play(None, [HIT, HIT], machine=machine)
    (end,) = machine.step(HIT, 0.7, at(60.0))
    assert (end.type, end.at, end.ended_at) == ("end", WALL + 60, WALL + 0.5)
    assert [t.type for t in machine.step(HIT, 0.7, at(60.5))] == ["start"]


def test_finish_ends_what_runs_and_forgets_old_hits() -> None:
    machine = EventMachine(Rule(threshold=0.1, on_for=2, on_of=2), counted())
    play(None, [HIT, HIT], machine=machine)
    (end,) = machine.finish(at(3.0))
    assert (end.type, end.at, end.ended_at, end.margin) == ("end", WALL + 3, WALL + 0.5, HIT)
    assert machine.finish(at(3.0)) == []
    assert machine.step(HIT, 0.7, at(3.5)) == []
    machine.finish(at(3.6))
    assert machine.step(HIT, 0.7, at(4.0)) == []


def test_a_margin_that_is_not_a_number_is_no_hit() -> None:
    rule = Rule(threshold=0.1, on_for=1, on_of=1, off_after_s=0.0)
    nan = float("nan")
    told = play(rule, [nan, HIT, nan])
    assert brief(told) == [("start", 0.5), ("end", 1.0)]
    assert told[1].peak == HIT


@pytest.mark.parametrize("jump", [YEAR, -YEAR, 3600.0])
def test_a_wall_clock_that_jumps_changes_no_decision(jump: float) -> None:
    rule = Rule(threshold=0.1, on_for=2, on_of=3, off_after_s=1.0, cooldown_s=3.0)
    pattern = [HIT, HIT, HIT, MISS, HIT, MISS, MISS, MISS, HIT, HIT] + [HIT] * 20

    def decisions(jump: float) -> list[tuple[int, str, str]]:
        machine = EventMachine(rule, counted())
        return [
            (index, transition.type, transition.id)
            for index, margin in enumerate(pattern)
            for transition in machine.step(
                margin, 0.0, at(index * 0.5, WALL + index * 0.5 + jump * (index % 4))
            )
        ]

    assert len(decisions(0.0)) > 2
    assert decisions(jump) == decisions(0.0)


def test_a_rule_takes_the_measured_defaults_where_the_prompt_sets_none() -> None:
    defaults = Decision(threshold=0.12, hysteresis=0.03)
    dog = prompt(text="a dog", on={"for": 1, "of": 4}, off_after="5s", cooldown="1m")
    assert Rule.of(dog, defaults, fps=2.0) == Rule(
        threshold=0.12,
        hysteresis=0.03,
        on_for=1,
        on_of=4,
        off_after_s=5.0,
        cooldown_s=60.0,
        update_every_s=10.0,
        gap_s=10.0,
    )
    own = dog.model_copy(update={"threshold": 0.0, "off_after": 20.0})
    assert Rule.of(own, defaults, fps=2.0).threshold == 0.0
    assert Rule.of(own, defaults, fps=2.0).gap_s == 20.0
    # One frame in 20 s: neighbours still belong together.
    assert Rule.of(own, defaults, fps=0.05).gap_s == 60.0


def test_ids_are_ulids_of_the_given_time_and_all_differ() -> None:
    new_id = RisingIds()
    ids = [new_id(WALL + 0.25) for _ in range(100)]
    assert len(set(ids)) == 100
    assert {ULID.from_str(id_).milliseconds for id_ in ids} == {1_700_000_000_250}


@pytest.mark.parametrize("jump", [YEAR, -YEAR, -WALL, 3600.0, -3600.0, 0.0])
def test_ids_rise_whatever_the_wall_clock_does(jump: float) -> None:
    new_id = RisingIds()
    ids = [new_id(WALL + 0.5 * n + jump * (n // 10 % 2)) for n in range(40)]
    assert ids == sorted(set(ids))
    # The control: ULIDs of the wall clock alone would not rise.
    alone = [str(ULID.from_timestamp(WALL + 0.5 * n + jump * (n // 10 % 2))) for n in range(40)]
    assert jump == 0.0 or alone != sorted(alone)


rules = st.builds(
    lambda of, share, **rest: Rule(on_of=of, on_for=max(1, round(of * share)), **rest),
    of=st.integers(1, 6),
    share=st.floats(0, 1),
    threshold=st.sampled_from([-0.1, 0.0, 0.2]),
    hysteresis=st.sampled_from([0.0, 0.1]),
    off_after_s=st.sampled_from([0.0, 1.0, 3.0]),
    cooldown_s=st.sampled_from([0.0, 2.0, 7.5]),
    update_every_s=st.sampled_from([0.0, 1.0, 4.0]),
    gap_s=st.sampled_from([1.0, 10.0]),
)
Moment = tuple[float, float | None, float]
# (seconds since the last, margin; None: finish, as when the camera is lost), wall jump
moments = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.04, 0.5, 1.0, 2.0, 30.0]),
        st.none() | st.sampled_from([-0.3, -0.05, 0.05, 0.15, 0.25, 0.9]),
        st.sampled_from([0.0, 0.0, 0.0, YEAR, -YEAR]),
    ),
    max_size=60,
)


def drive(rule: Rule, moments: list[Moment]) -> list[tuple[float, Transition]]:
    """All transitions as (monotonic time, transition), with a finish at the end."""
    machine = EventMachine(rule, counted())
    told, now, wall = [], 0.0, WALL + 100 * YEAR
    for passed, margin, jump in moments:
        now, wall = now + passed, wall + passed + jump
        arrival = at(now, wall)
        steps = machine.finish(arrival) if margin is None else machine.step(margin, 0.0, arrival)
        told += [(now, transition) for transition in steps]
    told += [(now, transition) for transition in machine.finish(at(now, wall))]
    return told


@given(rules, moments)
def test_starts_and_ends_alternate_and_everything_between_belongs_to_its_start(
    rule: Rule, moments: list[Moment]
) -> None:
    running = None
    for _now, transition in drive(rule, moments):
        if transition.type == "start":
            assert running is None
            running = transition
        else:
            assert running is not None
            assert (transition.id, transition.started_at) == (running.id, running.started_at)
            assert transition.peak >= running.peak
            if transition.type == "end":
                running = None
        assert (transition.ended_at is None) == (transition.type != "end")
    assert running is None  # an end for every start


@given(rules, moments)
def test_no_alert_starts_within_the_cooldown_of_the_last(rule: Rule, moments: list[Moment]) -> None:
    ended = float("-inf")
    for now, transition in drive(rule, moments):
        if transition.type == "end":
            ended = now
        if transition.type == "start":
            assert now >= ended + rule.cooldown_s


@given(rules, moments)
def test_updates_are_never_closer_than_asked(rule: Rule, moments: list[Moment]) -> None:
    last = float("-inf")
    for now, transition in drive(rule, moments):
        if transition.type == "update":
            assert rule.update_every_s > 0
            assert now - last >= rule.update_every_s
        last = now


@given(rules, moments)
def test_the_same_input_gives_the_same_output_whatever_the_wall_clock_does(
    rule: Rule, moments: list[Moment]
) -> None:
    def shape(told: list[tuple[float, Transition]]) -> list[tuple[float, str, str, float, float]]:
        return [(now, t.type, t.id, t.margin, t.peak) for now, t in told]

    steady = [(passed, margin, 0.0) for passed, margin, _ in moments]
    assert drive(rule, moments) == drive(rule, moments)
    assert shape(drive(rule, moments)) == shape(drive(rule, steady))


def test_what_examples_taught_comes_before_the_rules_own_and_the_bundles() -> None:
    defaults = Decision(threshold=0.2, hysteresis=0.05)
    taught = {"threshold": 0.1, "hysteresis": 0.01}
    for own in (None, 0.3):
        rule = Rule.of(prompt(text="x", threshold=own, sharpened=taught), defaults, 2)
        assert (rule.threshold, rule.hysteresis) == (0.1, 0.01)
    wide = prompt(text="x", sharpened=taught | {"hysteresis": 0.4})
    assert Rule.of(wide, defaults, 2).hysteresis == 0.05
    plain = Rule.of(prompt(text="x"), defaults, 2)
    assert (plain.threshold, plain.hysteresis) == (0.2, 0.05)


def test_a_rule_at_another_threshold_is_the_same_in_all_else() -> None:
    rule = Rule(0.1, 0.02, 3, 7, 4.0, 5.0, 6.0, 30.0)
    assert rule.at(0.3, 0.01) == replace(rule, threshold=0.3, hysteresis=0.01)
