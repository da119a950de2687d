"""The study of false alarms by heartbeats: its samples are those that a gate lets through."""

import numpy as np
import pytest

from benchmarks.studies.heartbeats import KINDS, alarms, day, sampled


def test_a_gate_gives_all_samples_while_something_moves_and_a_tenth_a_second_else() -> None:
    margins, moving = day(KINDS["quiet yard"], np.random.default_rng(0))
    kept = list(sampled(margins, moving))
    numbers = [number for number, _, _ in kept]
    assert {number for number in range(len(moving)) if moving[number]} <= set(numbers)
    beats = len(kept) - int(moving.sum())
    assert beats == pytest.approx((~moving).sum() / 20, rel=0.1)
    assert max(np.diff(numbers)) == 20


def test_the_alarms_of_a_quiet_yard_are_about_as_many_as_asked() -> None:
    found = alarms(KINDS["quiet yard"], 0, 100.0, 2, gate=True)
    assert 50 <= found[1] <= 200
