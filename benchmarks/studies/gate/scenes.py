"""Makes scenes with known events: labelled clips between still stretches, and a person far away.

A gate learns what is still before anything happens, and clips are too short for that. So each scene
begins with 30 s of stillness and has 15 s between and after its events: a still piece of the clip
forwards and backwards, or a picture of it with sensor noise where the clip has no still piece.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT, FPS = 640, 360, 15
BEFORE_S, BETWEEN_S = 30, 15
# Standard deviation of the noise of a sensor by day, in levels of 255.
_NOISE: Final = 0.7
_WALK_S: Final = 5
# Clips with a still piece, and its seconds.
_STILL: Final = {"car-detection": (9, 14), "bottle-detection": (7, 11)}
# Labels of what moves; others say what the picture shows while nothing moves.
_MOVES: Final = ("a car on", "a hand", "a worker wearing", "a person", "two cars", "a white car",
                 "a red car", "a silver")  # fmt: skip

Picture = NDArray[np.uint8]
"""YUV 4:2:0 as FFmpeg lays it out: rows of brightness, then of colour."""


@dataclass(frozen=True, slots=True)
class SceneEvent:
    """An event of a scene: begin and end with their uncertainty, seconds."""

    text: str
    begin_s: float
    end_s: float
    tolerance_s: float
    moves: bool


@dataclass(frozen=True, slots=True)
class StagedScene:
    """Pictures of a scene at ``FPS``, and its events."""

    pictures: list[Picture]
    events: tuple[SceneEvent, ...]


# The limits of the gate were chosen on the first half, and the second one was only looked at.
HALVES: Final = {
    "chosen on": ("car-detection", "worker-zone", "person-27"),
    "tried on": ("bottle-detection", "people-door", "person-bicycle-car", "person-22", "person-36"),
}


def make(name: str, folder: Path, seed: int = 0) -> StagedScene:
    """Return the scene of a clip in ``folder``, or with a person of so many pixels."""
    noise = _Noise(np.random.default_rng(seed), _NOISE)
    if name.startswith("person-") and name.removeprefix("person-").isdigit():
        return _far(int(name.removeprefix("person-")), folder, noise)
    pictures, events = clip(folder / f"{name}.mp4"), _labels(folder, name)
    if name in _STILL:
        begin, end = (second * FPS for second in _STILL[name])
        return _between(pictures, events, pictures[begin:end], None)
    still = pictures[0] if name == "person-bicycle-car" else pictures[-1]
    return _between(pictures, events, [still], noise)


def clip(path: Path) -> list[Picture]:
    """Return the pictures of a clip at our size and rate."""
    found: list[Picture] = []
    with av.open(path) as container:
        for frame in container.decode(video=0):
            small = frame.reformat(WIDTH, HEIGHT, format="yuv420p")
            picture = small.to_ndarray().astype(np.uint8)
            while frame.time is not None and frame.time * FPS >= len(found) - 1e-6:
                found.append(picture)
    return found


def _labels(folder: Path, name: str) -> list[SceneEvent]:
    labels = json.loads((folder / "events.json").read_text())["events"]
    return [
        SceneEvent(
            each["prompt"],
            each["start_s"],
            each["end_s"],
            each["tol_s"],
            each["prompt"].startswith(_MOVES),
        )
        for each in labels
        if each["clip"] == f"{name}.mp4"
    ]


class _Noise:
    """Adds noise of a sensor to the brightness."""

    def __init__(self, rng: np.random.Generator, level: float) -> None:
        self._rng = rng
        drawn = rng.standard_normal((HEIGHT + 64, WIDTH + 64)) * level
        self._levels = drawn.round().astype(np.int16)

    def __call__(self, picture: Picture) -> Picture:
        y, x = self._rng.integers(64, size=2)
        noisy = picture.copy()
        levels = self._levels[y : y + HEIGHT, x : x + WIDTH]
        noisy[:HEIGHT] = np.clip(noisy[:HEIGHT] + levels, 0, 255)
        return noisy


def _still(pieces: Sequence[Picture], seconds: int, noise: _Noise | None) -> Iterator[Picture]:
    there_and_back = [*pieces, *pieces[-2:0:-1]]
    for number in range(seconds * FPS):
        picture = there_and_back[number % len(there_and_back)]
        yield picture if noise is None else noise(picture)


def _between(
    pictures: list[Picture],
    events: list[SceneEvent],
    still: Sequence[Picture],
    noise: _Noise | None,
) -> StagedScene:
    shown: list[Picture] = []
    happened: list[SceneEvent] = []
    passes = 2 if len(pictures) < 8 * FPS else 1
    for number in range(passes):
        shown += _still(still, BETWEEN_S if number else BEFORE_S, noise)
        begin = len(shown) / FPS
        happened += [
            SceneEvent(e.text, e.begin_s + begin, e.end_s + begin, e.tolerance_s, e.moves)
            for e in events
        ]
        shown += pictures if noise is None else map(noise, pictures)
    shown += _still(still, BETWEEN_S, noise)
    return StagedScene(shown, tuple(happened))


def _far(height: int, folder: Path, noise: _Noise) -> StagedScene:
    """A person of so many pixels walks across twice, on a road or in a room."""
    ground = (
        clip(folder / "car-detection.mp4")[150]
        if height % 4
        else clip(folder / "people-door.mp4")[-1]
    )
    worker = clip(folder / "worker-zone.mp4")[10][94:330, 146:226]
    width = max(4, round(height * 0.17) * 2)
    grey = av.VideoFrame.from_ndarray(np.ascontiguousarray(worker), format="gray")
    person = grey.reformat(width, height, format="gray", interpolation="AREA").to_ndarray()
    shown: list[Picture] = []
    events: list[SceneEvent] = []
    for number in range(2):
        shown += _still([ground], BETWEEN_S if number else BEFORE_S, noise)
        begin = len(shown) / FPS
        events.append(SceneEvent("a person far away", begin, begin + _WALK_S, 0.0, moves=True))
        for step in range(_WALK_S * FPS):
            picture = ground.copy()
            x, y = int(180 + step / FPS * height * 0.7), 190 + step // 4 % 2
            legs = person if step // 5 % 2 else person[:, ::-1]
            picture[y : y + height, x : x + width] = legs
            shown.append(noise(picture))
    shown += _still([ground], BETWEEN_S, noise)
    return StagedScene(shown, tuple(events))
