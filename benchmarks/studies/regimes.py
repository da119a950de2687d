"""Compares two ways to separate null distributions: by light, and by the scene's embeddings.

``python -m benchmarks.studies.regimes BUNDLE FOLDER`` watches real clips through synthetic days and
nights: clouds by day, then dusk, infrared by night, dawn, day. Two candidates assign a regime to
each sample: ``edge/alerts/scene/light.py``, and two means of the embeddings that each sample moves.
Three questions count (docs/adr/0015): whether margins differ between the regimes; whether the
regime stays the same while nothing changes; and whether the subject of an alert is spread over the
regimes, or has become one of them, so that its null distribution treats it as ordinary.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.studies.altered import Alteration, Pixels, darker, infrared, noisy, samples
from edge.alerts.scene.light import Light
from edge.config.models import EngineConfig
from edge.config.prompt import PromptConfig
from edge.model.bundle.read import open_bundle
from edge.scoring.margins import margins
from edge.scoring.open import Models, open_models
from edge.video.sample import Arrival, Sample

# For each clip: frames between two samples, frames per second, the event, other rules.
CLIPS: Final = {
    "car-detection.mp4": (6, 12.5, "a car on the road", ["a person walking", "a bus"]),
    "bottle-detection.mp4": (15, 29.83, "a hand grabbing a bottle", ["a plastic bottle", "a cat"]),
}
_ROUNDS: Final = 3
# Minutes, light, and its name, day or night (dusk is neither).
_DAY: Final[tuple[tuple[int, Sequence[str], str], ...]] = (
    (40, ("day", "cloud", "day", "bright"), "day"),
    (5, ("dusk",), ""),
    (40, ("infrared",), "night"),
    (5, ("dusk",), ""),
)
_NOISE: Final = noisy(4)
_LIGHTS: Final[Mapping[str, Alteration]] = {
    "day": lambda pixels: pixels,
    "cloud": darker(0.75),
    "bright": darker(1.2),
    "dusk": darker(0.35),
    "infrared": lambda pixels: infrared(_NOISE(pixels)),
}


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """Samples of a camera, one per second. Letters: N samples, P rules, D embedding.

    Attributes:
        pixels: Pixels of each sample.
        embeddings: float32 [N, D].
        margins: float32 [N, P].
        event: bool [N], whether the subject of the first rule is visible.
        truth: ``day``, ``night`` or empty, for each sample.
    """

    pixels: Sequence[Pixels]
    embeddings: NDArray[np.float32]
    margins: NDArray[np.float32]
    event: NDArray[np.bool_]
    truth: NDArray[np.str_]


class TwoMeans:
    """On-line 2-means on unit embeddings (MacQueen 1967), with forgetting over an hour.

    The second mean begins at the sample of the first ten minutes that is farthest from the first
    one (Arthur and Vassilvitskii 2007, without the draw).

    Args:
        lasts: Samples in a row after which a new regime counts.
    """

    _BEGIN, _FORGET = 600, 1 / 3600

    def __init__(self, lasts: int) -> None:
        self._lasts = lasts
        self._first: list[NDArray[np.float32]] = []
        self._means = np.empty((0, 0), np.float32)
        self._word, self._other = 0, 0

    def step(self, embedding: NDArray[np.float32]) -> str:
        """Return the regime of one sample; it changes only after the new one has lasted."""
        if len(self._first) < self._BEGIN:
            self._first.append(embedding)
            if len(self._first) == self._BEGIN:
                far = min(self._first, key=lambda other: float(other @ self._first[0]))
                self._means = np.stack([self._first[0], far])
            return "0"
        nearest = int(np.argmax(self._means @ embedding))
        mean = self._means[nearest] + np.float32(self._FORGET) * embedding
        self._means[nearest] = mean / np.linalg.norm(mean)
        self._other = 0 if nearest == self._word else self._other + 1
        if self._other >= self._lasts:
            self._word, self._other = nearest, 0
        return str(self._word)


def by_light(stream: Stream) -> Iterator[str]:
    """Yield regimes by light, candidate 1."""
    light = Light()
    return (light.step(pixels, float(at)).word for at, pixels in enumerate(stream.pixels))


def by_scene(stream: Stream) -> Iterator[str]:
    """Yield regimes by the scene, candidate 2, as steady as light."""
    means = TwoMeans(60)
    return (means.step(embedding) for embedding in stream.embeddings)


def by_scene_at_once(stream: Stream) -> Iterator[str]:
    """Yield regimes by the scene, candidate 2, from each sample alone."""
    means = TwoMeans(1)
    return (means.step(embedding) for embedding in stream.embeddings)


def film(models: Models, folder: Path, name: str) -> Stream:
    """Make days and nights from one clip.

    Args:
        models: Models of the bundle.
        folder: Folder of the clip and of ``events.json``.
        name: Key of ``CLIPS``.
    """
    every, fps, event, others = CLIPS[name]
    with models.scoring.open_compiler() as compiler:
        bank = compiler({text: PromptConfig(text=(text,)) for text in (event, *others)})
    clip = samples(folder / name, every, models.bundle.manifest.image)
    truth = _events(folder, name, event, np.arange(len(clip)) * every / fps)
    altered = {light: [alter(pixels) for pixels in clip] for light, alter in _LIGHTS.items()}
    embedded = {}
    for light, pictures in altered.items():
        scored = [
            models.scoring.scorer.score([Sample("", 0, Arrival(0, 0, None), pixels)], bank)[0]
            for pixels in pictures
        ]
        answers = [answer for answer in scored if answer is not None]
        cosines = np.stack([answer.cosines for answer in answers])
        vectors = [answer.embedding for answer in answers if answer.embedding is not None]
        embedded[light] = np.stack(vectors), margins(bank, cosines).margin
    order: list[tuple[str, int, str]] = []
    for minutes, lights, word in (*_DAY * _ROUNDS, _DAY[0]):
        for at in range(minutes * 60):
            light = lights[at * len(lights) // (minutes * 60)]
            order.append((light, len(order) % len(clip), word))
    return Stream(
        [altered[light][frame] for light, frame, _ in order],
        np.stack([embedded[light][0][frame] for light, frame, _ in order]),
        np.stack([embedded[light][1][frame] for light, frame, _ in order]),
        np.array([truth[frame] for _, frame, _ in order]),
        np.array([word for _, _, word in order]),
    )


def _events(folder: Path, name: str, text: str, at: NDArray[np.float64]) -> NDArray[np.bool_]:
    labels = json.loads((folder / "events.json").read_text())["events"]
    inside = np.zeros(len(at), np.bool_)
    for label in labels:
        if (label["clip"], label["prompt"]) == (name, text):
            inside |= (at >= label["start_s"]) & (at <= label["end_s"])
    return inside


def distance(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the Kolmogorov-Smirnov distance: the largest difference of two distributions, 0..1."""
    if not len(one) or not len(other):
        return 0.0
    both = np.sort(np.concatenate([one, other]))
    below = np.searchsorted(np.sort(one), both, "right") / len(one)
    return float(np.abs(below - np.searchsorted(np.sort(other), both, "right") / len(other)).max())


def describe(stream: Stream, candidate: Callable[[Stream], Iterator[str]]) -> str:
    """Return the row of a candidate in the table, without its title."""
    begin = time.perf_counter()
    words = np.array(list(candidate(stream)))
    cost = (time.perf_counter() - begin) / len(words) * 1e6
    names = np.unique(words)
    if len(names) == 1:
        return f"one regime only | - | - | - | - | {cost:.0f} |"
    one = words == names[0]
    known = stream.truth != ""
    agree = float((one[known] == (stream.truth[known] == "day")).mean())
    switches = np.count_nonzero(words[1:] != words[:-1]) / (len(words) / 3600)
    calm = ~stream.event
    apart = [distance(column[one & calm], column[~one & calm]) for column in stream.margins.T]
    shares = [float(stream.event[words == name].mean()) for name in names]
    return (
        f"{max(agree, 1 - agree):.0%} | {switches:.1f} | "
        f"{' '.join(f'{value:.2f}' for value in apart)} | "
        f"{' '.join(f'{share:.0%}' for share in shares)} | {cost:.0f} |"
    )


def main(bundle: Path, folder: Path, say: Callable[[str], object] = print) -> None:
    """Print the table, as Markdown.

    Args:
        bundle: Folder of the model.
        folder: Folder of the clips.
        say: Function that prints one line.
    """
    say("| | is day or night | switches/h | KS of calm margins | share of event | us/sample |")
    say("|---|---|---|---|---|---|")
    with open_models(open_bundle(bundle), EngineConfig(kind="onnxruntime", precision="int8")) as m:
        for name in CLIPS:
            stream = film(m, folder, name)
            say(f"| {name}, event in {stream.event.mean():.0%} | | | | | |")
            truth = stream.truth
            calm = ~stream.event
            split = [
                distance(column[calm & (truth == "day")], column[calm & (truth == "night")])
                for column in stream.margins.T
            ]
            say(f"| true day and night | | | {' '.join(f'{value:.2f}' for value in split)} | | |")
            for title, candidate in (
                ("light", by_light),
                ("two means", by_scene),
                ("two means, at once", by_scene_at_once),
            ):
                say(f"| {title} | {describe(stream, candidate)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
