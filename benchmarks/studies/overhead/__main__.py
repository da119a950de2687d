"""Compares what a sample costs two versions of the daemon, in turns.

``python -m benchmarks.studies.overhead clip.mp4 --against ../before --json overhead.json``

Cameras are made up, so that no decoder runs; pictures are those of the clip. Two rules learn and
never alert, every embedding is published to mosquitto, and the engine (null) is taken out. The cost
of a camera's state, each second, is in it. ``../before`` is the folder of another version, such as
``git worktree add ../before v1.0`` makes.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from benchmarks.measuring.statistics import paired_ratio, summary

_ROOT: Final = Path(__file__).resolve().parents[3]
_ONE: Final = Path(__file__).with_name("daemon.py")


def run(tree: Path, clip: Path, cameras: int, fps: float, seconds: float) -> dict[str, Any]:
    """Measure the version in ``tree`` once, as ``edge run`` would run it."""
    words = [sys.executable, str(_ONE), str(clip.resolve()), *map(str, (cameras, fps, seconds))]
    environment = os.environ | {"PYTHONPATH": str(tree.resolve())}
    if "OPENBLAS_NUM_THREADS" in (tree / "edge" / "__main__.py").read_text():
        environment["OPENBLAS_NUM_THREADS"] = "1"
    done = subprocess.run(words, env=environment, cwd=tree, capture_output=True, check=False)  # noqa: S603  (our own module)
    if done.returncode:
        raise SystemExit(done.stderr.decode())
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main(
    clip: Annotated[Path, typer.Argument(help="Pictures of the cameras.")],
    against: Annotated[Path, typer.Option(help="Folder of the other version.")],
    cameras: Annotated[str, typer.Option(help="Numbers of cameras.")] = "16,64",
    fps: Annotated[float, typer.Option(help="Samples per second of each.")] = 1.0,
    rounds: Annotated[int, typer.Option(help="Turns of each version.")] = 3,
    seconds: Annotated[float, typer.Option(help="Measured seconds of a turn.")] = 8.0,
    out: Annotated[Path | None, typer.Option("--json", help="Write the results here.")] = None,
) -> None:
    """Compare this version with another one."""
    results = {}
    for number in map(int, cameras.split(",")):
        before, now = [], []
        for _ in range(rounds):
            before.append(run(against, clip, number, fps, seconds))
            now.append(run(_ROOT, clip, number, fps, seconds))
        costs = [[[one["overhead_ms"]] for one in runs] for runs in (now, before)]
        ratio = paired_ratio(*costs)
        medians = [summary([one["overhead_ms"] for one in runs]).median for runs in (before, now)]
        results[number] = {"before": before, "now": now, "ratio": ratio.median}
        typer.echo(
            f"{number} cameras: {medians[0]:.2f} -> {medians[1]:.2f} ms a sample, "
            f"ratio {ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"
        )
    if out is not None:
        out.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    typer.run(main)
