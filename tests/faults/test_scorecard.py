"""The scorecard's own checks: rows name tests that exist, and each way to fail fails."""

import ast
import re
from dataclasses import replace

import pytest
from scorecard import ROOT, Outcome, Ran, Row, judge, meets, page, read_rows

ROW = Row("R0", "a fault", "a promise", ["one"], ["two"], figure="lost", target="== 0")
GOOD = Ran("one", True, False, 1.0, {"lost": "0"})
CONTROL = Ran("two", True, False, 0.5, {})
ROWS = read_rows()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_row_names_tests_that_exist_and_has_a_control(row: Row) -> None:
    assert row.here or (row.oracle and row.control)
    assert (row.figure is None) == (row.target is None)
    for name in (*row.oracle, *row.control):
        path, _, function = name.partition("::")
        tree = ast.parse((ROOT / path).read_text("utf-8"))
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert not function or function in functions, name


def test_ids_are_unique() -> None:
    ids = [row.id for row in ROWS]
    assert len(set(ids)) == len(ids)


def test_a_row_holds_where_all_of_it_holds() -> None:
    outcome = judge(ROW, [GOOD], [CONTROL])
    assert outcome.passed
    assert re.fullmatch(r"R0 lost 0 - ==0 pass abc 7 1\.5", outcome.line("abc", 7))


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
    assert " FAIL " in outcome.line("abc", 0)
    assert "does not hold" in page([outcome], "abc", env=True)


def test_the_worst_figure_counts() -> None:
    row = replace(ROW, figure="rate", target=">= 1000")
    rates = [replace(GOOD, properties={"rate": rate}) for rate in ("4000", "900")]
    assert not judge(row, rates, [CONTROL]).passed
    assert judge(row, rates[:1], [CONTROL]).passed


def test_targets_are_compared_as_they_read() -> None:
    assert meets(0, "== 0")
    assert not meets(1, "== 0")
    assert meets(5, "<= 5")
    assert not meets(6, "<= 5")
    assert not meets(4, ">= 5")


def test_a_row_that_cannot_run_says_why() -> None:
    row = replace(ROW, here="no GPU")
    assert "(no GPU)" in page([Outcome(row, "tests", "1/1", "all", True, 1.0)], "abc", env=False)
