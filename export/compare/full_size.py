"""Measures full-size models with random weights: cost of the export, loss of INT8, speed.

``make export-full`` runs it. Random weights have the arithmetic of the real ones and none of their
meaning. Time, memory and size are valid; the cosines show that nothing is broken, and not what
trained weights lose. Each model runs in a process of its own, so that its memory peak is its own.
"""

import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from edge.errors import EdgeError
from edge.model.engines import EngineSettings, open_engine
from export.build import BuildRequest, read_frames
from export.cache.steps import StepCache
from export.checkpoints.checkpoint import open_checkpoint
from export.compare.rounds import Call, in_turns
from export.families import assemble
from export.graph.part import export_graph
from export.graph.reshape import to_bytes
from export.proof.agreement import row_cosines
from export.proof.questions import questions_of
from export.proof.reference import Exam, ask, examine
from export.proof.tensorrt_plan import plan
from export.quantize.qdq import layers
from export.quantize.static import quantize_static

# Rows of the catalogue, with the number of frames or clips that calibrate and that are held out.
ROWS: Final = {
    "clip-vit-b-32": (32, 16),
    "clip-vit-b-16": (16, 8),
    "xclip-ms-b-32": (4, 4),
    "grounding-dino-tiny": (4, 3),
}
_THREADS: Final = 2
_ROUNDS: Final = 5
_BLOCK_S: Final = 3.0
# Least cosine to the float original; a way below it computes something else and gets no time.
_SAME: Final = 0.9

Arrays = Mapping[str, NDArray[Any]]
Way = Callable[[Arrays], Arrays]


@dataclass(frozen=True, slots=True)
class Timing:
    """One way to run the main graph, batch 1.

    Attributes:
        ms: Median of the rounds' medians, milliseconds; None where the answers were wrong.
        low: Median of the fastest round, milliseconds; None as ``ms``.
        high: Median of the slowest round, milliseconds; None as ``ms``.
        mean_cosine: Mean cosine to the float original over the held-out rows.
        min_cosine: Worst cosine to the float original over the held-out rows.
    """

    ms: float | None
    low: float | None
    high: float | None
    mean_cosine: float
    min_cosine: float


@dataclass(slots=True)
class ModelCosts:
    """Costs of one model.

    Attributes:
        name: Name of the model.
        seconds: Seconds of each step, by step.
        peak_gb: Memory peak of the process over all steps, GB.
        megabytes: Size of the main graph, MB, by precision.
        timings: Times and cosines by runtime and precision.
        plan: Description of the plan that TensorRT for RTX makes of the INT8 graph.
    """

    name: str
    seconds: dict[str, float] = field(default_factory=dict)
    peak_gb: float = 0.0
    megabytes: dict[str, float] = field(default_factory=dict)
    timings: dict[str, Timing] = field(default_factory=dict)
    plan: str = ""


def measure(
    source: str, seed: int | None, counts: tuple[int, int], rounds: int, block_s: float
) -> ModelCosts:
    """Export one model as ``edge-export build`` does, and measure it."""
    costs = ModelCosts(source)
    torch.set_num_threads(_THREADS)
    begins = [time.perf_counter()]

    def lap(step: str) -> None:
        begins.append(time.perf_counter())
        costs.seconds[step] = round(begins[-1] - begins[-2], 1)

    checkpoint = open_checkpoint(source, random_weights=seed)
    assembly = assemble(checkpoint)
    frames = read_frames(BuildRequest(source, Path("unused")), assembly.facts)
    lap("load")
    with TemporaryDirectory() as folder:
        cache = StepCache(Path(folder))
        graphs = {p.role: export_graph(p, assembly, checkpoint, cache) for p in assembly.parts}
    lap("export")
    calibrate, held_out = counts
    exams = examine(assembly, frames[1::2][:held_out])
    lap("float original")
    main = assembly.facts.graphs[0]
    questions = questions_of(assembly, graphs, exams, frames[0::2][:calibrate])[main]
    names = {layer.node.name for layer in layers(graphs[main])}
    kept = names & set(questions.keep_float([node.name for node in graphs[main].graph.node]))
    files = {
        "fp32": to_bytes(graphs[main]),
        "int8": to_bytes(quantize_static(graphs[main], questions.samples, kept)),
    }
    lap("quantize")
    costs.megabytes = {name: round(len(data) / 1e6, 3) for name, data in files.items()}
    original = next(part for part in assembly.parts if part.role == main)
    ways: dict[str, Callable[[], Way]] = {
        "torch fp32": lambda: partial(ask, original, assembly.facts.image)
    }
    for kind in ("onnxruntime", "openvino"):
        for precision, data in files.items():
            ways[f"{kind} {precision}"] = partial(_open, kind, data)
    costs.timings = contest(ways, exams[main], rounds, block_s)
    costs.peak_gb = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 1)
    costs.plan = _plan(files["int8"])
    return costs


def contest(
    ways: Mapping[str, Callable[[], Way]], exam: Exam, rounds: int, block_s: float
) -> dict[str, Timing]:
    """Run every way on all rows, then time the ways that answer right, in turns.

    ``export.compare.rounds`` does the timing.
    """
    output = next(iter(exam.answers))
    count = len(exam.answers[output])
    rows = [
        {name: array[row : row + 1] for name, array in exam.rows.items()} for row in range(count)
    ]
    cosines: dict[str, NDArray[np.float64]] = {}
    for way, opener in ways.items():
        run = opener()
        found = np.concatenate([run(row)[output] for row in rows])
        reference = exam.answers[output]
        cosines[way] = row_cosines(found.reshape(count, -1), reference.reshape(count, -1))

    def opened(way: str) -> Call:
        return partial(ways[way](), rows[0])

    sound = {way: partial(opened, way) for way in ways if cosines[way].min() >= _SAME}
    medians: dict[str, list[float]] = {way: [] for way in ways}
    medians |= in_turns(sound, rounds, block_s)
    return {
        way: Timing(
            ms=median(ms) if ms else None,
            low=min(ms, default=None),
            high=max(ms, default=None),
            mean_cosine=float(cosines[way].mean()),
            min_cosine=float(cosines[way].min()),
        )
        for way, ms in medians.items()
    }


def _open(kind: str, data: bytes) -> Way:
    return open_engine(kind, data, EngineSettings(threads=_THREADS)).run


def _plan(int8: bytes) -> str:
    try:
        found = plan(int8)
    except EdgeError as exc:
        return f"not built: {exc}"
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(found.kinds.items()))
    return (
        f"{len(found.int8_layers)} of {len(found.layers)} layers in INT8, "
        f"{found.fused_attention} fused attentions: {kinds}"
    )


def machine() -> dict[str, Any]:
    """Return facts about this machine: processor, cores, instruction sets, versions."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.partition(": ")[2] for line in text.splitlines() if line.startswith("model name")]
    packages = ("torch", "transformers", "onnxruntime", "openvino")
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "flags": [flag for flag in ("avx2", "avx512f", "vnni", "amx_int8") if flag in text],
        "threads": _THREADS,
        "versions": {package: version(package) for package in packages},
    }


def table(costs: ModelCosts) -> Table:
    """Return a model's table for people; speeds are relative to ONNX Runtime in float."""
    base = costs.timings["onnxruntime fp32"].ms
    shown = Table(title=costs.name, box=None)
    for title in ("", "ms", "rounds", "times ONNX Runtime fp32", "cosine mean", "worst"):
        shown.add_column(title, justify="left" if not title else "right")
    for way, timing in costs.timings.items():
        cells = ("-", "-", "-")
        if timing.ms is not None:
            speed = f"{base / timing.ms:.2f}" if base else "-"
            cells = (f"{timing.ms:.1f}", f"{timing.low:.1f} … {timing.high:.1f}", speed)
        shown.add_row(way, *cells, f"{timing.mean_cosine:.5f}", f"{timing.min_cosine:.5f}")
    return shown


def main() -> None:
    """Measure all rows, or the named ones; with ``--row``, one row in this process, as JSON."""
    if sys.argv[1:2] == ["--row"]:
        name = sys.argv[2]
        print(json.dumps(asdict(measure(name, 0, ROWS[name], _ROUNDS, _BLOCK_S))))  # noqa: T201
        return
    console = Console(highlight=False, width=120)
    console.print(machine())
    for name in sys.argv[1:] or ROWS:
        command = [sys.executable, "-W", "ignore", "-m", "export.compare.full_size", "--row", name]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)  # noqa: S603 ourselves
        found = json.loads(done.stdout.splitlines()[-1])
        timings = {way: Timing(**timing) for way, timing in found.pop("timings").items()}
        costs = ModelCosts(**found, timings=timings)
        console.print(table(costs))
        console.print(f"seconds {costs.seconds}, MB {costs.megabytes}, peak {costs.peak_gb} GB")
        console.print(f"TensorRT for RTX: {costs.plan}\n", markup=False)


if __name__ == "__main__":
    main()
