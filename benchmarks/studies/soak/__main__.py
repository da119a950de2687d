"""Runs a daemon for hours while cameras and broker fail by seed, and reports what grew.

``python -m benchmarks.studies.soak --hours 1`` (``make soak HOURS=1``) writes ``soak.json`` and
``soak.png``. The exit code is 1 where the floor of memory grows by more than 1 MB/h, where
descriptors or threads grow for sure, where the daemon ended, or where an alert was lost or none
came.
"""

import contextlib
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer
import yaml
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.measuring.held import Held, held
from benchmarks.studies.soak.faults import Failure, failures
from benchmarks.studies.soak.peers import Broker, Subscriber
from benchmarks.studies.soak.slope import Slope, floor, slope
from edge.system import paths
from edge.testing import TestCamera
from edge.testing.synthetic import write_clip

_CAMERAS: Final = 4
_FPS: Final = 2.0
_EVERY_S: Final = 15.0
_SAMPLED_S: Final = 2.0
_WARM: Final = 0.15  # share of the time in which caches and pools fill
_MOST_MB_PER_HOUR: Final = 1.0
_COMMITTED: Final = re.compile(r"edge\.app: alert (\S+) ")

# What is measured must not depend on what is the fastest here and now.
_Engine = Literal["onnxruntime", "openvino"]
_Precision = Literal["int8", "fp32"]


def configuration(
    folder: Path, bundle: Path, engine: dict[str, str], port: int, cameras: list[str]
) -> Path:
    """Write the daemon's file: a rule that alerts again and again on each camera."""
    burst = {
        "text": "a person", "threshold": -2, "on": {"for": 1, "of": 1}, "off_after": "1s",
        "cooldown": "3s", "update_every": 0,
    }  # fmt: skip
    path = folder / "edge.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "device": {"id": "box"},
                "bundle": str(bundle),
                "engine": engine,
                "state_dir": str(folder / "state"),
                "mqtt": {
                    "host": "127.0.0.1",
                    "port": port,
                    "topic_prefix": "soak",
                    "keepalive": 5,
                },
                "prompts": {"burst": burst},
                "cameras": {
                    f"camera{number}": {"url": url, "sample": {"fps": _FPS}}
                    for number, url in enumerate(cameras)
                },
            }
        )
    )
    return path


def begin(failure: Failure, cameras: list[TestCamera], broker: Broker) -> None:
    """Let something fail."""
    if failure.camera is None:
        broker.stop(signal.SIGKILL if failure.fault == "broker_killed" else signal.SIGTERM)
        return
    camera = cameras[failure.camera]
    match failure.fault:
        case "drop":
            camera.drop()
        case "power_off":
            camera.power_off()
        case "time_jump":
            camera.faults.time_jump_s = 5000.0
        case "loss" | "corruption":
            setattr(camera.faults, failure.fault, 0.3)
        case _:
            setattr(camera.faults, failure.fault, True)


def end(failure: Failure, cameras: list[TestCamera], broker: Broker) -> None:
    """Let it work again."""
    if failure.camera is None:
        broker.start()
        return
    camera = cameras[failure.camera]
    match failure.fault:
        case "power_off":
            camera.power_on()
        case "loss" | "corruption":
            setattr(camera.faults, failure.fault, 0.0)
        case "stall" | "refuse" | "blackhole" | "no_keyframe":
            setattr(camera.faults, failure.fault, False)


def steps(seed: int, seconds: float) -> Iterator[tuple[float, Failure, bool]]:
    """Yield when a fault begins (True) and when it ends (False), in order."""
    for failure in failures(seed, seconds - 60, _CAMERAS, _EVERY_S):
        yield failure.at_s, failure, True
        yield failure.at_s + failure.for_s, failure, False


def soak(
    folder: Path, bundle: Path, engine: dict[str, str], hours: float, seed: int, progress: Progress
) -> dict[str, Any]:
    """Run the daemon under faults and return its figures."""
    clip = write_clip(folder / "clip.mp4", width=320, height=240, fps=10, seconds=4, gop=10)
    seconds, rows, count = hours * 3600, list[tuple[float, Held, int]](), 0
    with contextlib.ExitStack() as stack:
        broker = Broker(folder)
        stack.callback(broker.stop)
        broker.start()
        cameras = [stack.enter_context(TestCamera({"street": clip})) for _ in range(_CAMERAS)]
        urls = [camera.url("street") for camera in cameras]
        log = folder / "daemon.log"
        with log.open("wb") as output:
            daemon = subprocess.Popen(  # noqa: S603  our own program
                [sys.executable, "-m", "edge", "run",
                 configuration(folder, bundle, engine, broker.port, urls)],
                stdout=output, stderr=output,
            )  # fmt: skip
        stack.callback(daemon.kill)
        heard = Subscriber(broker.port)
        stack.callback(heard.close)
        task = progress.add_task("soak", total=seconds)
        started, plan = time.monotonic(), steps(seed, seconds)
        step, sampled_s = next(plan, None), 0.0
        while (now_s := time.monotonic() - started) < seconds and daemon.poll() is None:
            while step is not None and step[0] <= now_s:
                (begin if step[2] else end)(step[1], cameras, broker)
                count, step = count + step[2], next(plan, None)
            heard.listen()
            if now_s >= sampled_s:
                queued = sum(((heard.state.get("outbox") or {}).get("queued") or {}).values())
                rows.append((now_s, held(daemon.pid), queued))
                sampled_s += _SAMPLED_S
                progress.update(task, completed=now_s)
            time.sleep(0.05)
        ended_early = daemon.poll() is not None
        broker.start()
        daemon.send_signal(signal.SIGTERM)
        code = daemon.wait(30)
        heard.listen()
        committed = set(_COMMITTED.findall(log.read_text(errors="replace")))
    return figures(rows, committed - heard.ids, len(committed), count, code, early=ended_early)


def figures(
    rows: list[tuple[float, Held, int]],
    lost: set[str],
    committed: int,
    faults: int,
    code: int,
    *,
    early: bool,
) -> dict[str, Any]:
    """Return the report's figures: slopes after the time in which caches fill."""
    warm = rows[int(len(rows) * _WARM) :]
    times = [at for at, _, _ in warm]
    slopes = {
        name: slope(*floor(times, [getattr(one, name) for _, one, _ in warm]))
        for name in ("rss_mb", "fds", "threads")
    }
    return {
        "schema": "edge-soak/1",
        "hours": rows[-1][0] / 3600,
        "faults": faults,
        "slopes_per_hour": {name: asdict(one) for name, one in slopes.items()},
        "alerts": committed,
        "lost": sorted(lost),
        "exit_code": code,
        "ended_early": early,
        "passed": passed(slopes) and committed > 0 and not lost and not early and code == 0,
        "samples": [{"at_s": at, "queued": queued} | asdict(one) for at, one, queued in rows],
    }


def passed(slopes: dict[str, Slope]) -> bool:
    """Whether memory grows by no more than is allowed, and nothing else for sure."""
    return (
        slopes["rss_mb"].per_hour <= _MOST_MB_PER_HOUR
        and max(slopes["fds"].low, slopes["threads"].low) <= 0
    )


def plot(report: dict[str, Any], path: Path) -> None:
    """Draw memory, descriptors, threads and the queue over the hours."""
    import matplotlib as mpl  # noqa: PLC0415  a second, and only here

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    hours = [sample["at_s"] / 3600 for sample in report["samples"]]
    figure, axes = plt.subplots(4, 1, sharex=True, figsize=(9, 9))
    names = ("rss_mb", "fds", "threads", "queued")
    for axis, name in zip(axes, names, strict=True):
        axis.plot(hours, [sample[name] for sample in report["samples"]], linewidth=0.8)
        axis.set_ylabel(name)
    axes[-1].set_xlabel("hours")
    figure.savefig(path, dpi=100, bbox_inches="tight")
    plt.close(figure)


def main(
    hours: Annotated[float, typer.Option(help="Length of the soak.", min=0.2)] = 1.0,
    seed: Annotated[int, typer.Option(help="Seed of the faults.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder of soak.json and soak.png.")] = Path("soak"),
    bundle: Annotated[Path | None, typer.Option(help="Bundle; default: the default one.")] = None,
    engine: Annotated[_Engine, typer.Option(help="What computes embeddings.")] = "onnxruntime",
    precision: Annotated[_Precision, typer.Option(help="Its precision.")] = "int8",
) -> None:
    """Run a daemon under faults and print what grew."""
    out.mkdir(parents=True, exist_ok=True)
    with Progress(console=Console(stderr=True)) as progress:
        report = soak(
            out, bundle or paths.default_bundle(), {"kind": engine, "precision": precision},
            hours, seed, progress,
        )  # fmt: skip
    (out / "soak.json").write_text(json.dumps(report | {"seed": seed}, indent=1))
    plot(report, out / "soak.png")
    table = Table("", "per hour", "95 % interval")
    for name, one in report["slopes_per_hour"].items():
        table.add_row(name, f"{one['per_hour']:+.3f}", f"{one['low']:+.3f} to {one['high']:+.3f}")
    console = Console()
    console.print(table)
    console.print(
        f"{report['faults']} faults in {report['hours']:.2f} h, {report['alerts']} alerts, "
        f"{len(report['lost'])} lost, exit code {report['exit_code']}: "
        f"{'passed' if report['passed'] else 'FAILED'}"
    )
    raise typer.Exit(0 if report["passed"] else 1)


if __name__ == "__main__":
    typer.run(main)
