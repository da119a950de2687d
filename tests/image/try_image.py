"""Starts the shipped image in an emulator and tries what may go wrong; writes docs/image-test.md.

``make image-test`` runs every row, ``make image-smoke`` the first one. A row holds where its oracle
passes, and its control shows that the oracle can fail. The lines for machines go to the standard output.
What came of the rows is kept, so that some of them can be run again.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

from bench import Bench
from rows import ROWS, Row
from workshop import Workshop

ROOT = Path(__file__).resolve().parents[2]
_HEAD = """# The image, started for real
`make image-test` starts the image of an x86 NVR in QEMU (software emulation, UEFI, 2 processors, 2 GiB), plays
the site around it — an RTSP camera, a broker with TLS, a time server —, and writes this page. A row holds where
what is promised was seen, and its control passes: the same check where it must come out otherwise. U1 has the
bad updates for its control; U3 to U5 share that of U2. I1 and I2 are about the shipped image
as it is; the others about one with an agent for the tests, a model of kilobytes, and another authority for
updates. Two boxes run at a time, each at a site of its own, and go from row to row. Where a row has spoilt a box,
the next one begins with a snapshot of the box after its first start.
"""
_FOOT = """
Not tried here: real hardware, a disk that lies about what it has written (a cut kills the emulator; what it had
written stays), firmware that hangs, and a kernel that hangs before the chip-set's watchdog is started. An
emulated processor is some fifty times slower than a real one, so the times say little about a box; other work on
the same machine makes them longer.
"""
_LONGEST = 700
_PLACES = 2  # where boxes run at a time


@dataclass(frozen=True)
class Outcome:
    """What came of a row."""

    holds: bool
    seen: str
    control: str
    seconds: float
    commit: str
    at: str


@dataclass(frozen=True)
class Tried:
    """What came of an oracle or a control."""

    passed: bool
    seen: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the rows; returns the exit code: 1 where one does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image", type=Path, help="the shipped image (edge-flash image)")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "image-test")
    parser.add_argument("--rows", default="", help="ids of rows, with commas; default all")
    parser.add_argument("--page", type=Path, help="where the page is written")
    options = parser.parse_args(arguments)
    chosen = [row for row in ROWS if not options.rows or row.id in options.rows.split(",")]
    began = time.monotonic()
    outcomes = _run(chosen, options.image, options.work)
    minutes = (time.monotonic() - began) / 60
    kept = options.work / "outcomes.json"
    if options.page:
        found = {name: Outcome(**facts) for name, facts in json.loads(kept.read_text()).items()}
        files = sorted(options.image.parent.glob(f"{options.image.stem}.*"))
        whole = minutes if len(outcomes) == len(ROWS) else None
        options.page.write_text(page(found, files, whole))
    return 0 if all(outcome.holds for outcome in outcomes.values()) else 1


def _run(chosen: Sequence[Row], image: Path, work: Path) -> dict[str, Outcome]:
    """Run rows at two places at a time; what came of each is kept at once."""
    workshop = Workshop(image, work)
    for name in dict.fromkeys(name for row in chosen for name in row.updates):
        workshop.begin(name)
    waiting = deque(together(chosen))
    outcomes: dict[str, Outcome] = {}
    kept, keeping = work / "outcomes.json", Lock()

    def work_at(bench: Bench) -> None:
        while waiting:
            for row in waiting.popleft():
                outcome = _outcome(bench, row)
                with keeping:
                    outcomes[row.id] = outcome
                    before = json.loads(kept.read_text()) if kept.exists() else {}
                    kept.write_text(json.dumps(before | {row.id: asdict(outcome)}, indent=1))

    with ExitStack() as stack:
        stack.callback(workshop.close)
        places = []
        for number in range(min(_PLACES, len(waiting))):
            bench = Bench(workshop, work / f"place-{number + 1}")
            stack.enter_context(bench.host)
            stack.callback(bench.close)
            places.append(bench)
        with ThreadPoolExecutor(_PLACES) as pool:
            for done in [pool.submit(work_at, bench) for bench in places]:
                done.result()
    return outcomes


def together(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows, with those that go on with the box of the one before in its list."""
    groups: list[list[Row]] = []
    for row in rows:
        if row.same_box and groups:
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


def _outcome(bench: Bench, row: Row) -> Outcome:
    began = time.monotonic()
    oracle = _tried(bench, row.oracle)
    control = None if row.control is None else _tried(bench, row.control)
    holds = oracle.passed and (control is None or control.passed)
    seconds = time.monotonic() - began
    outcome = Outcome(
        holds, oracle.seen, "" if control is None else control.seen, seconds, _commit(),
        f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
    )  # fmt: skip
    word = "holds" if holds else "FAILS"
    print(
        f"{row.id} {word} {seconds:.0f}s | {outcome.seen} | control: {outcome.control or '-'}",
        flush=True,
    )
    return outcome


def _tried(bench: Bench, step: Callable[[Bench], str]) -> Tried:
    try:
        return Tried(passed=True, seen=step(bench))
    except (AssertionError, OSError, subprocess.SubprocessError) as exc:
        traceback.print_exc()
        bench.give_up()
        return Tried(passed=False, seen=str(exc))


def _commit() -> str:
    asked = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


def page(
    outcomes: Mapping[str, Outcome], files: Sequence[Path] = (), whole: float | None = None
) -> str:
    """Make the page of what came of the rows.

    Args:
        outcomes: What came of those that were run, by their ids.
        files: Files of the image.
        whole: Minutes that all rows took in one run; None where they were run apart.
    """
    run = [outcome for row in ROWS if (outcome := outcomes.get(row.id))]
    kept = sum(outcome.holds for outcome in run)
    apart = sum(outcome.seconds for outcome in run) / 60
    took = (
        f"{apart:.0f} minutes of boxes, in several runs"
        if whole is None
        else f"all in {whole:.0f} minutes"
    )
    count = (
        f"{kept} of {len(ROWS)} rows hold, {len(ROWS) - len(run)} were not run; {took} on"
        f" {os.cpu_count()} cores."
    )
    sizes = [f"{path.name} {path.stat().st_size / 1e6:.0f} MB" for path in files]
    lines = [
        _HEAD,
        *([f"Files of the image: {', '.join(sizes)}."] if sizes else []),
        count,
        "",
        "| | Goes wrong | Promise | Seen | Control | s | Commit, UTC | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in ROWS:
        outcome = outcomes.get(row.id)
        cells = [row.id, row.fault, row.promise]
        if outcome is None:
            cells += ["", "", "", "", "not run"]
        else:
            cells += [_cell(outcome.seen), _cell(outcome.control), f"{outcome.seconds:.0f}"]
            cells += [f"{outcome.commit}, {outcome.at}", "holds" if outcome.holds else "**fails**"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n" + _FOOT


def _cell(text: str) -> str:
    words = " ".join(text.split()).replace("|", "\\|")
    return words if len(words) < _LONGEST else words[:_LONGEST] + " …"


if __name__ == "__main__":
    sys.exit(main())
