"""Measures time and memory of a full-size distillation that continues after kill -9.

``make distill-full``: CLIP ViT-B/16 with random weights teaches MobileViT-v2-1.0 for one epoch of
each phase on about fifty frames. Time and memory are those of trained weights too; the cosines
have no meaning.
"""

import json
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Final

import onnx
import typer
from rich.console import Console

from edge.errors import ConfigError
from edge.model.bundle.read import Bundle, open_bundle
from edge.system import command_line
from export.default_bundle.frames import default_files
from export.distill.studies import as_typed
from export.graph.reshape import to_bytes
from export.packages.fetch import default_cache
from export.proof.tensorrt_plan import plan
from export.quantize.static import quantize_static

_STUDENT: Final = "mobilevit-v2"
_PATIENCE_S: Final = 3600.0


def main(
    teacher: Annotated[Path, typer.Option(help="Bundle.")],
    work: Annotated[Path, typer.Option(help="Where everything is kept.")],
) -> None:
    """Distil, kill it in its second phase, distil again, and tell."""
    console = Console(highlight=False, width=120)
    data, out, state = (work / name for name in ("data", "student", "state"))
    for old in (data, out, state):
        shutil.rmtree(old, ignore_errors=True)
    _pictures(data)
    words = (
        "distill", teacher, "--student", _STUDENT, "--data", data, "--out", out,
        "--work", state, "--epochs", 1, "--qat-epochs", 1, "--variations", 1, "--batch", 16,
        "--chunk", 16, "--held-out", 0.3, "--targets", "onnx,tensorrt", "--json",
    )  # fmt: skip
    began = time.perf_counter()
    with subprocess.Popen(as_typed.command(*words), stdout=subprocess.PIPE) as killed:  # noqa: S603 ours
        # The float phase is over, and the second phase has begun.
        _wait(lambda: _done(state / "float"), killed)
        killed.send_signal(signal.SIGKILL)
    first = time.perf_counter() - began
    began = time.perf_counter()
    report = json.loads(as_typed.run(*words, captured=True))
    second = time.perf_counter() - began
    # Peak of the two processes above, because no other child process was awaited.
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    console.print(
        f"until kill -9 {first:.0f} s, again to the end {second:.0f} s, peak {peak:.1f} GB"
    )
    for name, speeds in speeds_of(state / "curves").items():
        console.print(
            f"{name}: {median(speeds):.1f} pictures/s (steps {min(speeds):.1f}..{max(speeds):.1f})"
        )
    for pupil in report["distilled"]:
        console.print(f"{pupil['name']}: {pupil['gmacs']:.3f} GMAC, {pupil['megabytes']:.1f} MB")
    found = plan(_quantized(open_bundle(out)))
    console.print(
        f"TensorRT for RTX: {len(found.int8_layers)} of {len(found.layers)} layers with weights in "
        f"INT8, kernels {dict(sorted(found.kinds.items()))}"
    )


def _quantized(student: Bundle) -> bytes:
    """INT8 graph of the packed float graph; no gate passes the random choices of random weights."""
    graph = onnx.load_from_string(student.read("image", "fp32"))
    pixels = student.golden()["image"].inputs["pixels"]
    samples = [{"pixels": pixels[index : index + 1]} for index in range(len(pixels))]
    return to_bytes(quantize_static(graph, samples))


def _pictures(folder: Path) -> None:
    """Write every frame to its own file, so that some are held out and others trained on."""
    from export.distill.data.picture_sources import PictureOptions, read  # noqa: PLC0415 torch

    folder.mkdir(parents=True)
    for file in default_files(default_cache()):
        for outcome in read(file, file.name, PictureOptions(fps=5)):
            for found in outcome.found:
                (folder / f"{found.key.replace('@', '-')}.jpg").write_bytes(found.jpeg)


def speeds_of(curves: Path) -> dict[str, list[float]]:
    """Pictures per second of each step in all runs, by phase."""
    from tensorboard.backend.event_processing.event_accumulator import (  # noqa: PLC0415 an extra
        EventAccumulator,
    )

    events: Any = EventAccumulator(str(curves))
    events.Reload()
    return {
        tag.partition("/")[0]: [event.value for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
        if tag.endswith("pictures_per_s")
    }


def _done(phase: Path) -> bool:
    note = phase / "last" / "progress.json"
    return note.exists() and bool(json.loads(note.read_bytes())["standing"]["done"])


def _wait(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            raise ConfigError(
                f"expected the training to go on, found exit code {process.returncode}; it has "
                "said why"
            )
        time.sleep(0.2)


if __name__ == "__main__":
    command_line.run("distill-full", lambda: typer.run(main))
