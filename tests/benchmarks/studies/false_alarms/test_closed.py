"""The closed loop on streams: alarms, jumps and planted events are counted as a user would."""

from dataclasses import replace
from io import StringIO
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import typer
from numpy.typing import NDArray
from rich.console import Console
from typer.testing import CliRunner

from benchmarks.studies.false_alarms import __main__ as command
from benchmarks.studies.false_alarms.closed import RULE, Setting, _from_a_jump, run_closed
from benchmarks.studies.false_alarms.methods import run_others
from benchmarks.studies.false_alarms.quick import QuickBaseline
from benchmarks.studies.false_alarms.streams import (
    CENTRE,
    DAY,
    HELD_OUT,
    SPREAD,
    STREAMS,
    StreamDay,
    margins,
    stream,
)
from benchmarks.studies.false_alarms.summary import methods_table, own_table, plot, summed_up
from benchmarks.studies.false_alarms.truth import Truth, alerts, from_start, with_hysteresis
from edge.alerts.events import EventMachine, Rule
from edge.video.sample import Arrival

SHORT = Setting(asked=20.0, warm_up=1, counted=2, factor=2.0)


def truth(kind: str, scale: float = 1.0) -> Truth:
    baseline = QuickBaseline()
    some = islice(margins(kind, 50), 2)
    values = [scale * (day - baseline.follow_day(day)) for day in some]
    return Truth(values, RULE, CENTRE, SPREAD)


def days(kind: str, count: int = 3) -> list[StreamDay]:
    return list(islice(stream(kind, 1), count))


@pytest.mark.parametrize("rule", [RULE, replace(RULE, on_for=1, on_of=1, off_after_s=0.0)])
@pytest.mark.parametrize("level", [0.5, 1.2, 2.5])
def test_alerts_are_those_of_the_event_machine(rule: Rule, level: float) -> None:
    values: NDArray[np.float64] = (next(margins("correlated 5 s", 1))[:20_000] - CENTRE) / SPREAD
    rule = replace(with_hysteresis(rule, level), threshold=level)
    machine, changes = EventMachine(rule, lambda _at: ""), []
    for place, value in enumerate(values.tolist()):
        found_now = machine.step(value, 0.0, Arrival(place / 2, place / 2, None))
        changes += [(change.type, place) for change in found_now]
    starts, ends = ([place for type_, place in changes if type_ == own] for own in ("start", "end"))
    found = alerts(values, from_start(values, rule), level, rule)
    assert [start for start, _ in found] == starts
    assert [end for _, end in found][: len(ends)] == ends
    assert starts
    assert not alerts(values, from_start(values, rule), 99.0, rule)


def test_true_rates_and_levels_are_inverse_and_those_of_the_law() -> None:
    gaussian = truth("Gaussian")
    for per_day in (3.0, 20.0):
        assert gaussian.rate(gaussian.level(per_day)) == pytest.approx(per_day, rel=0.01)
    # Two of three independent samples: 2 p² at a level that one passes with p.
    level = gaussian.level(20.0) / SPREAD
    passes = np.mean(np.random.default_rng(1).normal(size=2_000_000) > level)
    assert 2 * passes**2 * DAY == pytest.approx(20.0, rel=0.5)


def test_a_street_alarms_as_often_as_asked_and_sees_planted_events() -> None:
    found = run_closed(days("street"), "street", 0, SHORT, truth("street"))
    assert found.within
    assert found.ratio == sum(found.by_day[1:]) / 40
    assert found.recall[-1] == found.oracle[-1] == 1
    assert found.from_a_jump is None
    assert found.caught is None
    # Negative control: against an oracle with a far lower level the same thresholds are deaf.
    deaf = run_closed(days("street"), "street", 0, SHORT, truth("street", scale=0.2))
    assert deaf.by_day == found.by_day
    assert deaf.recall[0] < 0.2
    assert deaf.oracle[0] == 1


def test_events_that_are_planted_in_the_stream_are_caught_and_are_no_false_alarms() -> None:
    (one,) = (run_closed(days("Gaussian"), "Gaussian", 0, SHORT, truth("Gaussian"), planted=5.0),)
    assert one.caught is not None
    assert one.caught > 0.8
    assert one.ratio < 2


def test_alarms_after_a_jump_count_to_the_last_jump() -> None:
    assert _from_a_jump([10, 20, 5000], [5, 15]) == 1
    assert _from_a_jump([10, 20, 30], [5]) == 3
    assert _from_a_jump([10], []) is None


def test_count_matching_is_right_where_a_gaussian_law_is_wrong() -> None:
    rows = {
        (row["method"], row["asked"]): row
        for row in run_others(days("street", 49), "street", 1, truth("street"), None)
    }
    assert rows["count matching", 1.0]["within"]
    assert not rows["running z-score", 1.0]["within"]
    # SPOT needs its package.
    assert ("SPOT", 1.0) not in rows


def test_count_matching_takes_real_events_for_false_alarms() -> None:
    """Ten false alarms are asked for, and thirty real events come every day."""
    quiet, planted = (
        run_others(days("Gaussian", 7), "Gaussian", 1, truth("Gaussian"), None, planted=per_day)
        for per_day in (0.0, 30.0)
    )
    without, with_events = (
        next(row for row in rows if (row["method"], row["asked"]) == ("count matching", 10.0))
        for rows in (quiet, planted)
    )
    assert without["caught"] is None
    assert without["within"]
    assert not with_events["within"]
    assert float(str(with_events["ratio"])) < 0.3
    assert 0.1 < float(str(with_events["caught"])) < 0.9


def test_spot_gives_its_threshold_to_the_event_machine() -> None:
    class Double:
        def __init__(self, q: float, **_: object) -> None:
            self.anomaly_threshold = CENTRE + 99 * SPREAD
            assert q == pytest.approx(1 / DAY)

        def fit(self, values: NDArray[np.float64]) -> None:
            assert len(values) == DAY

        def step(self, value: float) -> None:
            pass

    rows = run_others(
        days("Gaussian", 49), "Gaussian", 2, truth("Gaussian"), SimpleNamespace(Spot=Double)
    )
    assert [row["ratio"] for row in rows if row["method"] in {"SPOT", "DSPOT"}] == [0, 0]


def test_tables_have_a_row_for_each_kind_and_setting_and_the_plot_is_written(
    tmp_path: Path,
) -> None:
    run = run_closed(days("lorry"), "lorry", 0, SHORT, truth("lorry"))
    runs = [replace(run, asked=asked) for asked in (10.0, 1.0, 0.1)]
    rows = summed_up(runs)
    assert [row["asked"] for row in rows] == [10.0, 1.0, 0.1]
    assert rows[0]["from_a_jump"] == run.from_a_jump
    assert own_table(rows).row_count == 3
    own = [{**one.row(), "method": "new"} for one in runs]
    assert methods_table(own).row_count == 3
    plot(tmp_path / "study.png", own)
    assert (tmp_path / "study.png").read_bytes().startswith(b"\x89PNG")


def test_every_kind_that_is_held_out_is_a_stream_and_has_a_star() -> None:
    run = run_closed(days("Gaussian", 2), "Gaussian", 0, SHORT, truth("Gaussian"))
    asked = (10.0, 1.0, 0.1)
    rows = summed_up([replace(run, kind=k, asked=rate) for k in STREAMS for rate in asked])
    starred = {str(row["kind"]) for row in rows if row["held_out"]}
    assert starred == HELD_OUT
    console = Console(width=200, record=True, file=StringIO())
    console.print(own_table(rows))
    lines = console.export_text().splitlines()
    assert {kind for kind in STREAMS if any(f" {kind} * " in line for line in lines)} == starred


def test_an_unknown_kind_is_refused_in_words() -> None:
    app = typer.Typer()
    app.command()(command.main)
    answer = CliRunner().invoke(app, ["--stream", "sea"])
    assert answer.exit_code == 2
    assert "found 'sea'" in answer.output
