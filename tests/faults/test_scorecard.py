"""The scorecard's own checks: rows name tests that exist, and each way to fail fails."""

import ast
import re
from dataclasses import replace
from datetime import UTC, datetime
from string import ascii_lowercase

import pytest
from scorecard import (
    ROOT,
    Facts,
    Ran,
    Row,
    judge,
    machine,
    meets,
    page,
    read_rows,
    summary,
)

ROW = Row("R0", "a fault", "a promise", ["one"], ["two"], figures={"lost": "== 0"})
GOOD = Ran("one", True, False, 1.0, {"lost": "0"})
CONTROL = Ran("two", True, False, 0.5, {})
ROWS = read_rows()
FACTS = Facts("abc", 7, "2 cores", datetime(2026, 1, 2, 3, 4, tzinfo=UTC), large=True)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_row_names_tests_that_exist_and_has_a_control(row: Row) -> None:
    assert row.here or (row.oracle and row.control)
    assert all(re.fullmatch("(==|<=|>=) [0-9.]+", target) for target in row.figures.values())
    for name in (*row.oracle, *row.control):
        path, _, function = name.partition("::")
        tree = ast.parse((ROOT / path).read_text("utf-8"))
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert not function or function in functions, name


def test_ids_are_unique() -> None:
    ids = [row.id for row in ROWS]
    assert len(set(ids)) == len(ids)


def test_each_finding_of_the_trials_has_a_row_that_says_what_was_before() -> None:
    findings = {f"A{number}" for number in range(1, 12)} | {f"B{number}" for number in range(1, 15)}
    findings |= {f"A12{part}" for part in ascii_lowercase[:12]}
    before = {row.id: row.before for row in ROWS}
    assert not [finding for finding in findings if not before.get(finding)]


def test_a_row_holds_where_all_of_it_holds() -> None:
    outcome = judge(ROW, [GOOD], [CONTROL])
    assert outcome.passed
    assert outcome.lines("abc", 7) == ["R0 lost 0 - ==0 pass abc 7 1.5"]


@pytest.mark.parametrize(
    ("oracle", "control"),
    [
        ([replace(GOOD, passed=False)], [CONTROL]),
        ([replace(GOOD, properties={"lost": "1"})], [CONTROL]),
        ([replace(GOOD, properties={})], [CONTROL]),
        ([replace(GOOD, skipped=True)], [CONTROL]),
        ([], [CONTROL]),
        ([GOOD], [replace(CONTROL, passed=False)]),
        ([GOOD], []),
    ],
    ids=["failed", "lost", "no figure", "skipped", "no test", "control failed", "no control"],
)
def test_each_way_to_fail_fails(oracle: list[Ran], control: list[Ran]) -> None:
    outcome = judge(ROW, oracle, control)
    assert not outcome.passed
    assert " FAIL " in outcome.lines("abc", 0)[0]
    assert "does not hold" in page([outcome], [], FACTS)
    assert "0 of 1 rows hold, these do not: R0;" in summary([outcome], [], 60.0)


def test_a_skipped_test_is_seen() -> None:
    skipped = replace(GOOD, name="three", skipped=True)
    outcome = judge(ROW, [GOOD, skipped], [CONTROL])
    assert outcome.passed
    assert outcome.lines("abc", 0)[0].endswith("# 1 skipped")
    assert "lost 0, 1 skipped" in page([outcome], [], FACTS)


def test_the_worst_figure_counts() -> None:
    row = replace(ROW, figures={"rate": ">= 1000"})
    rates = [replace(GOOD, properties={"rate": rate}) for rate in ("4000", "900")]
    assert not judge(row, rates, [CONTROL]).passed
    assert judge(row, rates[:1], [CONTROL]).passed


def test_each_figure_has_a_line_and_all_must_meet_their_targets() -> None:
    row = replace(ROW, figures={"lost": "== 0", "back_s": "<= 10"})
    fast, slow = (replace(GOOD, properties={"lost": "0", "back_s": s}) for s in ("9", "11"))
    outcome = judge(row, [fast, slow], [CONTROL])
    assert not outcome.passed
    assert outcome.lines("abc", 0)[1] == "R0 back_s 11 s <=10 FAIL abc 0 2.5"
    assert "lost 0, back_s 11 | == 0, <= 10 |" in page([outcome], [], FACTS)
    assert judge(row, [fast], [CONTROL]).passed


def test_targets_are_compared_as_they_read() -> None:
    assert meets(0, "== 0")
    assert not meets(1, "== 0")
    assert meets(5, "<= 5")
    assert not meets(6, "<= 5")
    assert not meets(4, ">= 5")


def test_a_row_that_cannot_run_says_why() -> None:
    row = replace(ROW, oracle=[], control=[], here="no GPU")
    assert "| no GPU | | not run |" in page([], [row], FACTS)
    assert "1 are not run by it" in summary([], [row], 60.0)


def test_the_page_says_where_and_how_it_was_made_and_what_was_before() -> None:
    outcome = judge(replace(ROW, before="all were lost"), [GOOD], [CONTROL])
    text = page([outcome], [], FACTS)
    assert "commit abc, seed 7, the larger numbers, 2026-01-02 03:04 UTC, 2 cores" in text
    assert "| a promise | all were lost | lost 0 |" in text
    assert re.match(r"\d+ cores of .+, Python 3\.", machine())
