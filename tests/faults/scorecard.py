"""Runs the rows of ``scorecard.toml``, prints a line for each, and writes docs/scorecard.md.

``make trust`` runs everything, with the larger numbers of ``env``. A row passes where its oracle
passes, its figure meets its target, and its control shows that the oracle can fail. The lines for
machines go to the standard output, progress and summary to the standard error.
"""

import argparse
import os
import platform
import subprocess
import sys
import time
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[2]
ROWS = Path(__file__).parent / "scorecard.toml"
_UNITS = {"_per_second": "1/s", "_s": "s", "_mb": "MB"}
OUT = ROOT / "docs" / "scorecard.md"
HEAD = """# Scorecard: what goes wrong, what is promised, and what was seen
> A committed alert survives kill -9 and broker outages up to the stated queue size and is delivered at
> least once with a stable id. A camera, a side file, a broker's answer or a clock that goes wrong costs
> only itself, and is reported.

`make trust` runs the rows of `tests/faults/scorecard.toml` and writes this page. A row passes where its
tests pass, its figure meets its target, and its control passes: a test in which the same check fails as
it must. *Before* is what the first versions did, where a trial or an hour of hostile testing found it.
"""


@dataclass(frozen=True)
class Row:
    """One row of the scorecard (see the head of ``scorecard.toml``)."""

    id: str
    fault: str
    promise: str
    oracle: Sequence[str]
    control: Sequence[str]
    before: str = ""
    figures: Mapping[str, str] = field(default_factory=dict)
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
class Figure:
    """One figure of a row, and whether it is as it must be."""

    metric: str
    value: str
    target: str
    passed: bool

    @property
    def unit(self) -> str:
        """The unit, which the name of the metric says."""
        return next((unit for end, unit in _UNITS.items() if self.metric.endswith(end)), "-")


@dataclass(frozen=True)
class Outcome:
    """What came of a row: its figures, or how many of its tests passed."""

    row: Row
    figures: Sequence[Figure]
    seconds: float
    skipped: int = 0

    @property
    def passed(self) -> bool:
        """Whether the row holds."""
        return all(figure.passed for figure in self.figures)

    def lines(self, commit: str, seed: int) -> list[str]:
        """The machine-readable lines, one for each figure."""
        note = f" # {self.skipped} skipped" if self.skipped else ""
        return [
            f"{self.row.id} {one.metric} {one.value} {one.unit} {one.target.replace(' ', '')} "
            f"{'pass' if one.passed else 'FAIL'} {commit} {seed} {self.seconds:.1f}{note}"
            for one in self.figures
        ]

    @property
    def seen(self) -> str:
        """The figures for people."""
        figures = ", ".join(f"{one.metric} {one.value}" for one in self.figures)
        return figures + (f", {self.skipped} skipped" if self.skipped else "")


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
    skipped = len(oracle) - len(done)
    if not row.figures:
        value = f"{sum(ran.passed for ran in done)}/{len(done)}"
        return Outcome(row, [Figure("tests", value, "all", held and can_fail)], seconds, skipped)
    figures = [
        _figure(metric, target, done, otherwise=held and can_fail)
        for metric, target in row.figures.items()
    ]
    return Outcome(row, figures, seconds, skipped)


def _figure(metric: str, target: str, done: Sequence[Ran], *, otherwise: bool) -> Figure:
    """Take the worst of the values that the tests recorded."""
    found = [float(ran.properties[metric]) for ran in done if metric in ran.properties]
    worst = (max if target.startswith(("==", "<=")) else min)(found, default=float("nan"))
    return Figure(metric, f"{worst:g}", target, otherwise and bool(found) and meets(worst, target))


def run_tests(names: Iterable[str], env: Mapping[str, str]) -> list[Ran]:
    """Run tests in a process of their own."""
    chosen = list(names)
    if not chosen:
        return []
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout", "3000",
             f"--junitxml={report}", "-o", "junit_family=xunit1", *chosen],
            cwd=ROOT, env=os.environ | dict(env), check=False, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        if done.returncode:
            print(done.stdout[-4000:], file=sys.stderr)  # why the row does not hold
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


@dataclass(frozen=True)
class Facts:
    """Where and how the rows were run."""

    commit: str
    seed: int
    machine: str
    at: datetime
    large: bool

    def sentence(self) -> str:
        """The facts for the page."""
        numbers = "the larger numbers" if self.large else "the small numbers of `make test`"
        day = self.at.strftime("%Y-%m-%d %H:%M UTC")
        return f"commit {self.commit}, seed {self.seed}, {numbers}, {day}, {self.machine}"


def page(outcomes: Sequence[Outcome], not_run: Sequence[Row], facts: Facts) -> str:
    """The scorecard as Markdown."""
    rows = [
        "| | Goes wrong | Promise | Before | Seen | Target | |",
        "|---|---|---|---|---|---|---|",
    ]
    rows += [
        f"| {o.row.id} | {o.row.fault} | {o.row.promise}{_note(o.row)} | {o.row.before} | "
        f"{o.seen} | {', '.join(one.target for one in o.figures)} | {'holds' if o.passed else '**does not hold**'} |"
        for o in outcomes
    ]
    rows += [
        f"| {row.id} | {row.fault} | {row.promise} | {row.before} | {row.here} | | not run |"
        for row in not_run
    ]
    passed = sum(o.passed for o in outcomes)
    took = sum(o.seconds for o in outcomes) / 60
    count = f"{passed} of {len(outcomes)} rows hold, {len(not_run)} are not run by it"
    return (
        "\n".join(
            (HEAD, f"{count}; {took:.0f} minutes of tests.\n", f"Run: {facts.sentence()}.\n", *rows)
        )
        + "\n"
    )


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


def machine() -> str:
    """The machine in words: processor, cores, system, Python."""
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text("utf-8").splitlines() if listed.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    processor = names[0] if names else platform.machine()
    return (
        f"{os.cpu_count()} cores of {processor}, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}"
    )


def run_row(row: Row, *, large: bool) -> Outcome:
    """Run the tests of a row."""
    oracle = run_tests(row.oracle, row.env if large else {})
    return judge(row, oracle, run_tests(row.control, {}))


def main() -> int:
    """Run the rows; the exit code."""
    parser = argparse.ArgumentParser(description="Run the scorecard.")
    parser.add_argument("--quick", action="store_true", help="the small numbers of `make test`")
    parser.add_argument("--row", action="append", help="this row alone; may be given several times")
    options = parser.parse_args()
    rows = [row for row in read_rows() if not options.row or row.id in options.row]
    seed = int(os.environ.get("EDGE_SEED", "0"))
    facts = Facts(commit_of(), seed, machine(), datetime.now(UTC), large=not options.quick)
    began = time.monotonic()
    outcomes, not_run = list[Outcome](), list[Row]()
    for number, row in enumerate(rows, start=1):
        if not row.oracle:
            not_run.append(row)
            print(f"{row.id} not-run - - - - {facts.commit} {seed} 0 # {row.here}", flush=True)
            continue
        minutes = (time.monotonic() - began) / 60
        print(f"# {number}/{len(rows)}, {minutes:.1f} min: {row.id}: {row.fault}", file=sys.stderr)
        outcomes.append(run_row(row, large=facts.large))
        print(*outcomes[-1].lines(facts.commit, seed), sep="\n", flush=True)
    if not options.row:
        OUT.write_text(page(outcomes, not_run, facts), "utf-8")
    print(summary(outcomes, not_run, time.monotonic() - began), file=sys.stderr)
    return 0 if all(outcome.passed for outcome in outcomes) else 1


def summary(outcomes: Sequence[Outcome], not_run: Sequence[Row], seconds: float) -> str:
    """What came of the run, for people."""
    failed = [outcome.row.id for outcome in outcomes if not outcome.passed]
    verdict = f"these do not: {', '.join(failed)}" if failed else "none fails"
    return (
        f"# {len(outcomes) - len(failed)} of {len(outcomes)} rows hold, {verdict}; "
        f"{len(not_run)} are not run by it; {seconds / 60:.1f} min"
    )


if __name__ == "__main__":
    sys.exit(main())
