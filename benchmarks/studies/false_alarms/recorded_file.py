"""Reads the recorded margins of real footage, and cuts them at their labels.

``recorded.npz`` and ``recorded.json`` were made by ``recording``. A scene is what one camera sees;
its clips are cut into idle pieces, things that pass, and events of a sentence.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

RECORDED: Final = Path(__file__).with_name("recorded.npz")
MANIFEST: Final = RECORDED.with_suffix(".json")
# Seconds around a label that belong to neither: something is half in the picture.
_EDGE_S: Final = 0.5
# Shorter rests between two labels are no idle piece.
_SHORTEST_IDLE_S: Final = 1.5


@dataclass(frozen=True, slots=True)
class _Scene:
    """One camera.

    Attributes:
        clips: Its clips.
        thing: Labelled prompt of what passes there; None where nothing does, or always something.
    """

    clips: tuple[str, ...]
    thing: str | None


_ROAD: Final = _Scene(("car-detection.mp4",), "a car on the road")
_TABLE: Final = _Scene(("bottle-detection.mp4",), "a hand grabbing a bottle")
# One busy scene in two encodings. Nobody labelled it: all of it is ordinary.
_SHOP: Final = _Scene(
    ("retail02_h264_640x360_15.mp4", "retail02_h264_1080p25_gop50.mp4"), thing=None
)
_WORKER: Final = (
    "worker-zone.mp4",
    "a worker wearing a yellow hard hat and an orange safety vest",
)
_LEAVES: Final = ("people-door.mp4", "a person walking out of a room")
_RIDES: Final = ("person-bicycle-car.mp4", "a person riding a bicycle")
_WATCHED: Final[Mapping[str, tuple[_Scene, tuple[tuple[str, str], ...]]]] = MappingProxyType(
    {
        "a car on the road": (_ROAD, ((_ROAD.clips[0], "a car on the road"),)),
        "a truck": (_ROAD, ()),
        "a bus": (_ROAD, ()),
        "a cell phone": (_ROAD, ()),
        "a person walking": (_ROAD, (_WORKER, _LEAVES)),
        "a person riding a bicycle": (_ROAD, (_RIDES,)),
        "a person": (_TABLE, (_WORKER, _LEAVES)),
        "a hand grabbing a bottle": (_TABLE, ((_TABLE.clips[0], "a hand grabbing a bottle"),)),
        "a backpack": (_SHOP, ()),
        "a person carrying a handbag": (_SHOP, ()),
    }
)
"""The scene that each sentence watches, and clips and prompts of its events.

An event of another clip stands for the same thing in this scene, at the margins that the model gave
it there. A thing that passes and is no event of the sentence is ordinary, as strong as it may look:
from above, this model takes cars for cell phones.
"""
SENTENCES: Final = tuple(_WATCHED)


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """Margins of one sentence in its scene, some seconds each.

    A piece is float64 [views, lights, n], ``rate`` samples a second.

    Attributes:
        rate: Samples per second of a piece.
        lights: Names of the lights, in the order of the second axis.
        idle: Pieces without a label.
        things: Pieces in which something ordinary passes.
        events: Pieces with an event of the sentence, from its start to its end.
        bottom: Smallest margin of any sentence: the model sees nothing that counts.
    """

    rate: int
    lights: tuple[str, ...]
    idle: Sequence[NDArray[np.float64]]
    things: Sequence[NDArray[np.float64]]
    events: Sequence[NDArray[np.float64]]
    bottom: float


def pieces_of(sentence: str) -> Pieces:
    """Read the recorded margins of one sentence.

    Args:
        sentence: One of ``SENTENCES``.
    """
    scene, wanted = _WATCHED[sentence]
    manifest: Mapping[str, Any] = json.loads(MANIFEST.read_text("utf-8"))
    rate, column = manifest["samples_per_second"], manifest["sentences"].index(sentence)
    with np.load(RECORDED, allow_pickle=False) as file:
        whole = {
            name: _even(file[f"{name}/times"], file[f"{name}/margins"], rate)
            for name in {*scene.clips, *(clip for clip, _ in wanted)}
        }

    def piece(clip: str, start_s: float, end_s: float) -> NDArray[np.float64]:
        return whole[clip][..., column, max(0, round(start_s * rate)) : round(end_s * rate)]

    def labels(clip: str, prompt: str | None) -> Iterator[tuple[float, float]]:
        for label in manifest["labels"]:
            if (label["clip"], label["prompt"]) == (clip, prompt):
                yield label["start_s"], label["end_s"]

    busy = {clip: list(labels(clip, scene.thing)) for clip in scene.clips}
    own = {(clip, scene.thing) for clip in scene.clips} & set(wanted)
    return Pieces(
        rate,
        tuple(manifest["lights"]),
        [
            piece(clip, start_s, end_s)
            for clip, spans in busy.items()
            for start_s, end_s in _between(spans, whole[clip].shape[-1] / rate)
        ],
        [
            piece(clip, start_s - _EDGE_S, end_s + _EDGE_S)
            for clip, spans in busy.items()
            for start_s, end_s in spans
            if not own
        ],
        [piece(clip, *span) for clip, prompt in wanted for span in labels(clip, prompt)],
        min(float(margins.min()) for margins in whole.values()),
    )


def _even(
    times: NDArray[np.float32], margins: NDArray[np.float16], rate: int
) -> NDArray[np.float64]:
    """Return margins [..., n, rules] at even times, by the nearest sample, as [..., rules, n]."""
    even = np.arange(0, float(times[-1]), 1 / rate)
    nearest = np.abs(np.subtract.outer(even, times)).argmin(axis=1)
    return np.moveaxis(margins[..., nearest, :], -1, -2).astype(np.float64)


def _between(
    spans: Sequence[tuple[float, float]], length_s: float
) -> Iterator[tuple[float, float]]:
    """Yield the rests between labels, and before the first and after the last one."""
    edges = [0.0, *(edge for span in sorted(spans) for edge in span), length_s]
    for place, (start_s, end_s) in enumerate(zip(edges[::2], edges[1::2], strict=True)):
        first = start_s + _EDGE_S * (place > 0)
        last = end_s - _EDGE_S * (place < len(spans))
        if last - first >= _SHORTEST_IDLE_S:
            yield first, last
