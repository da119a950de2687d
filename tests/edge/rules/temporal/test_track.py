"""Margins of clauses into one margin: order, duration, absence, against naive definitions."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge.rules.temporal.clauses import (
    Absent,
    Expr,
    Gone,
    Lasting,
    Seen,
    Then,
    While,
    clauses,
    parse,
)
from edge.rules.temporal.track import UNKNOWN, Tracker, _Lasting, _Then

A, B, C = Seen("a"), Seen("b"), Seen("c")
GAP_S = 10.0


def run(expression: Expr, series: Any, times: Any = None) -> list[float]:
    tracker = Tracker(expression, GAP_S)
    rows = np.atleast_2d(np.asarray(series, float))
    times = np.arange(rows.shape[1]) / 2 if times is None else times
    return [tracker.step(list(row), at) for row, at in zip(rows.T, times, strict=True)]


def planted(
    length: int, *stretches: tuple[int, int], noise: float = 0.0, seed: int = 0
) -> NDArray[np.float64]:
    """-0.1, and 0.1 within the stretches of samples."""
    margins = np.full(length, -0.1)
    for start, stop in stretches:
        margins[start:stop] = 0.1
    return margins + np.random.default_rng(seed).normal(0, noise, length)


@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_a_then_b_fires_and_b_then_a_does_not(noise: float) -> None:
    first, second = planted(80, (10, 20), noise=noise), planted(80, (30, 40), noise=noise, seed=1)
    expression = Then((A, B), within_s=15)
    assert max(run(expression, [first, second])) > 0
    assert max(run(expression, [second, first])) < 0


def test_order_holds_where_the_two_overlap() -> None:
    expression = Then((A, B), within_s=15)
    early, late = planted(80, (10, 40)), planted(80, (25, 55))
    assert max(run(expression, [early, late])) > 0
    assert max(run(expression, [late, early])) < 0


def test_what_begins_together_is_no_order() -> None:
    both = planted(80, (10, 40))
    assert max(run(Then((A, B), within_s=15), [both, both])) < 0


def test_too_late_is_too_late() -> None:
    first, second = planted(120, (10, 12)), planted(120, (60, 70))
    assert max(run(Then((A, B), within_s=30), [first, second])) > 0
    assert max(run(Then((A, B), within_s=20), [first, second])) < 0


@pytest.mark.parametrize(
    "order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)]
)
def test_three_steps_come_in_their_order_only(order: tuple[int, int, int]) -> None:
    steps = [planted(120, (10, 14)), planted(120, (30, 34)), planted(120, (50, 54))]
    shown = [steps[place] for place in order]
    assert (max(run(Then((A, B, C), within_s=20), shown)) > 0) == (order == (0, 1, 2))


def test_loitering_is_told_after_its_time_and_forgives_a_missed_frame() -> None:
    margins = planted(120, (20, 100))
    margins[[40, 55, 70]] = -0.1
    told = run(Lasting(A, 20), margins)
    first = next(place for place, value in enumerate(told) if value > 0)
    # A fifth of the 20 s may miss it, the time before it came among them: from 16 s on.
    assert 20 + 32 <= first <= 20 + 40
    assert max(run(Lasting(A, 20), planted(120, (20, 50)))) < 0  # it stays for 15 s


def test_absence_is_told_of_what_was_there_and_of_what_was_not() -> None:
    there_then_not, never = planted(120, (10, 40)), planted(120)
    gone = run(Gone(A, 10), there_then_not)
    assert max(gone[:40]) < 0
    assert max(gone) > 0
    assert max(run(Gone(A, 10), never)) < 0
    assert run(Absent(A, 10), never)[-1] > 0
    assert run(Absent(A, 10), there_then_not)[35] < 0


def test_while_is_both_at_once() -> None:
    first, second = planted(60, (10, 30)), planted(60, (20, 40))
    told = np.array(run(While((A, B)), [first, second]))
    assert (np.flatnonzero(told > 0) == np.arange(20, 30)).all()


def test_a_gap_begins_anew() -> None:
    first, second = planted(80, (10, 20)), planted(80, (30, 40))
    times = np.arange(80) / 2
    times[25:] += GAP_S + 1
    assert max(run(Then((A, B), within_s=60), [first, second], times)) < 0
    assert run(Absent(A, 10), planted(80), times)[26] == UNKNOWN


times_of = st.lists(st.floats(0.05, 3.0), min_size=1, max_size=60).map(np.cumsum)


def naive(  # noqa: C901
    expression: Expr, rows: NDArray[np.float64], times: list[float], place: int
) -> float:
    """By the definitions, looking at all samples each time."""

    def value(node: Expr, index: list[int], at: int) -> float:
        count = len(clauses(node))
        own = index[:count]
        match node:
            case Seen():
                return float(rows[own[0]][at])
            case While(parts):
                return min(of_parts(parts, own, at))
            case Lasting(what, seconds):
                return low([value(what, own, k) for k in range(at + 1)], seconds, at)
            case Absent(what, seconds):
                return low([-value(what, own, k) for k in range(at + 1)], seconds, at)
            case Gone(what, seconds):
                begin, end = times[at] - seconds - 60, times[at] - seconds
                before = [k for k in range(at + 1) if begin <= times[k] <= end]
                was = max((value(what, own, k) for k in before), default=UNKNOWN)
                return min(value(Absent(what, seconds), own, at), was)
            case Then(steps, within_s):
                chain = value(steps[0], own, at)
                return order(steps, own, at, within_s, chain)

    def of_parts(parts: tuple[Expr, ...], own: list[int], at: int) -> Iterator[float]:
        place = 0
        for part in parts:
            yield value(part, own[place:], at)
            place += len(clauses(part))

    def order(
        steps: tuple[Expr, ...], own: list[int], at: int, within_s: float, _chain: float
    ) -> float:
        chains = [[value(steps[0], own, k) for k in range(at + 1)]]
        place = len(clauses(steps[0]))
        for step in steps[1:]:
            last = [value(step, own[place:], k) for k in range(at + 1)]
            place += len(clauses(step))
            chains.append(
                [
                    min(
                        last[t],
                        max(
                            (
                                min(chains[-1][tau], unseen(last, tau))
                                for tau in range(t)
                                if times[tau] >= times[t] - within_s
                            ),
                            default=UNKNOWN,
                        ),
                    )
                    for t in range(at + 1)
                ]
            )
        return chains[-1][at]

    def unseen(values: list[float], at: int) -> float:
        lately = [values[k] for k in range(at + 1) if times[k] >= times[at] - 2.0]
        return UNKNOWN if UNKNOWN in lately else -max(lately)

    def low(values: list[float], seconds: float, at: int) -> float:
        if times[at] - times[0] < seconds:
            return UNKNOWN
        # One at or before the beginning of the span, and all within. Rounding can put the first
        # just after the beginning although it is a whole span ago.
        start = max((k for k in range(at + 1) if times[k] <= times[at] - seconds), default=0)
        span = sorted(values[start:])
        return span[int(0.2 * (len(span) - 1))]

    return value(expression, list(range(len(rows))), place)


@given(
    times_of,
    st.sampled_from(
        [
            Lasting(A, 4.0),
            Absent(A, 2.0),
            Gone(A, 3.0),
            Then((A, B), 5.0),
            Then((A, B, C), 6.0),
            While((A, Lasting(B, 2.0))),
            Then((A, Absent(B, 2.0)), 5.0),
        ]
    ),
    st.integers(0, 2**32 - 1),
)
def test_what_is_kept_from_sample_to_sample_is_what_the_definition_says(
    times_s: NDArray[np.float64], expression: Expr, seed: int
) -> None:
    rows = np.random.default_rng(seed).normal(0, 0.1, (len(clauses(expression)), len(times_s)))
    times = times_s.tolist()
    told = run(expression, rows, times)
    expected = [naive(expression, rows, times, place) for place in range(len(times))]
    assert told == pytest.approx(expected, abs=1e-12)
    assert np.isfinite(told).all()


@pytest.mark.parametrize("start", [4, 100])
def test_a_step_that_cannot_be_told_yet_has_not_been_unseen(start: int) -> None:
    """Or whatever is seen right after a start or a reconnect would be followed by an absence."""
    never = planted(200)
    seen = planted(200, (start, start + 4))
    assert max(run(Then((A, Absent(B, 10.0)), within_s=30), [seen, never])) < 0


def test_a_step_may_be_an_absence_of_what_was_there() -> None:
    first, second = planted(200, (90, 104)), planted(200, (60, 100))
    expression = Then((A, Absent(B, 10.0)), within_s=60)
    assert max(run(expression, [first, second])) > 0


def test_its_memory_is_bounded() -> None:
    tracker = Tracker(parse("a dog then no cat for 20 s within 30 s"), GAP_S)
    rng = np.random.default_rng(0)
    for position in range(20_000):
        tracker.step(rng.normal(0, 0.1, 2).tolist(), position / 2)
    node = tracker._node
    assert isinstance(node, _Then)
    absence = node._steps[1]
    assert isinstance(absence, _Lasting)
    assert len(node._so_far[0]._values) <= 61
    assert len(absence._span._values) <= 42


def test_a_wrong_number_of_margins_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="expected 2 margins, found 1"):
        Tracker(Then((A, B), 5), GAP_S).step([0.0], 0.0)
