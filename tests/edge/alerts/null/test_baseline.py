"""The level of ordinary margins: slow light, jumps that last, and events that do not."""

from collections.abc import Iterable

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.alerts.null.baseline import Baseline

FPS = 2.0
HOUR = 7200


def noise(samples: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(0.0, 1.0, samples)


def followed(margins: Iterable[float], alerting: Iterable[bool] = ()) -> list[tuple[float, float]]:
    """The level after each sample, and for how long it had been there where it has just moved."""
    baseline, flags = Baseline(), list(alerting)
    found = []
    for place, margin in enumerate(margins):
        moved = baseline.follow(float(margin), 1 / FPS, alerting=bool(flags) and flags[place])
        found.append((baseline.level, moved))
    return found


def test_slow_light_is_followed_without_a_move() -> None:
    hours = np.arange(12 * HOUR) / HOUR
    margins = noise(12 * HOUR) + np.sin(hours)
    levels = np.array(followed(margins))
    assert np.abs(levels[HOUR:, 0] - np.sin(hours[HOUR:])).max() < 0.8
    assert not levels[:, 1].any()


@pytest.mark.parametrize("step", [2.0, -2.0, 6.0])
def test_a_jump_that_lasts_is_followed_within_minutes_and_back(step: float) -> None:
    margins = noise(6 * HOUR)
    margins[2 * HOUR : 4 * HOUR] += step
    levels = np.array(followed(margins))
    for when, level in ((2 * HOUR, step), (4 * HOUR, 0.0)):
        assert levels[when + 5 * 120, 0] == pytest.approx(level, abs=0.5)
        assert levels[when - 1, 0] == pytest.approx(step - level, abs=0.5)
    assert levels[:, 1].max() >= 120  # it says for how long


def test_the_slow_mean_alone_would_take_hours() -> None:
    """The negative control: half an hour after the jump it is not yet two thirds of the way."""
    margins = noise(4 * HOUR)
    margins[2 * HOUR :] += 2.0
    slow = 0.0
    for margin in margins[: 2 * HOUR + HOUR // 2]:
        slow += (margin - slow) / (1800 * FPS)
    assert slow < 2.0 * 0.66


def test_while_an_alert_runs_the_baseline_stays() -> None:
    """What the alert is about would otherwise end it."""
    margins = noise(4 * HOUR)
    event = np.zeros(len(margins), bool)
    event[2 * HOUR : 2 * HOUR + 20 * 120] = True
    margins[event] += 6.0
    levels = np.array(followed(margins, event))
    assert np.abs(levels[2 * HOUR : 2 * HOUR + 20 * 120, 0]).max() < 0.3


def test_noise_with_a_memory_of_minutes_is_no_jump() -> None:
    rng = np.random.default_rng(2)
    keep = np.exp(-1 / (FPS * 120))
    level, margins = 0.0, []
    for shock in rng.normal(size=24 * HOUR):
        level = keep * level + np.sqrt(1 - keep**2) * shock
        margins.append(level)
    moves = [moved for _, moved in followed(margins) if moved]
    assert len(moves) <= 2


@pytest.mark.parametrize("rate", [0.03, 0.5, 10.0])
def test_a_jump_is_followed_at_any_rate_of_sampling(rate: float) -> None:
    baseline, rng = Baseline(), np.random.default_rng(1)
    first, second = 24 * 3600, 8 * 3600
    for place in range(int((first + second) * rate)):
        step = 3.0 * (place >= first * rate)
        baseline.follow(float(rng.normal()) + step, 1 / rate, alerting=False)
        if place == int((first + 1200) * rate):
            assert baseline.level == pytest.approx(3.0, abs=1.0)


def test_a_stream_that_was_constant_at_first_learns_its_spread() -> None:
    baseline = Baseline()
    for margin in (*[0.5] * 200, *noise(HOUR)):
        baseline.follow(float(margin), 1 / FPS, alerting=False)
    assert baseline.state()[2] == pytest.approx(1.0, rel=0.5)


def test_what_it_knows_survives_a_restart() -> None:
    first, again = Baseline(), Baseline()
    for margin in noise(2 * HOUR):
        first.follow(float(margin), 1 / FPS, alerting=False)
    again.restore(first.state())
    assert again.state() == first.state()
    old = Baseline()
    old.restore([0.25, 1000])  # version 1
    assert old.level == 0.25
    old.follow(0.25, 1 / FPS, alerting=False)
    assert old.level == 0.25
