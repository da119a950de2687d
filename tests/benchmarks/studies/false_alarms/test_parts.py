"""The parts of the study about hours and about the first days, on streams that are short."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from benchmarks.studies.false_alarms import beginnings
from benchmarks.studies.false_alarms.beginnings import plot_start, run_start, start_table
from benchmarks.studies.false_alarms.by_hour import hours_table, plot_hours, run_hours
from benchmarks.studies.false_alarms.by_light import light_table, plot_light, run_light
from benchmarks.studies.false_alarms.closed import RULE, Setting
from benchmarks.studies.false_alarms.quick import QuickBaseline
from benchmarks.studies.false_alarms.stays import plot_stays, run_stays, stays_table, with_visit
from benchmarks.studies.false_alarms.streams import CENTRE, SPREAD, margins
from benchmarks.studies.false_alarms.truth import Truth


@pytest.fixture(scope="module")
def street() -> Truth:
    baseline = QuickBaseline()
    some = islice(margins("street", 50), 2)
    return Truth([day - baseline.follow_day(day) for day in some], RULE, CENTRE, SPREAD)


def test_an_even_rule_alarms_by_night_where_a_usual_one_is_silent(
    street: Truth, tmp_path: Path
) -> None:
    setting = Setting(asked=40.0, warm_up=1, counted=1, factor=2.0)
    runs = [run_hours("street", 0, setting, street, even=even) for even in (False, True)]
    usual, even = (sum(run.by_hour[:7]) / sum(run.by_hour) for run in runs)
    assert usual < 0.05
    assert even > 3 * usual + 0.02
    assert all(run.within for run in runs)
    assert runs[0].wrong is not None
    assert runs[0].wrong < 0.4
    assert hours_table(runs).row_count == 2
    plot_hours(tmp_path / "hours.png", runs)
    assert (tmp_path / "hours.png").read_bytes().startswith(b"\x89PNG")


def test_a_quiet_start_alarms_less_and_a_loud_one_more(
    street: Truth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        beginnings,
        "STAGES",
        {"first hour": 1, "first day": 24, "first week": 24, "second week": 48},
    )
    runs = [run_start("street", 0, street, start) for start in ("quiet", "loud")]
    quiet, loud = (run.alarms[1] for run in runs)
    assert quiet <= 3
    assert loud > 3 * quiet + 3
    assert runs[0].recall[1] <= runs[1].recall[1]
    assert start_table([*runs, replace(runs[0], start=None)]).row_count == 3
    plot_start(tmp_path / "start.png", runs)
    assert (tmp_path / "start.png").read_bytes().startswith(b"\x89PNG")


def test_a_visit_is_two_events_and_who_stays_between() -> None:
    quiet = np.zeros(1000)
    day, second = with_visit(quiet, 6.0, 1.5, 1.0, 100)
    assert second == 100 + 16 + 120
    assert day[[99, 100, 115, 116, 235, 236, 251, 252]].tolist() == [0, 6, 6, 1.5, 1.5, 6, 6, 0]
    assert not quiet.any()


def test_who_stays_between_two_alerts_of_his_is_no_false_alarm(
    street: Truth, tmp_path: Path
) -> None:
    setting = Setting(asked=10.0, warm_up=1, counted=1, factor=2.0)
    run = run_stays("street", 0, setting, street, (1.5, 8.0))
    assert (run.first, run.second, run.later) == (1, 1, 1)
    assert run.ratio < 2
    # Negative control: a threshold that is right for a far lower level is deaf to all of it.
    low = Truth([0.2 * day for day in islice(margins("street", 50), 2)], RULE, CENTRE, SPREAD)
    assert run_stays("street", 0, setting, low, (1.5, 8.0)).later == 0
    assert stays_table([run]).row_count == 1
    plot_stays(tmp_path / "stays.png", [run])
    assert (tmp_path / "stays.png").read_bytes().startswith(b"\x89PNG")


def test_a_night_that_is_quieter_has_its_own_alarms_where_it_is_told_apart(
    street: Truth, tmp_path: Path
) -> None:
    setting = Setting(asked=40.0, warm_up=0, counted=1, factor=2.0)
    common, apart = (
        run_light("day and night", 0, street, apart=apart, setting=setting)
        for apart in (False, True)
    )
    assert common.by_night is not None
    assert apart.by_night is not None
    assert common.by_night < 0.1
    assert apart.by_night > 0.2
    assert light_table([common, apart]).row_count == 2
    plot_light(tmp_path / "light.png", [common, apart])
    assert (tmp_path / "light.png").read_bytes().startswith(b"\x89PNG")
