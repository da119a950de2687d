"""Finds moments in scores over time: the stretches in which something was seen. Pure.

The method needs no proposals and no training. The scores are smoothed; a moment begins where they
reach one level and ends where they fall below a lower one; moments close together become one, and
short ones are dropped. All durations are in seconds of the samples' own times, so samples that are
late or missing, or that stop for an hour, change only the precision, not the meaning.

Letters in shapes: N samples of one camera, R runs of samples.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

# Smoothing beyond this many standard deviations changes nothing (weight below 0.0002).
_REACH: Final = 4.0


@dataclass(frozen=True, slots=True)
class Moment:
    """Stretch of time with high scores.

    Attributes:
        start: UTC seconds, halfway between the first sample in the moment and the one before.
        end: UTC seconds, halfway between the last sample in the moment and the next one.
        score: Highest smoothed score in the moment.
        peak: UTC seconds of the sample with that score.
    """

    start: float
    end: float
    score: float
    peak: float


@dataclass(frozen=True, slots=True)
class Shape:
    """Limits that define a moment.

    Attributes:
        enter: Share of the run's best score at which a moment begins, 0..1.
        exit: Share of the run's best score below which a moment ends, at most ``enter``.
        merge_s: Distance in seconds below which two moments become one.
        least_s: Minimum length in seconds; shorter moments are dropped; 0 keeps all.
        silence_s: Seconds without a sample after which a new run begins, because nothing is known
            about the time in between.
        smooth_s: Standard deviation of the Gaussian that smooths the scores over time, seconds; 0
            leaves them unchanged.
    """

    enter: float = 0.6
    exit: float = 0.4
    merge_s: float = 3.0
    least_s: float = 0.0
    silence_s: float = 10.0
    smooth_s: float = 0.5

    def __post_init__(self) -> None:
        """Refuse levels that nothing can cross.

        Raises:
            ValueError: Not ``0 < exit <= enter <= 1``.
        """
        if not 0 < self.exit <= self.enter <= 1:
            raise ValueError(
                f"expected 0 < exit <= enter <= 1, found exit {self.exit}, enter {self.enter}"
            )


def find_moments(
    times: NDArray[np.float64], scores: NDArray[np.float32], shape: Shape
) -> list[Moment]:
    """Find the moments of one camera.

    The levels of each run of samples depend on its own best score, so that a weak moment of another
    day is found beside a strong one. A run whose best score is not above 0 has no moments: a margin
    of 0 means that a sentence of the background fits equally well.

    Args:
        times: UTC seconds [N], rising.
        scores: Scores such as margins, float32 [N].
        shape: Limits that define a moment.

    Returns:
        Moments, best first; with equal scores, the earlier one first.
    """
    found = [
        moment
        for run in _runs(times, shape.silence_s)
        for moment in _in_run(times[run], smoothed(times[run], scores[run], shape.smooth_s), shape)
    ]
    return sorted(found, key=lambda moment: (-moment.score, moment.start))


def smoothed(
    times: NDArray[np.float64], scores: NDArray[np.float32], sigma_s: float
) -> NDArray[np.float64]:
    """Smooth the scores: each becomes the mean of its neighbours, with Gaussian weights over time.

    Five samples a second lose their flicker in this way, and one in four seconds does not change.

    Args:
        times: UTC seconds [N], rising.
        scores: Scores, float32 [N].
        sigma_s: Standard deviation in seconds; 0 changes nothing.

    Returns:
        Smoothed scores, float64 [N].
    """
    total, weight = scores.astype(np.float64), np.ones(len(scores))
    for step in range(1, len(times)):
        apart = times[step:] - times[:-step]
        reached = apart <= _REACH * sigma_s
        if sigma_s == 0 or not reached.any():
            break
        near = np.zeros(len(apart))
        near[reached] = np.exp(-0.5 * np.square(apart[reached] / sigma_s))
        total[step:] += near * scores[:-step]
        weight[step:] += near
        total[:-step] += near * scores[step:]
        weight[:-step] += near
    smooth: NDArray[np.float64] = total / weight
    return smooth


def _runs(times: NDArray[np.float64], silence_s: float) -> Iterator[slice]:
    """Yield the stretches of samples without a silence between them."""
    if not len(times):
        return
    breaks = (np.flatnonzero(np.diff(times) > silence_s) + 1).tolist()
    for start, stop in pairwise([0, *breaks, len(times)]):
        yield slice(start, stop)


def _in_run(
    times: NDArray[np.float64], scores: NDArray[np.float64], shape: Shape
) -> Iterator[Moment]:
    best = float(scores.max())
    if best <= 0:
        return
    edges = _edges(times)
    for first, last in _merged(_above(scores, shape.enter * best, shape.exit * best), edges, shape):
        start, end = float(edges[first]), float(edges[last + 1])
        if end - start >= shape.least_s:
            peak = first + int(np.argmax(scores[first : last + 1]))
            yield Moment(start, end, float(scores[peak]), float(times[peak]))


def _edges(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the limits of the time that each sample covers, [N + 1]: halfway to its neighbours.

    The first and the last sample cover equal times on both sides; a single sample covers none.
    """
    if len(times) == 1:
        return np.repeat(times, 2)
    middle = (times[1:] + times[:-1]) / 2
    return np.concatenate(([2 * times[0] - middle[0]], middle, [2 * times[-1] - middle[-1]]))


def _above(scores: NDArray[np.float64], enter: float, leave: float) -> Iterator[tuple[int, int]]:
    """Yield stretches (first, last) above ``leave`` that reach ``enter``: hysteresis both ways."""
    inside = np.concatenate(([False], scores >= leave, [False]))
    changes = np.flatnonzero(np.diff(inside.astype(np.int8))).tolist()
    for first, stop in zip(changes[::2], changes[1::2], strict=True):
        if scores[first:stop].max() >= enter:
            yield first, stop - 1


def _merged(
    stretches: Iterator[tuple[int, int]], edges: NDArray[np.float64], shape: Shape
) -> Sequence[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for first, last in stretches:
        if merged and edges[first] - edges[merged[-1][1] + 1] < shape.merge_s:
            merged[-1] = (merged[-1][0], last)
        else:
            merged.append((first, last))
    return merged
