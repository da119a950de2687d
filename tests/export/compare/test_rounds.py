"""Turns: every way has one in each round."""

from collections.abc import Callable
from functools import partial

from export.compare.rounds import in_turns


def test_every_way_has_a_turn_in_each_round_in_an_order_drawn_anew() -> None:
    opened: list[str] = []

    def way(name: str) -> Callable[[], None]:
        opened.append(name)
        return lambda: None

    done: list[int] = []
    names = ("a", "b", "c")
    times = in_turns(
        {name: partial(way, name) for name in names}, 8, 0, lambda: done.append(len(opened))
    )
    turns = [opened[start : start + 3] for start in range(0, 24, 3)]
    assert all(sorted(turn) == ["a", "b", "c"] for turn in turns)
    assert len({tuple(turn) for turn in turns}) > 2
    assert done == list(range(1, 25))
    assert {name: len(rounds) for name, rounds in times.items()} == dict.fromkeys(names, 8)
