"""Measures when a moved or covered camera is noticed, on real clips.

``python -m benchmarks.studies.views FOLDER`` repeats each clip for two minutes, seen by a camera
that shows four fifths of it, and then with one change. The table shows what the view reported, and
its similarity before it learned the new view.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Final

from benchmarks.studies.altered import (
    Alteration,
    Pixels,
    black,
    blurred,
    darker,
    encoded,
    image_spec,
    infrared,
    noisy,
    rainy,
    reframed,
    samples,
    shadowed,
)
from edge.alerts.scene.view import View

# Frames between two samples, so that about twenty samples differ.
CLIPS: Final = {
    "car-detection.mp4": 18,
    "retail02_h264_640x360_15.mp4": 15,
    "bottle-detection.mp4": 60,
    "worker-zone.mp4": 4,
    "people-door.mp4": 2,
    "person-bicycle-car.mp4": 3,
}
_SECONDS: Final = 120

_NOISE: Final = noisy(6)
SAME: Final[Mapping[str, Alteration]] = {
    "the same": lambda pixels: pixels,
    "half the light": darker(0.5),
    "a quarter of the light": darker(0.25),
    "1.8 times the light": darker(1.8),
    "infrared": infrared,
    "infrared, noise": lambda pixels: infrared(_NOISE(pixels)),
    "rain": rainy(0),
    "a shadow over half": shadowed,
}
OTHER: Final[Mapping[str, Mapping[str, float]]] = {
    "4 % right": {"right": 0.04},
    "8 % right": {"right": 0.08},
    "8 % down": {"down": 0.08},
    "12 % right": {"right": 0.12},
    "8 % right and down": {"right": 0.08, "down": 0.08},
    "turned 3 degrees": {"degrees": 3},
    "turned 6 degrees": {"degrees": 6},
    "zoomed 1.1": {"zoom": 1.1},
    "zoomed 1.2": {"zoom": 1.2},
}
BLIND: Final[Mapping[str, Alteration]] = {"black": black(), "out of focus": blurred}


def watch(before: Sequence[Pixels], after: Sequence[Pixels]) -> tuple[list[str], float]:
    """Watch one view for two minutes, then another one for two minutes.

    Args:
        before: Samples of the first view; they are repeated.
        after: Samples of the second view; they are repeated.

    Returns:
        Kinds of the changes that ``View`` reported, and its similarity a minute after the change.
    """
    view, similarity = View(), 1.0
    kinds: list[str] = []
    samples_seen = [*islice(cycle(before), _SECONDS), *islice(cycle(after), _SECONDS)]
    for at, pixels in enumerate(samples_seen):
        if moved := view.step(pixels, float(at)):
            kinds.append(moved.kind)
        if at == _SECONDS + 55:
            similarity = view.similarity
    return kinds, similarity


def changes(clip: Sequence[Pixels]) -> Iterator[tuple[str, Sequence[Pixels]]]:
    """Yield name and samples of the clip after each change."""
    before = [reframed()(pixels) for pixels in clip]
    for name, alter in {**SAME, **BLIND}.items():
        yield name, [alter(pixels) for pixels in before]
    yield "crf 35", encoded(before, 35)
    for name, moved in OTHER.items():
        yield name, [reframed(**moved)(pixels) for pixels in clip]


def main(folder: Path, say: Callable[[str], object] = print) -> None:
    """Print the table, as Markdown.

    Args:
        folder: Folder of the clips.
        say: Function that prints one line.
    """
    rows: dict[str, list[str]] = {}
    for name, every in CLIPS.items():
        clip = samples(folder / name, every, image_spec())
        before = [reframed()(pixels) for pixels in clip]
        for change, after in changes(clip):
            kinds, similarity = watch(before, after)
            rows.setdefault(change, []).append(f"{'+'.join(kinds) or '-'} {similarity:.2f}")
    say("| | " + " | ".join(CLIPS) + " |")
    say("|---|" + "---|" * len(CLIPS))
    for change, cells in rows.items():
        say(f"| {change} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
