"""Which message a connection ended over: suspects, strikes, and the rest that follows."""

import pytest

from edge.delivery.quarantine import Quarantine


@pytest.fixture
def quarantine() -> Quarantine:
    return Quarantine(rest_s=10.0)


def test_what_was_on_the_wire_is_suspected_and_three_breaks_alone_strike_it_out(
    quarantine: Quarantine,
) -> None:
    assert quarantine.broken([1, "a", "b"], answered=True) is None
    assert all(quarantine.suspects(key) for key in (1, "a", "b"))
    quarantine.acknowledged(1)
    quarantine.acknowledged("b")
    assert quarantine.suspects("a")
    struck = [quarantine.broken(["a"], answered=True) for _ in range(3)]
    assert struck == [None, None, "a"]


def test_a_first_break_is_no_strike(quarantine: Quarantine) -> None:
    """Networks fail while a message happens to be alone."""
    struck = [quarantine.broken([number], answered=True) for number in range(100)]
    assert set(struck) == {None}


def test_a_broker_that_acknowledges_nothing_strikes_nobody_out(quarantine: Quarantine) -> None:
    assert {quarantine.broken(["a"], answered=False) for _ in range(10)} == {None}


def test_an_acknowledgement_clears_strikes(quarantine: Quarantine) -> None:
    for _ in range(3):
        quarantine.broken(["a"], answered=True)
    quarantine.acknowledged("a")
    assert not quarantine.suspicious
    assert [quarantine.broken(["a"], answered=True) for _ in range(3)] == [None] * 3


def test_a_struck_message_stays_suspected_while_others_break_connections(
    quarantine: Quarantine,
) -> None:
    for _ in range(2):
        quarantine.broken(["a"], answered=True)
    quarantine.broken(["b", "c"], answered=True)
    assert quarantine.suspects("a")
    quarantine.broken(["a"], answered=True)
    assert quarantine.broken(["a"], answered=True) == "a"


def test_quarantine_ends_and_one_strike_more_begins_it_again(quarantine: Quarantine) -> None:
    for _ in range(4):
        quarantine.broken([7], answered=True)
    quarantine.add(7, "edge/box/yard/alert", now=100.0)
    assert quarantine.holds(7)
    assert list(quarantine.topics) == ["edge/box/yard/alert"]
    assert not quarantine.release(109.9)
    assert quarantine.release(110.0)
    assert not quarantine.holds(7)
    assert not quarantine.topics
    assert quarantine.suspects(7)
    assert quarantine.broken([7], answered=True) == 7


def test_a_lane_rests_longer_with_each_message_that_is_struck_out(quarantine: Quarantine) -> None:
    rests = [quarantine.lane_rest_s(struck) for struck in range(2, 20)]
    assert rests[:3] == [10 / 64, 20 / 64, 40 / 64]
    assert rests[-1] == 10.0
