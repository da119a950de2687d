"""Which alerts are on, told when it changes."""

from edge.control.announce.alerting import TEST_S, AlertingTopics
from edge.delivery.topics import Topics

YARD, GATE = ("yard", "cat"), ("gate", "cat")


def told(
    board: AlertingTopics, alerting: dict[tuple[str, str], bool], now: float = 0.0
) -> dict[str, bytes]:
    return {message.topic: message.payload for message in board.changes(alerting, now)}


def test_all_are_told_once_and_then_only_what_changes() -> None:
    board = AlertingTopics(Topics("edge", "box"))
    assert told(board, {YARD: False, GATE: True}) == {
        "edge/box/yard/cat/alerting": b"OFF",
        "edge/box/gate/cat/alerting": b"ON",
    }
    assert told(board, {YARD: False, GATE: True}) == {}
    assert told(board, {YARD: True, GATE: True}) == {"edge/box/yard/cat/alerting": b"ON"}


def test_a_rule_that_went_and_comes_back_is_told_anew() -> None:
    board = AlertingTopics(Topics("edge", "box"))
    told(board, {YARD: False, GATE: False})
    assert told(board, {GATE: False}) == {}
    assert told(board, {YARD: False, GATE: False}) == {"edge/box/yard/cat/alerting": b"OFF"}


def test_a_test_is_on_for_a_moment_and_hides_no_alert() -> None:
    board = AlertingTopics(Topics("edge", "box"))
    told(board, {YARD: False, GATE: True})
    board.test([YARD, GATE], now=10.0)
    assert told(board, {YARD: False, GATE: True}, 10.1) == {"edge/box/yard/cat/alerting": b"ON"}
    assert told(board, {YARD: False, GATE: True}, 10.1 + TEST_S) == {
        "edge/box/yard/cat/alerting": b"OFF"
    }
