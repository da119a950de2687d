"""From a prior to a learned threshold, regime by regime."""

from datetime import UTC

import numpy as np
import pytest
from numpy.typing import NDArray
from present import present

from edge.alerts.events import EventMachine, Rule
from edge.alerts.threshold import Calibration
from edge.video.sample import Arrival

PRIOR = Rule(threshold=0.02, hysteresis=0.05, on_for=1, on_of=1, off_after_s=1.0)
FPS = 2.0


def feed(
    calibration: Calibration, margins: NDArray[np.float64], begin: float = 0.0, regime: str = ""
) -> float:
    for position, margin in enumerate(margins):
        calibration.observe(float(margin), begin + position / FPS, alerting=False, regime=regime)
    return begin + len(margins) / FPS


def ordinary(
    count: int, centre: float = -0.1, spread: float = 0.02, seed: int = 0
) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(centre, spread, count)


def test_until_enough_was_seen_the_prior_holds_and_says_so() -> None:
    calibration = Calibration(PRIOR, asked=5.0)
    feed(calibration, ordinary(2000))
    assert calibration.rule == PRIOR
    report = calibration.report()
    assert (report.state, report.threshold, report.asked) == ("prior", 0.02, 5.0)
    assert report.estimate is None
    assert calibration.chance(0.5) is None


@pytest.mark.parametrize("prior", [-0.22, -0.14, -0.08])
def test_a_prior_below_the_scene_is_corrected_within_hours(prior: float) -> None:
    """In closed loop: the alert that never ends would otherwise be left out for ever."""
    rule = Rule(prior, hysteresis=0.05, on_for=2, on_of=3, off_after_s=2.0)
    calibration, machine = Calibration(rule, asked=5.0), EventMachine(rule, lambda _at: "")
    alerting = []
    for position, margin in enumerate(ordinary(60_000).tolist()):
        machine.rule, at = calibration.rule, position / FPS
        transitions = machine.step(margin, 0.0, Arrival(at, at, None))
        alerting.append(machine.alerting or bool(transitions))
        calibration.observe(margin, at, alerting=alerting[-1], regime="")
    assert alerting[7000]
    assert calibration.report().state == "learned"
    assert -0.05 < calibration.report().threshold < 0.03
    assert sum(alerting[-3600:]) < 100


def test_what_was_learned_before_decides_from_the_first_sample_on() -> None:
    before = Calibration(PRIOR, asked=5.0)
    feed(before, ordinary(60_000))
    again = Calibration(PRIOR, asked=5.0)
    again.restore(before.tails)
    assert again.report().state == "learned"
    assert again.rule.threshold == pytest.approx(before.rule.threshold, abs=0.005)
    assert again.rule != PRIOR
    assert Calibration(PRIOR, asked=5.0).rule == PRIOR  # the control: nothing was learned


def test_then_the_threshold_is_this_cameras_own_and_says_how_sure_it_is() -> None:
    calibration = Calibration(PRIOR, asked=5.0)
    feed(calibration, ordinary(60_000))
    report = calibration.report()
    assert report.state == "learned"
    # 5 in 172,800 samples of a Gaussian: 4.03 spreads above the mean.
    assert report.threshold == pytest.approx(-0.1 + 4.03 * 0.02, abs=0.008)
    assert calibration.rule.threshold == report.threshold
    assert calibration.rule.hysteresis < PRIOR.hysteresis
    estimate = present(report.estimate)
    assert present(estimate.low) < 5 < present(estimate.high)
    assert 0.9 < present(calibration.chance(report.threshold)) < 1  # 1 - exp(-5)
    assert present(calibration.chance(report.threshold + 0.05)) < 0.1


def test_a_fixed_threshold_learns_nothing() -> None:
    calibration = Calibration(PRIOR, asked=None)
    feed(calibration, ordinary(20_000))
    assert calibration.tails == {}
    assert calibration.report().state == "fixed"
    assert calibration.rule == PRIOR


@pytest.mark.parametrize(("night", "apart"), [(-0.1, False), (-0.1, True)])
def test_regimes_are_judged_apart_where_they_differ(night: float, apart: bool) -> None:
    spreads = {"day": 0.02, "night": 0.004 if apart else 0.02}
    calibration = Calibration(PRIOR, asked=5.0)
    at = 0.0
    for turn in range(6):
        for regime, spread in spreads.items():
            at = feed(calibration, ordinary(15_000, night, spread, turn), at, regime)
    thresholds = {}
    for regime, spread in spreads.items():
        at = feed(calibration, ordinary(10, night, spread), at, regime)
        thresholds[regime] = calibration.report().threshold
    gap = thresholds["day"] - thresholds["night"]
    assert gap > 0.03 if apart else abs(gap) < 0.012


def test_what_was_learned_of_another_view_is_forgotten() -> None:
    calibration = Calibration(PRIOR, asked=5.0)
    at = feed(calibration, ordinary(60_000))
    calibration.forget()
    assert calibration.report().state == "prior"
    feed(calibration, ordinary(10), at)
    assert calibration.rule == PRIOR


def test_a_quiet_start_is_silent_on_what_the_scene_shows_and_hears_what_is_far_above() -> None:
    """The bundle's threshold lies below the whole scene, and nothing is known yet."""
    low = Rule(-0.3, hysteresis=0.05, on_for=2, on_of=3, off_after_s=2.0)
    found = {}
    for start in ("quiet", "loud", None):
        calibration = Calibration(low, asked=1.0, start=start)
        machine, starts = EventMachine(low, lambda _at: ""), []
        margins = ordinary(1400)
        margins[1300:1308] += 0.2  # ten spreads: an event within the first eleven minutes
        for position, margin in enumerate(margins.tolist()):
            machine.rule, at = calibration.rule, position / FPS
            transitions = machine.step(margin, 0.0, Arrival(at, at, None))
            starts += [position for one in transitions if one.type == "start"]
            alerting = machine.alerting or bool(transitions)
            calibration.observe(margin, at, alerting=alerting, regime="")
        assert calibration.report().state == "prior"
        found[start] = starts
    assert found == {"quiet": [1301], "loud": [1], None: [1]}


def test_an_even_rule_makes_a_new_threshold_with_the_hour() -> None:
    rng, wall = np.random.default_rng(3), 1_772_409_600.0  # a Monday, 00:00 UTC
    calibration = Calibration(PRIOR, asked=5.0, even=True, zone=UTC)
    usual = Calibration(PRIOR, asked=5.0, zone=UTC)
    levels: dict[Calibration, dict[int, float]] = {calibration: {}, usual: {}}
    for second in range(0, 3 * 86_400, 4):
        busy = 8 <= second // 3600 % 24 < 20
        margin = rng.normal(-0.1, 0.02) + 0.05 * (busy and rng.random() < 0.02)
        for one, by_hour in levels.items():
            one.observe(margin, float(second), alerting=False, regime="", wall=wall + second)
            if second % 3600 == 60 and second > 2 * 86_400:
                by_hour[second // 3600 % 24] = one.report().threshold
    even, flat = levels.values()
    assert np.mean([even[hour] for hour in range(9, 19)]) > 0.01 + np.mean(
        [even[hour] for hour in range(1, 7)]
    )
    assert max(flat.values()) - min(flat.values()) < 0.01
