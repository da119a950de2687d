"""Measures time in rules on synthetic streams: short events in pools, and the order of events.

``python -m benchmarks.studies.temporal`` prints how often an event of one frame in twelve is found
at equal false-positive rates, how often "A then B" fires on A then B and on B then A with noise,
and what a sample costs.
"""

import json
import time
from typing import Annotated, Final

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from edge.rules.temporal.clauses import Seen, Then
from edge.rules.temporal.pools import Kind, Words, pool_of
from edge.rules.temporal.track import Tracker

_D, _FRAMES, _WORDS = 64, 12, 8
_KINDS: Final[dict[str, tuple[Kind, bool]]] = {
    "mean": ("mean", False),
    "glscl": ("glscl", False),
    "aosm, sentence": ("aosm", False),
    "aosm, with words": ("aosm", True),
}


def _units(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    rows = rng.normal(size=(*shape, _D))
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), np.float32)


def short_events(clips: int, noise: float, strength: float) -> dict[str, dict[str, float]]:
    """Measure the recall of one frame in twelve at false-positive rates of 5, 10 and 20 %.

    Args:
        clips: Number of clips with an event, and of clips without.
        noise: Difference between frames of one scene.
        strength: Strength of the event's frame along the sentence.

    Returns:
        Recall by pool and by false-positive rate, 0..1.
    """
    rng = np.random.default_rng(6)
    sentence = _units(rng, 1)
    # The words of a sentence point approximately in its direction.
    states = 0.7 * sentence[:, None] + 0.7 * _units(rng, 1, _WORDS)
    states /= np.linalg.norm(states, axis=-1, keepdims=True)
    words = Words(states, np.ones((1, _WORDS), bool))
    scores: dict[str, dict[bool, list[float]]] = {
        name: {True: [], False: []} for name in (*_KINDS, "best single frame")
    }
    for event in [True, False] * clips:
        frames = _units(rng, _FRAMES) * np.float32(noise) + _units(rng, 1)
        if event:
            frames[rng.integers(_FRAMES)] += np.float32(strength) * sentence[0]
        frames /= np.linalg.norm(frames, axis=1, keepdims=True)
        for name, (kind, with_words) in _KINDS.items():
            pool = pool_of(kind, _FRAMES, words if with_words else None)
            for frame in frames:
                pooled = pool.push(sentence @ frame, frame)
            scores[name][event].append(float(pooled[0]))
        scores["best single frame"][event].append(float((frames @ sentence.T).max()))
    return {
        name: {
            f"{rate:.0%}": float(np.mean(np.array(kept[True]) > np.quantile(kept[False], 1 - rate)))
            for rate in (0.05, 0.1, 0.2)
        }
        for name, kept in scores.items()
    }


def order(streams: int, noise: float) -> dict[str, float]:
    """Measure the share of streams of 100 s on which "A then B within 15 s" fires.

    The threshold is the one that one in a hundred streams of pure noise reaches, as with a null
    distribution, and at least that of the clauses.

    Args:
        streams: Number of streams of each order.
        noise: Standard deviation of a margin; an event raises the margin by 0.2.

    Returns:
        Share by planted order, 0..1.
    """
    rng = np.random.default_rng(7)
    peaks: dict[str, list[float]] = {
        name: [] for name in ("nothing", "A then B", "B then A", "A and B at once", "A alone")
    }
    for _ in range(streams):
        start, gap, length = rng.integers(20, 60), rng.integers(8, 24), rng.integers(6, 20)
        spans = {
            "nothing": (None, None),
            "A then B": ((start, length), (start + gap, length)),
            "B then A": ((start + gap, length), (start, length)),
            "A and B at once": ((start, length), (start, length)),
            "A alone": ((start, length), None),
        }
        for name, planted in spans.items():
            margins = rng.normal(-0.1, noise, (200, 2))
            for column, span in enumerate(planted):
                if span is not None:
                    margins[span[0] : span[0] + span[1], column] += 0.2
            peaks[name].append(_peak(margins))
    threshold = max(0.0, float(np.quantile(peaks.pop("nothing"), 0.99)))
    return {name: float(np.mean(np.array(kept) > threshold)) for name, kept in peaks.items()}


def _peak(margins: NDArray[np.float64]) -> float:
    """Return the largest threshold that two of three samples of a stream [n, 2] reach."""
    tracker = Tracker(Then((Seen("a"), Seen("b")), within_s=15), gap_s=10)
    values = np.array([tracker.step(row.tolist(), at / 2) for at, row in enumerate(margins)])
    return float(np.minimum(values[2:], np.maximum(values[1:-1], values[:-2])).max())


def cost() -> dict[str, float]:
    """Measure microseconds per sample: 20 sentences in 512 dimensions; a tracker of 2 clauses."""
    rng = np.random.default_rng(8)
    sentences = rng.normal(size=(20, 512)).astype(np.float32)
    frame = rng.normal(size=512).astype(np.float32)
    took = {}
    for name, (kind, with_words) in _KINDS.items():
        if with_words:
            continue
        pool = pool_of(kind, _FRAMES)
        began = time.perf_counter()
        for _ in range(500):
            pool.push(sentences @ frame, frame)
        took[name] = (time.perf_counter() - began) / 500 * 1e6
    tracker = Tracker(Then((Seen("a"), Seen("b")), within_s=30), gap_s=10)
    began = time.perf_counter()
    for place in range(20_000):
        tracker.step((0.0, 0.1), place / 2)
    took["tracker"] = (time.perf_counter() - began) / 20_000 * 1e6
    return took


def main(
    clips: Annotated[int, typer.Option(help="Clips with an event, and as many without.")] = 1000,
    streams: Annotated[int, typer.Option(help="Streams of each order.")] = 500,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Everything as JSON.")] = False,
) -> None:
    """Measure short events in pools, and the order of events, on synthetic streams."""
    found = short_events(clips, noise=0.3, strength=0.9)
    orders = {f"{noise:g}": order(streams, noise) for noise in (0.02, 0.05, 0.08)}
    took = cost()
    if as_json:
        typer.echo(json.dumps({"short_events": found, "order": orders, "us": took}))
        return
    console = Console()
    table = Table(
        "one frame in twelve", *(f"recall at {rate} false" for rate in ("5%", "10%", "20%"))
    )
    for name, row in found.items():
        table.add_row(name, *(f"{value:.3f}" for value in row.values()))
    console.print(table)
    table = Table("noise of a margin (event 0.2)", *next(iter(orders.values())))
    for noise, row in orders.items():
        table.add_row(noise, *(f"{value:.1%}" for value in row.values()))
    console.print(table)
    console.print({name: f"{value:.1f} us a sample" for name, value in took.items()})


if __name__ == "__main__":
    typer.run(main)
