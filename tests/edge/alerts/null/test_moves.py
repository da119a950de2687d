"""When alerts that came with another level of the stream are false beyond doubt."""

import math

from edge.alerts.null.moves import LONGEST_EVENT_S, Moves


def test_a_level_that_lasts_tells_once_when_the_stream_came_to_it() -> None:
    moves = Moves()
    assert moves.due_s == math.inf
    moves.add(2000.0, 1820.0)
    due_s = moves.due_s
    assert due_s == 2000.0 + LONGEST_EVENT_S
    assert moves.lasting(due_s - 1) is None
    assert moves.lasting(due_s) == (1820.0, 2000.0)
    assert moves.lasting(due_s + 1) is None
    assert moves.due_s == math.inf
    # The return, after hours.
    moves.add(20_000.0, 19_820.0)
    assert moves.lasting(30_000.0) == (19_820.0, 20_000.0)


def test_who_comes_and_leaves_within_half_an_hour_proves_nothing() -> None:
    moves = Moves()
    moves.add(1000.0, 820.0)
    moves.add(1600.0, 1420.0)
    assert moves.lasting(100_000.0) is None
    moves.add(100_000.0, 99_820.0)  # negative control
    assert moves.lasting(110_000.0) == (99_820.0, 100_000.0)


def test_who_stood_there_at_a_restart_and_leaves_proves_nothing() -> None:
    moves = Moves(since_s=50_000.0)
    moves.add(50_700.0, 50_520.0)
    assert moves.lasting(100_000.0) is None
    moves.add(100_000.0, 99_820.0)  # negative control
    assert moves.lasting(110_000.0) == (99_820.0, 100_000.0)


def test_a_move_that_alerts_alone_tell_is_a_change_and_no_proof() -> None:
    moves = Moves()
    moves.add(1000.0)
    assert moves.lasting(2900.0) is None
    moves.add(2000.0, 1820.0)
    assert moves.lasting(9000.0) is None
