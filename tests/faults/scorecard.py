"""Runs the rows of ``scorecard.toml``, prints a line for each, and writes docs/scorecard.md.

``make trust`` runs everything, with the larger numbers of ``env``. A row passes where its oracle
passes, its figure meets its target, and its control shows that the oracle can fail.
"""

import argparse
import os
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ROWS = Path(__file__).parent / "scorecard.toml"
OUT = ROOT / "docs" / "scorecard.md"
HEAD = """# Scorecard: what goes wrong, what is promised, and what was seen
> A committed alert survives kill -9 and broker outages up to the stated queue size and is delivered at
> least once with a stable id. A camera, a side file, a broker's answer or a clock that goes wrong costs
> only itself, and is reported.

`make trust` runs the rows of `tests/faults/scorecard.toml` and writes this page. A row passes where its
tests pass, its figure meets its target, and its control passes: a test in which the same check fails as
it must.
"""


@dataclass(frozen=True)
class Row:
    """One row of the scorecard (see the head of ``scorecard.toml``)."""

    id: str
    fault: str
    promise: str
    oracle: Sequence[str]
    control: Sequence[str]
    figure: str | None = None
    target: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    here: str | None = None


@dataclass(frozen=True)
class Ran:
    """What came of a test: passed or not, and the properties that it recorded."""

    name: str
    passed: bool
    skipped: bool
    seconds: float
    properties: Mapping[str, str]


@dataclass(frozen=True)
class Outcome:
    """What came of a row."""

    row: Row
    metric: str
    value: str
    target: str
    passed: bool
    seconds: float
    unit: str = ""

    def line(self, commit: str, seed: int) -> str:
        """The machine-readable line."""
        verdict = "pass" if self.passed else "FAIL"
        return " ".join(
            (self.row.id, self.metric, self.value, self.unit or "-", self.target.replace(" ", ""),
             verdict, commit, str(seed), f"{self.seconds:.1f}")
        )  # fmt: skip


def read_rows(path: Path = ROWS) -> list[Row]:
    """Read the rows."""
    return [Row(**row) for row in tomllib.loads(path.read_text("utf-8"))["row"]]


def meets(value: float, target: str) -> bool:
    """Whether a figure meets a target such as ``>= 1000``."""
    operator, limit = target.split()
    wanted = float(limit)
    return {"==": value == wanted, ">=": value >= wanted, "<=": value <= wanted}[operator]


def judge(row: Row, oracle: Sequence[Ran], control: Sequence[Ran]) -> Outcome:
    """Put what the tests gave into the outcome of a row."""
    done = [ran for ran in oracle if not ran.skipped]
    held = bool(done) and all(ran.passed for ran in done)
    can_fail = bool(control) and all(ran.passed for ran in control)
    seconds = sum(ran.seconds for ran in (*oracle, *control))
    if row.figure is None or row.target is None:
        value = f"{sum(ran.passed for ran in done)}/{len(done)}"
        return Outcome(row, "tests", value, "all", held and can_fail, seconds)
    found = [float(ran.properties[row.figure]) for ran in done if row.figure in ran.properties]
    worst = (max if row.target.startswith(("==", "<=")) else min)(found, default=float("nan"))
    passed = held and can_fail and bool(found) and meets(worst, row.target)
    return Outcome(row, row.figure, f"{worst:g}", row.target, passed, seconds)


def run_tests(names: Iterable[str], env: Mapping[str, str]) -> list[Ran]:
    """Run tests in a process of their own."""
    chosen = list(names)
    if not chosen:
        return []
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout", "3000",
             f"--junitxml={report}", "-o", "junit_family=xunit1", *chosen],
            cwd=ROOT, env=os.environ | dict(env), check=False, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        if not report.exists():
            return [Ran(name, False, False, 0.0, {}) for name in chosen]
        return [_ran(case) for case in ET.parse(report).iter("testcase")]


def _ran(case: ET.Element) -> Ran:
    properties = {one.get("name", ""): one.get("value", "") for one in case.iter("property")}
    return Ran(
        case.get("name", ""),
        case.find("failure") is None and case.find("error") is None,
        case.find("skipped") is not None,
        float(case.get("time", "0")),
        properties,
    )


def page(outcomes: Sequence[Outcome], commit: str, env: bool) -> str:
    """The scorecard as Markdown."""
    rows = ["| | Goes wrong | Promise | Seen | Target | |", "|---|---|---|---|---|---|"]
    rows += [
        f"| {o.row.id} | {o.row.fault} | {o.row.promise}{_note(o.row)} | {o.metric} {o.value} | "
        f"{o.target} | {'holds' if o.passed else '**does not hold**'} |"
        for o in outcomes
    ]
    passed = sum(o.passed for o in outcomes)
    how = "with the larger numbers" if env else "with the small numbers of `make test`"
    facts = f"{passed} of {len(outcomes)} rows hold; commit {commit}, {how}.\n"
    return "\n".join((HEAD, facts, *rows)) + "\n"


def _note(row: Row) -> str:
    return f" ({row.here})" if row.here else ""


def commit_of(root: Path = ROOT) -> str:
    """Return the short name of the commit, or ``unknown`` outside a checkout."""
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"


def main() -> int:
    """Run the rows; the exit code."""
    parser = argparse.ArgumentParser(description="Run the scorecard.")
    parser.add_argument("--quick", action="store_true", help="the small numbers of `make test`")
    parser.add_argument("--row", action="append", help="this row alone; may be given several times")
    options = parser.parse_args()
    rows = [row for row in read_rows() if not options.row or row.id in options.row]
    seed = int(os.environ.get("EDGE_SEED", "0"))
    commit, outcomes = commit_of(), list[Outcome]()
    for row in rows:
        if not row.oracle:
            print(f"{row.id} not-run - - - - {commit} {seed} 0 # {row.here}", flush=True)
            continue
        env: dict[str, Any] = {} if options.quick else dict(row.env)
        outcome = judge(row, run_tests(row.oracle, env), run_tests(row.control, {}))
        outcomes.append(outcome)
        print(outcome.line(commit, seed), flush=True)
    if not options.row:
        OUT.write_text(page(outcomes, commit, env=not options.quick), "utf-8")
    return 0 if all(outcome.passed for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
