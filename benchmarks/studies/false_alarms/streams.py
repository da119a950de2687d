"""Generates streams of margins with known properties, two samples a second, to test thresholds.

Each stream is a sequence of blocks of one day; the same seed gives the same stream. The margins are
about as large as those of CLIP: a spread of 0.02 around a mean of -0.1.
"""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import signal

FPS: Final = 2.0
"""Samples per second."""
DAY: Final = 172_800
"""Number of samples in a day."""
SPREAD: Final = 0.02
"""Standard deviation of a margin."""
CENTRE: Final = -0.1
"""Mean of a margin."""

_Days = Callable[[np.random.Generator], Iterator[NDArray[np.float64]]]


def _independent(draw: Callable[[np.random.Generator], NDArray[np.float64]]) -> _Days:
    def days(rng: np.random.Generator) -> Iterator[NDArray[np.float64]]:
        while True:
            yield draw(rng)

    return days


def _correlated(seconds: float, degrees: float | None) -> _Days:
    """Make a first-order autoregression whose memory fades to 1/e in ``seconds``.

    ``degrees`` are the degrees of freedom of Student's t for the shocks; None is for Gaussian ones.
    """
    keep = float(np.exp(-1 / (FPS * seconds)))

    def days(rng: np.random.Generator) -> Iterator[NDArray[np.float64]]:
        state = np.zeros(1)
        while True:
            shocks = (
                rng.normal(size=DAY)
                if degrees is None
                else rng.standard_t(degrees, DAY) / np.sqrt(degrees / (degrees - 2))
            )
            values, state = signal.lfilter([np.sqrt(1 - keep**2)], [1, -keep], shocks, zi=state)
            yield values

    return days


def _drifting(rng: np.random.Generator) -> Iterator[NDArray[np.float64]]:
    """Yield noise on a sine over the day, with an amplitude of one spread, and on a random walk."""
    hours = np.arange(DAY) / DAY
    level = 0.0
    while True:
        walk = level + np.cumsum(rng.normal(size=DAY)) * 0.5 / np.sqrt(DAY)
        level = float(walk[-1])
        yield rng.normal(size=DAY) + np.sin(2 * np.pi * hours) + walk


def _day_and_night(rng: np.random.Generator) -> Iterator[NDArray[np.float64]]:
    """Yield twelve hours of one distribution, then twelve of a lower and narrower one."""
    while True:
        yield np.concatenate([rng.normal(size=DAY // 2), rng.normal(-3, 0.5, DAY // 2)])


def is_night(sample: int) -> bool:
    """Return whether the sample lies in the night half of a day of ``day and night``."""
    return sample % DAY >= DAY // 2


STREAMS: Final[Mapping[str, _Days]] = MappingProxyType(
    {
        "Gaussian": _independent(lambda rng: rng.normal(size=DAY)),
        "exponential": _independent(lambda rng: rng.exponential(size=DAY)),
        "heavy (t, 4)": _independent(lambda rng: rng.standard_t(4, DAY)),
        "correlated 5 s": _correlated(5, None),
        "correlated 60 s": _correlated(60, None),
        "correlated 5 s, heavy": _correlated(5, 5),
        "drifting": _drifting,
        "day and night": _day_and_night,
    }
)


def margins(kind: str, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield the days of a stream without end, float64 [DAY] each.

    Args:
        kind: Key of ``STREAMS``.
        seed: Seed of the stream.
    """
    rng = np.random.default_rng([seed, list(STREAMS).index(kind)])
    for day in STREAMS[kind](rng):
        yield CENTRE + SPREAD * day
