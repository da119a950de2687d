"""Fuzzes the targets in turn, guided by coverage: ``make fuzz MINUTES=5``.

Each target runs in a process of its own under atheris (libFuzzer). What it finds is written to
``tests/fuzz/corpus/TARGET/``, where ``test_corpus.py`` reads it again in every run of the tests. One
line for each target: runs, runs per second, covered edges, findings. Exit code 1 after a finding.
"""

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(HERE), str(HERE.parent / "builders")]
# A call that takes longer, in seconds, or a process that grows beyond this, in MB, is a finding.
LONGEST_S = 1
MOST_MB = 1024  # imports take half of it


def child(name: str, found: Path, arguments: list[str]) -> None:
    """Run one target under atheris; does not return."""
    import atheris  # noqa: PLC0415  needed by the child alone

    with atheris.instrument_imports(
        include=["edge", "export", "calibration", "paho", "yaml", "cbor2"]
    ):
        import fuzz_targets  # noqa: PLC0415  instrumented while it is imported

    def read(data: bytes) -> None:
        try:
            fuzz_targets.fuzz_one(name, data)
        except BaseException:
            (found / f"crash-{hashlib.sha256(data).hexdigest()[:12]}").write_bytes(data)
            traceback.print_exc()
            raise

    atheris.Setup([sys.argv[0], *arguments], read)
    atheris.Fuzz()


def fuzz(name: str, seconds: int) -> dict[str, Any]:
    """Fuzz a target in a child process; its figures, with the files of what was found."""
    corpus = HERE / "corpus" / name
    corpus.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fuzz") as folder:
        found = Path(folder) / "found"
        found.mkdir()
        grown = Path(folder) / "grown"
        grown.mkdir()
        done = subprocess.run(
            [
                sys.executable, __file__, "--child", name, str(found), str(grown), str(corpus),
                f"-max_total_time={seconds}", f"-timeout={LONGEST_S}", f"-rss_limit_mb={MOST_MB}",
                f"-artifact_prefix={found}/", "-print_final_stats=1", "-max_len=8192",
            ],
            capture_output=True, text=True, check=False, timeout=seconds + 120,
        )  # fmt: skip
        findings = sorted(found.iterdir())
        for path in findings:
            (corpus / path.name).write_bytes(path.read_bytes())
        said = done.stderr + done.stdout
    numbers = re.findall(r"number_of_executed_units: (\d+)", said)
    edges = re.findall(r"\bcov: (\d+)", said)
    runs = int(numbers[-1]) if numbers else 0
    if done.returncode and not findings:
        raise SystemExit(f"{name}: expected findings or exit code 0 of the fuzzer:\n{said[-3000:]}")
    return {
        "target": name,
        "runs": runs,
        "runs_per_s": round(runs / seconds),
        "edges": int(edges[-1]) if edges else 0,
        "findings": [path.name for path in findings],
        "said": re.findall(
            r"^\w[\w.]*(?:Error|Exception|Packet)\b.*|ERROR: libFuzzer.*", said, re.MULTILINE
        )[:1],
    }


def main() -> int:
    """Fuzz for the wanted time; the exit code."""
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], Path(sys.argv[3]), sys.argv[4:])
    import fuzz_targets  # noqa: PLC0415  a child imports it instrumented

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=5.0, help="for all targets together")
    parser.add_argument("--target", choices=sorted(fuzz_targets.TARGETS), help="this one alone")
    options = parser.parse_args()
    names = [options.target] if options.target else list(fuzz_targets.TARGETS)
    seconds = max(1, int(options.minutes * 60 / len(names)))
    bad = 0
    for name in names:
        figures = fuzz(name, seconds)
        bad += len(figures["findings"])
        print(json.dumps(figures), flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
