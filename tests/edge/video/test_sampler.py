from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.video.sampler import Sampler, Use

RATES = st.floats(0.2, 30, allow_nan=False)
SLACK_S = 0.002


def kept(sampler: Sampler, arrivals: list[float]) -> list[float]:
    return [arrival for arrival in arrivals if sampler.keep(arrival)]


def every(seconds: float, count: int, start: float = 0.0) -> list[float]:
    return [start + seconds * index for index in range(count)]


def test_the_mean_rate_is_exact_where_waiting_for_the_period_to_elapse_loses_a_sixth() -> None:
    arrivals = every(1 / 25, 25 * 60)

    naive, last = 0, float("-inf")
    for arrival in arrivals:
        if arrival - last >= 1 / 10:
            naive, last = naive + 1, arrival

    assert len(kept(Sampler(10), arrivals)) == 600
    assert naive == 500  # every third frame: 8.3 fps


@given(fps=RATES, gaps=st.lists(st.floats(0, 1), min_size=1, max_size=300))
def test_any_jitter_keeps_the_rate_within_one_sample_when_frames_are_dense(
    fps: float, gaps: list[float]
) -> None:
    arrivals = list(accumulate([gap * 0.5 / fps for gap in gaps], initial=100.0))
    wanted = (arrivals[-1] - arrivals[0]) * fps
    assert abs(len(kept(Sampler(fps), arrivals)) - wanted) <= 1 + SLACK_S * fps


@given(fps=RATES, gaps=st.lists(st.floats(0, 10), max_size=300))
def test_no_arrivals_whatever_give_more_than_the_rate_or_two_frames_close_together(
    fps: float, gaps: list[float]
) -> None:
    arrivals = list(accumulate([gap / fps for gap in gaps], initial=5.0))
    times = kept(Sampler(fps), arrivals)
    assert len(times) <= (arrivals[-1] - arrivals[0]) * fps + 1 + SLACK_S * fps
    spacings = [after - before for before, after in pairwise(times)]
    assert all(spacing >= 0.5 / fps - SLACK_S for spacing in spacings)


@given(fps=RATES, gaps=st.lists(st.floats(1, 5), max_size=100))
def test_a_camera_slower_than_the_rate_gives_all_it_has(fps: float, gaps: list[float]) -> None:
    arrivals = list(accumulate([gap / fps for gap in gaps], initial=0.0))
    assert kept(Sampler(fps), arrivals) == arrivals


def test_a_camera_at_the_very_rate_survives_jitter() -> None:
    jitter = [0.0, 0.03, -0.05, 0.04, -0.02, 0.01] * 50
    arrivals = [index / 5 + late for index, late in enumerate(jitter)]
    assert len(kept(Sampler(5), arrivals)) >= len(arrivals) - 1


def test_a_burst_after_a_gap_does_not_make_up_for_it() -> None:
    arrivals = [*every(0.1, 10), *every(0.001, 50, start=5.0)]
    assert len([t for t in kept(Sampler(2), arrivals) if t >= 5.0]) == 1


def uses(sampler: Sampler, gop_s: float, gops: int, fps: int = 10, start: float = 0.0) -> list[Use]:
    """Feed ``gops`` GOPs; a frame that would be decoded alone or in a chain is offered back."""
    seen = []
    for index in range(round(gops * gop_s * fps)):
        arrival = start + index / fps
        use = sampler.use(arrival, is_keyframe=index % round(gop_s * fps) == 0)
        if use is not Use.HOLD:
            sampler.keep(arrival)
        seen.append(use)
    return seen


def test_dense_keyframes_are_decoded_alone_and_nothing_else_is() -> None:
    sampler = Sampler(0.5)
    uses(sampler, gop_s=1.0, gops=5)
    later = uses(sampler, gop_s=1.0, gops=20, start=5.0)
    assert sampler.keyframes_only
    assert set(later) == {Use.ALONE, Use.HOLD}
    assert later.count(Use.ALONE) == 10


def test_rare_keyframes_mean_decoding_all_up_to_the_last_frame_wanted() -> None:
    sampler = Sampler(2)
    seen = uses(sampler, gop_s=2.0, gops=10)
    assert set(seen[:80]) == {Use.CHAIN}  # up to the fifth keyframe none is foreseen
    assert seen[100:120] == [Use.CHAIN] * 16 + [Use.HOLD] * 4
    assert not sampler.keyframes_only


def test_a_keyframe_that_is_late_costs_no_frame() -> None:
    sampler = Sampler(2)
    uses(sampler, gop_s=2.0, gops=10)
    late = [sampler.use(20.0 + t, is_keyframe=False) for t in every(0.1, 20)]
    assert set(late) == {Use.CHAIN}  # each with all since the last keyframe


def test_an_aligned_grid_moves_onto_the_keyframes_and_keeps_its_rate() -> None:
    plain, aligned = Sampler(1, 0.7), Sampler(1, 0.7, aligned=True)
    decoded = [uses(sampler, gop_s=2.0, gops=30).count(Use.CHAIN) for sampler in (plain, aligned)]
    assert decoded[1] < 0.7 * decoded[0]
    keeps = [kept(Sampler(1, 0.7, aligned=on), every(0.1, 600)) for on in (False, True)]
    assert abs(len(keeps[0]) - len(keeps[1])) <= 1


def closed(sampler: Sampler, gop_s: float, seconds: float, *, looks: bool = False) -> list[Use]:
    """Uses of packets at 10 a second behind a closed gate, from 100 s on."""
    seen = []
    for index in range(round(seconds * 10)):
        key = index % round(gop_s * 10) == 0
        now = 100.0 + index / 10
        use = sampler.use(now, is_keyframe=key, is_open=False, looks=looks)
        if use is not Use.HOLD:
            sampler.keep(now, is_open=False)
        seen.append(use)
    return seen


def test_a_closed_gate_leaves_a_keyframe_as_a_heartbeat() -> None:
    sampler = Sampler(2, idle=0.1)
    uses(sampler, gop_s=2.0, gops=50)
    seen = closed(sampler, gop_s=2.0, seconds=100)
    assert set(seen) == {Use.HOLD, Use.ALONE}
    assert 9 <= seen.count(Use.ALONE) <= 11


def test_a_closed_gate_that_sees_little_looks_at_a_keyframe_every_two_seconds() -> None:
    sampler = Sampler(2, idle=0.1)
    uses(sampler, gop_s=1.0, gops=100)
    seen = closed(sampler, gop_s=1.0, seconds=100, looks=True)
    assert set(seen) == {Use.HOLD, Use.ALONE}
    assert 40 <= seen.count(Use.ALONE) <= 60


def test_heartbeats_come_though_keyframes_are_a_minute_apart() -> None:
    sampler = Sampler(2, idle=0.1)
    uses(sampler, gop_s=2.0, gops=50)
    seen = closed(sampler, gop_s=60.0, seconds=120)
    assert seen.count(Use.CHAIN) + seen.count(Use.ALONE) >= 9


def test_an_opened_gate_is_sampled_with_the_next_packet() -> None:
    sampler = Sampler(2, idle=0.1)
    uses(sampler, gop_s=2.0, gops=50)
    closed(sampler, gop_s=2.0, seconds=9.5)
    assert sampler.use(109.5, is_keyframe=False) is Use.CHAIN
    assert sampler.keep(109.5)


def test_keyframes_at_the_very_period_are_enough_though_they_jitter() -> None:
    sampler = Sampler(0.5)
    jitter = [0.0, 0.02, -0.01, 0.01, -0.02, 0.0, 0.015, -0.015] * 5
    arrivals = [2.0 * index + late for index, late in enumerate(jitter)]
    taken = [
        arrival
        for arrival in arrivals
        if sampler.use(arrival, is_keyframe=True) is not Use.HOLD and sampler.keep(arrival)
    ]
    assert sampler.keyframes_only
    assert len(taken) >= len(arrivals) - 1


def test_when_keyframes_become_rare_the_chain_starts_at_the_last_one() -> None:
    sampler = Sampler(1)
    uses(sampler, gop_s=0.5, gops=10)
    rare = sampler.keyframes_only
    assert rare
    without = [sampler.use(5.0 + t, is_keyframe=False) for t in every(0.1, 40)]
    assert without[0] is Use.HOLD  # a keyframe may still come
    assert without[-1] is Use.CHAIN
    assert not sampler.keyframes_only
    assert sampler.use(9.0, is_keyframe=True) is Use.CHAIN


def test_a_keyframe_that_failed_once_costs_a_while_of_complete_decoding() -> None:
    sampler = Sampler(1)
    uses(sampler, gop_s=0.5, gops=10)
    sampler.keyframe_failed()
    after = uses(sampler, gop_s=0.5, gops=10, start=5.0)
    assert after[0] is Use.CHAIN
    assert sampler.keyframes_only


def test_keyframes_that_keep_failing_are_not_relied_on() -> None:
    sampler = Sampler(1)
    uses(sampler, gop_s=0.5, gops=10)
    for _ in range(3):
        sampler.keyframe_failed()
    assert set(uses(sampler, gop_s=0.5, gops=20, start=5.0)) == {Use.CHAIN}


@pytest.mark.parametrize("offset", [0.0, 1e-9, -1e-9, 1e6])
def test_rounding_does_not_choose_between_neighbours(offset: float) -> None:
    arrivals = [offset + index / 12 for index in range(120)]
    assert [round((t - offset) * 12) for t in kept(Sampler(2), arrivals)] == list(range(0, 120, 6))


@pytest.mark.parametrize("phase", [0.0, 0.25, 0.9])
def test_a_phase_moves_the_grid_and_keeps_its_rate(phase: float) -> None:
    arrivals = [n / 25 for n in range(1000)]
    times = kept(Sampler(2, phase), arrivals)
    assert times[0] == pytest.approx(phase * 0.5, abs=1 / 25)
    assert abs(len(times) - 80) <= 1
    assert min(later - sooner for sooner, later in pairwise(times)) >= 0.25


def test_cameras_with_different_phases_are_never_sampled_together() -> None:
    arrivals = [n / 25 for n in range(1000)]
    first, second = (set(kept(Sampler(2, phase), arrivals)) for phase in (0.0, 0.618034))
    assert not first & second
