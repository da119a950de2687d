"""Fuzzes the targets in turn, guided by coverage: ``make fuzz MINUTES=5``.

Each target runs in a process of its own under atheris (libFuzzer), with its files in memory. A
finding is an error that the target's callers do not expect, a call of more than a second, or a
process that grows by more than 200 MB: the smallest devices have 512 MB, half of which the daemon
and its model need. Findings are written to ``tests/fuzz/corpus/TARGET/``, where ``test_corpus.py``
reads them again in every run of the tests. One line of JSON for each target, ``build/fuzz.json`` and
``build/fuzz.md``; exit code 1 after a finding.
"""

import argparse
import hashlib
import importlib
import json
import logging
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(HERE), str(HERE.parent / "builders")]
# A call that takes longer, in seconds, or a process that grows by more, in MB, is a finding.
LONGEST_S = 1
MOST_MB = 200
# A call that has not ended by then never will.
STUCK_S = 20
# Inputs of a target that --grow leaves in its corpus.
MOST_KEPT = 40
HEAD = """# What the fuzzer reached
`make fuzz MINUTES=5` runs every target below under atheris and writes such a table to `build/fuzz.md`.
This page is that of `{command}`, on final code.

A finding is an error that the reader's callers do not expect, a call of more than {longest} s, or a
process that grows by more than {most} MB. *Edges* are branches of Python code that were taken, in all
that a target reaches, paho, PyYAML and cbor2 included. *Lines* are those inside the functions of the
target's own modules (`Target.modules`). What is not reached is mostly what needs more than bytes: a
full disk, a second process, a broker that stays.

| Target | Runs | s | Runs/s | Edges | Lines | Inputs | Findings |
|---|---:|---:|---:|---:|---:|---:|---:|
"""


class Formatted(logging.Handler):
    """Writes nothing, but every line of the log can be made."""

    def emit(self, record: logging.LogRecord) -> None:
        """Make the line; what goes wrong comes out."""
        self.format(record).encode()


def child(module: str, name: str, found: Path, arguments: list[str]) -> None:
    """Run one target under atheris; does not return."""
    import atheris  # noqa: PLC0415  needed by the child alone

    with atheris.instrument_imports(
        include=["edge", "export", "calibration", "paho", "yaml", "cbor2"]
    ):
        target = importlib.import_module(module).TARGETS[name]

    logging.basicConfig(handlers=[Formatted()], level=logging.DEBUG, force=True)

    def read(data: bytes) -> None:
        began = time.monotonic()
        try:
            with suppress(*target.expected):
                target.read(data)
        except BaseException:
            (found / f"crash-{hashlib.sha256(data).hexdigest()[:12]}").write_bytes(data)
            traceback.print_exc()
            raise
        if time.monotonic() - began > LONGEST_S:
            (found / f"slow-{hashlib.sha256(data).hexdigest()[:12]}").write_bytes(data)

    for path in sorted((HERE / "corpus" / name).iterdir()):
        read(path.read_bytes())  # imports and caches are not what a call takes
    used_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    atheris.Setup([sys.argv[0], *arguments, f"-rss_limit_mb={used_mb + MOST_MB}"], read)
    atheris.Fuzz()


def reached(module: str, name: str, inputs: Sequence[Path], out: Path) -> None:
    """Write which of its modules' lines each input of a target reaches."""
    from fuzz_lines import Reached, lines_of  # noqa: PLC0415

    target = importlib.import_module(module).TARGETS[name]
    wanted = lines_of(target.modules)
    numbers = {line: number for number, line in enumerate(sorted(wanted))}
    by_input: dict[str, list[int]] = {}
    for path in inputs:
        data = path.read_bytes()
        with suppress(BaseException), Reached(wanted) as tracer:  # findings are told elsewhere
            target.read(data)
        by_input[str(path)] = [numbers[line] for line in tracer.lines]
    out.write_text(json.dumps({"lines": len(wanted), "reached": by_input}))


def fuzz(name: str, seconds: int, *, grow: bool) -> dict[str, Any]:
    """Fuzz a target in a child process; its figures, with the files of what was found."""
    import fuzz_targets  # noqa: PLC0415  a child imports its own module alone, instrumented

    target = fuzz_targets.TARGETS[name]
    module = str(target.read.__module__)
    corpus = HERE / "corpus" / name
    corpus.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fuzz") as folder:
        found, grown, words = (Path(folder) / part for part in ("found", "grown", "words"))
        found.mkdir()
        grown.mkdir()
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words))
        began = time.monotonic()
        done = _run(
            "--child", module, name, str(found), str(grown), str(corpus),
            f"-max_total_time={seconds}", f"-timeout={STUCK_S}", f"-artifact_prefix={found}/",
            "-print_final_stats=1", "-max_len=8192",
            *([f"-dict={words}"] if target.words else []),
            timeout=seconds + 180,
        )  # fmt: skip
        took = time.monotonic() - began
        # libFuzzer writes a crash once more, under a name of its own.
        once = {path.read_bytes(): path for path in sorted(found.iterdir(), reverse=True)}
        findings = [path for path in sorted(once.values()) if _holds(module, name, path)]
        for path in findings:
            (corpus / path.name).write_bytes(path.read_bytes())
        said = done.stderr + done.stdout
        if done.returncode and not any(found.iterdir()):
            raise SystemExit(f"{name}: expected findings or exit code 0:\n{said[-3000:]}")
        # A finding may end the process.
        told = {path.name for path in findings}
        inputs = [path for path in (*corpus.iterdir(), *grown.iterdir()) if path.name not in told]
        lines = _lines(module, name, inputs, Path(folder) / "lines.json")
        if grow:
            _keep(corpus, lines["reached"])
    runs = _last(r"number_of_executed_units: (\d+)", said)
    return {
        "target": name,
        "runs": runs,
        "seconds": round(took),
        "runs_per_s": round(runs / took),
        "edges": _last(r"\bcov: (\d+)", said),
        "features": _last(r"\bft: (\d+)", said),
        "lines_reached": len(set().union(*lines["reached"].values())),
        "lines": lines["lines"],
        "inputs": len(list(corpus.iterdir())),
        "findings": [path.name for path in findings],
        "said": re.findall(
            r"^\w[\w.]*(?:Error|Exception|Packet)\b.*|ERROR: libFuzzer.*", said, re.MULTILINE
        )[:1],
    }


def page(figures: Iterable[dict[str, Any]], command: str) -> str:
    """Return the figures as a page of Markdown."""
    rows = [
        f"| {f['target']} | {f['runs']:,} | {f['seconds']} | {f['runs_per_s']:,} | {f['edges']:,} |"
        f" {100 * f['lines_reached'] / f['lines']:.0f} % of {f['lines']} | {f['inputs']} |"
        f" {len(f['findings'])} |\n"
        for f in figures
    ]
    return HEAD.format(command=command, longest=LONGEST_S, most=MOST_MB) + "".join(rows)


def _run(*arguments: str, timeout: float) -> subprocess.CompletedProcess[str]:
    memory = Path("/dev/shm")
    environment = {**os.environ, **({"TMPDIR": str(memory)} if memory.is_dir() else {})}
    return subprocess.run(
        [sys.executable, __file__, *arguments],
        capture_output=True, text=True, errors="replace", check=False, timeout=timeout,
        env=environment,
    )  # fmt: skip


def _holds(module: str, name: str, path: Path) -> bool:
    """Return whether a finding is one again by itself: counting edges makes calls slow too."""
    if not path.name.startswith("slow-"):
        return True
    target = importlib.import_module(module).TARGETS[name]
    took = []
    for _ in range(3):
        began = time.monotonic()
        with suppress(*target.expected):
            target.read(path.read_bytes())
        took.append(time.monotonic() - began)
    return min(took) > LONGEST_S


def _lines(module: str, name: str, inputs: Sequence[Path], out: Path) -> dict[str, Any]:
    listed = out.with_suffix(".inputs")
    listed.write_text("\n".join(map(str, inputs)))
    done = _run("--reached", module, name, str(listed), str(out), timeout=600)
    if done.returncode:
        raise SystemExit(f"{name}: expected the lines that it reaches:\n{done.stderr[-3000:]}")
    lines: dict[str, Any] = json.loads(out.read_text())
    return lines


def _keep(corpus: Path, by_input: dict[str, list[int]]) -> None:
    """Add to a corpus the few inputs that reach what it does not reach yet."""
    ours = {path: set(lines) for path, lines in by_input.items() if Path(path).parent == corpus}
    others = {path: set(lines) for path, lines in by_input.items() if path not in ours}
    known = set[int]().union(*ours.values())
    for _ in range(MOST_KEPT - len(ours)):
        best = max(others, key=lambda path: len(others[path] - known), default=None)
        if best is None or not others[best] - known:
            return
        known |= others[best]
        data = Path(best).read_bytes()
        (corpus / f"grown-{hashlib.sha256(data).hexdigest()[:12]}").write_bytes(data)


def _escaped(word: str) -> str:
    return "".join(
        char if char.isalnum() else "".join(f"\\x{byte:02x}" for byte in char.encode())
        for char in word
    )


def _last(pattern: str, text: str) -> int:
    found = re.findall(pattern, text)
    return int(found[-1]) if found else 0


def main() -> int:
    """Fuzz for the wanted time; the exit code."""
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], sys.argv[3], Path(sys.argv[4]), sys.argv[5:])
    if sys.argv[1:2] == ["--reached"]:
        inputs = [Path(line) for line in Path(sys.argv[4]).read_text().splitlines()]
        reached(sys.argv[2], sys.argv[3], inputs, Path(sys.argv[5]))
        return 0
    import fuzz_targets  # noqa: PLC0415

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=5.0, help="for all targets together")
    parser.add_argument(
        "--target", action="append", choices=sorted(fuzz_targets.TARGETS), help="this one alone"
    )
    parser.add_argument("--jobs", type=int, default=1, help="targets that run at once")
    parser.add_argument("--grow", action="store_true", help="keep inputs that reach new lines")
    parser.add_argument("--out", type=Path, default=ROOT / "build", help="folder of the report")
    options = parser.parse_args()
    names = options.target or list(fuzz_targets.TARGETS)
    seconds = max(1, int(options.minutes * 60 * options.jobs / len(names)))
    figures = []
    with ThreadPoolExecutor(options.jobs) as pool:
        for one in pool.map(lambda name: fuzz(name, seconds, grow=options.grow), names):
            figures.append(one)
            print(json.dumps(one), flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "fuzz.json").write_text(json.dumps(figures, indent=1))
    text = page(figures, f"make fuzz MINUTES={options.minutes:g}")
    (options.out / "fuzz.md").write_text(text)
    return 1 if any(one["findings"] for one in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
