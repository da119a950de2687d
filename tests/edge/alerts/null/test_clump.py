"""Alerts that follow each other within minutes."""

import pytest

from edge.alerts.null.clump import Clump


def run(clump: Clump, begins_s: float, seconds: float = 5.0) -> int:
    """One alert; return its place."""
    clump.follow(begins_s, begins=True)
    clump.follow(begins_s + seconds, begins=False)
    return clump.alerts


def test_the_ten_minutes_count_from_the_end_of_the_alert_before() -> None:
    clump = Clump()
    assert [run(clump, at_s) for at_s in (0.0, 400.0, 1004.0)] == [1, 2, 3]
    assert run(clump, 1009.0 + 600.0) == 1
    assert run(clump, 2000.0, seconds=3600.0) == 2
    assert run(clump, 5700.0) == 3


def test_again_and_again_is_from_the_second_alert_on_until_ten_minutes_later() -> None:
    clump = Clump()
    assert not clump.again(0.0)
    run(clump, 0.0)
    assert not clump.again(10.0)
    run(clump, 100.0)
    assert clump.again(110.0)
    assert not clump.again(705.0)


def test_margins_between_the_alerts_are_those_of_this_clump_and_of_the_last_minutes() -> None:
    clump = Clump()
    run(clump, 0.0)
    clump.pause(7.0, 100, 50.0)
    run(clump, 1000.0)
    assert (clump.total, clump.count, clump.between_s) == (0.0, 0, 0.0)
    for begins_s in (1500.0, 2000.0):
        clump.pause(6.0, 900, 470.0)
        run(clump, begins_s)
    assert clump.total / clump.count == pytest.approx(6 / 900)
    clump.pause(6.0, 900, 470.0)
    run(clump, 2500.0)
    assert clump.count == 0


def levels(clump: Clump) -> tuple[float | None, float | None]:
    """The level between the alerts, and the one after the last."""
    return clump.level, clump.level_after


def test_the_level_between_is_of_a_minute_and_that_after_of_ten_seconds() -> None:
    clump = Clump()
    run(clump, 0.0)
    clump.pause(60.0, 59, 59.0)
    assert levels(clump)[0] is None
    clump.pause(1.0, 1, 1.0)
    run(clump, 65.0)
    assert levels(clump) == (61 / 60, None)
    clump.pause(0.0, 10, 10.0)
    assert levels(clump)[1] == 0
    run(clump, 90.0)
    assert levels(clump)[1] is None
    clump.forget()
    assert levels(clump) == (None, None)
