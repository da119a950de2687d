"""Records margins of the default model over real footage, in several lights and from two views.

``python -m benchmarks.studies.false_alarms.recording FOOTAGE`` plays every clip of the folder
through the INT8 graph of the default bundle. It writes ``recorded.npz``, which has margins and
times but no pictures, and ``recorded.json``, which says how they were made. ``recorded`` makes days
of them. On one core it takes half an hour.
"""

import hashlib
import io
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from benchmarks.studies.altered import Alteration, darker, infrared, light, noisy, rainy, reframed
from benchmarks.studies.decisions.versions import reencoded
from calibration.cli.options import Look, open_setup
from calibration.labels import Label, read_labels
from calibration.replay import Setup, shown
from calibration.rules import config_of
from edge.scoring.margins import margins
from edge.system import paths
from edge.system.atomic_file import write_atomically

RATE: Final = 12
"""Samples per second of a recording: six times as many as a rule sees, in six phases."""
SENTENCES: Final = (
    "a car on the road",
    "a truck",
    "a bus",
    "a cell phone",
    "a person walking",
    "a person riding a bicycle",
    "a person",
    "a hand grabbing a bottle",
    "a backpack",
    "a person carrying a handbag",
)
_DIM: Final = light(lambda rgb: 0.4 * rgb**1.5)
_GAIN: Final = noisy(6)
_LAMPS: Final = noisy(5)
_STREAKS: Final = rainy(0)
POOR: Final = "poor"
"""The light of a clip that is encoded anew with a low bit rate."""
LIGHTS: Final[Mapping[str, Alteration]] = MappingProxyType(
    {
        "day": lambda pixels: pixels,
        "bright": light(lambda rgb: 1.15 * rgb**0.75),
        "cloudy": darker(0.6),
        "dusk": lambda pixels: _GAIN(_DIM(pixels)),
        "infrared": lambda pixels: infrared(_LAMPS(pixels)),
        "rain": lambda pixels: _STREAKS(darker(0.8)(pixels)),
        POOR: lambda pixels: pixels,
    }
)
"""How each light is made of the day's."""
_POOR_CRF: Final = 38
VIEWS: Final[Mapping[str, Alteration]] = MappingProxyType(
    {"as it is": lambda pixels: pixels, "moved": reframed(right=0.06, down=0.04, degrees=2)}
)
"""The place as the clip shows it, and as a camera shows it that was pushed."""


def record(
    clip: Path, setup: Setup, lights: Mapping[str, Alteration] = LIGHTS
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Record the margins of a clip in each light and from each view.

    Args:
        clip: File of the clip.
        setup: INT8 model and bank of the sentences, at ``RATE``.
        lights: Some of ``LIGHTS``.

    Returns:
        Times in seconds from the beginning, float64 [n]; margins float32 [views, lights, n, rules].
    """
    times, made = _watch(clip, setup, [lights[name] for name in lights if name != POOR])
    if POOR not in lights:
        return times, made
    with tempfile.TemporaryDirectory() as folder:
        encoded = reencoded(clip, Path(folder) / "poor.mp4", _POOR_CRF)
        others, poor = _watch(encoded, setup, [lights[POOR]])
    # A clip encoded anew may have a frame more or less.
    nearest = np.abs(np.subtract.outer(times, others)).argmin(axis=1)
    place = list(lights).index(POOR)
    return times, np.insert(made, place, poor[:, 0, nearest], axis=1)


def _watch(
    clip: Path, setup: Setup, lights: Sequence[Alteration]
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    times: list[float] = []
    rows: list[list[NDArray[np.float32]]] = []
    for one in shown(clip, setup):
        times.append(one.t)
        rows.append([])
        for move in VIEWS.values():
            moved = move(one.sample.pixels)
            for alter in lights:
                seen = replace(one.sample, pixels=alter(moved))
                (scored,) = setup.models.scoring.scorer.score([seen], setup.bank)
                if scored is None:
                    raise TypeError("expected a model of single frames (class F)")
                rows[-1].append(scored.cosines)
    found = margins(setup.bank, np.array(rows)).margin  # [n, views * lights, rules]
    return np.array(times), found.swapaxes(0, 1).reshape(len(VIEWS), len(lights), len(times), -1)


def _manifest(
    setup: Setup, clips: Mapping[str, Path], labels: Sequence[Label], recorded: bytes
) -> dict[str, object]:
    bundle = setup.models.bundle
    return {
        "command": "python -m benchmarks.studies.false_alarms.recording FOOTAGE",
        "bundle": {"name": bundle.manifest.name, "sha256": bundle.hash},
        "variant": setup.models.used,
        "samples_per_second": RATE,
        "sentences": SENTENCES,
        "lights": list(LIGHTS),
        "views": list(VIEWS),
        "recorded_sha256": hashlib.sha256(recorded).hexdigest(),
        "clips": {
            name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in clips.items()
        },
        "labels": [
            label.model_dump(include={"clip", "prompt", "start_s", "end_s", "tol_s"})
            for label in labels
        ],
    }


def main(
    footage: Annotated[Path, typer.Argument(help="Folder with clips and events.json.")],
    bundle: Annotated[Path | None, typer.Option(help="The model.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the result.")] = Path(__file__).parent,
) -> None:
    """Record the margins of the default model over all clips of a folder."""
    labels = read_labels(footage / "events.json", footage)
    clips = {path.name: path for path in sorted(footage.glob("*.mp4"))}
    config = config_of(SENTENCES, bundle or paths.default_bundle())
    arrays: dict[str, NDArray[np.generic]] = {}
    with open_setup(config, Look(RATE, precision="int8")) as setup:
        for name, path in track(clips.items(), "clips", console=Console(stderr=True)):
            times, found = record(path, setup)
            arrays[f"{name}/times"] = times.astype(np.float32)
            arrays[f"{name}/margins"] = found.astype(np.float16)
        packed = io.BytesIO()
        np.savez_compressed(packed, allow_pickle=False, **arrays)
        manifest = _manifest(setup, clips, labels, packed.getvalue())
    write_atomically(out / "recorded.npz", packed.getvalue())
    write_atomically(out / "recorded.json", json.dumps(manifest, indent=1).encode() + b"\n")


if __name__ == "__main__":
    typer.run(main)
