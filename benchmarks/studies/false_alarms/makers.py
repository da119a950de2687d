"""Makes days of noise, of things that pass and of levels that jump, in units of a spread.

Each kind in ``MADE`` has a sentence about what it stands for. A maker takes a random generator and
yields days without end: the values, float64 [DAY], and the samples at which the level jumped.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import signal

FPS: Final = 2.0
"""Samples per second."""
DAY: Final = 172_800
"""Number of samples in a day."""

_Values = NDArray[np.float64]
_Day = tuple[_Values, list[int]]
_Maker = Callable[[np.random.Generator], Iterator[_Day]]
_Draw = Callable[[np.random.Generator], float]
_Shocks = Callable[[np.random.Generator], _Values]

_HOURS: Final = np.arange(DAY) / DAY * 24
_HOUR_S: Final = 3600.0
_BY_DAY: Final = (1.5,) * 7 + (20.0,) * 13 + (1.5,) * 4
_RUSH: Final = tuple(60.0 if hour in {8, 17} else 1.0 for hour in range(24))
_BUS_S: Final = 1200.0


def _gaussian(rng: np.random.Generator) -> _Values:
    return rng.normal(size=DAY)


def _student(degrees: float) -> _Shocks:
    """Return a maker of shocks with Student's t and variance 1."""
    unit = np.sqrt(degrees / (degrees - 2))
    return lambda rng: rng.standard_t(degrees, DAY) / unit


def _bounded(rng: np.random.Generator) -> _Values:
    """Draw shocks with a long tail below and a short one above (Gumbel, turned over)."""
    drawn = -rng.gumbel(size=DAY)
    return np.asarray((drawn + np.euler_gamma) * np.sqrt(6) / np.pi)


def _noise(
    rng: np.random.Generator, memory_s: float, shocks: _Shocks = _gaussian
) -> Iterator[_Values]:
    """Yield days of a first-order autoregression of variance 1 that fades to 1/e in ``memory_s``.

    A memory of 0 makes independent samples.
    """
    keep = float(np.exp(-1 / (FPS * memory_s))) if memory_s else 0.0
    state = np.zeros(1)
    while True:
        values, state = signal.lfilter([np.sqrt(1 - keep**2)], [1, -keep], shocks(rng), zi=state)
        yield values


def _plain(memory_s: float, shocks: _Shocks = _gaussian) -> _Maker:
    return lambda rng: ((values, []) for values in _noise(rng, memory_s, shocks))


@dataclass(frozen=True, slots=True)
class _Things:
    """Things that come and go.

    Attributes:
        per_hour: Mean number in each hour of a day.
        lasts_s: Draws how long one is there, in seconds.
        height: Draws its height in spreads.
        form: Shape of its height over time, by the number of samples.
        weekend: Factor for the last two days of a week.
        by_timetable: Whether they come evenly, a minute early or late, and not by chance.
        jumps: Whether the level of the whole stream jumps with it.
    """

    per_hour: Sequence[float]
    lasts_s: _Draw
    height: _Draw
    form: Callable[[int], _Values] = np.ones
    weekend: float = 1.0
    by_timetable: bool = False
    jumps: bool = False

    def starts(self, rng: np.random.Generator, weekday: int) -> list[int]:
        """Draw the samples of one day at which things begin."""
        if self.by_timetable:
            planned = np.arange(0, 24 * _HOUR_S, _BUS_S)
            came = (planned + 60 * rng.normal(size=len(planned))) * FPS
            return [int(start) % DAY for start in came]
        factor = self.weekend if weekday >= 5 else 1.0
        return [
            int((hour + rng.random()) * _HOUR_S * FPS)
            for hour, rate in enumerate(self.per_hour)
            for _ in range(rng.poisson(factor * rate))
        ]


def _passing(memory_s: float, spread: float, things: _Things) -> _Maker:
    """Make noise in which things pass."""

    def days(rng: np.random.Generator) -> Iterator[_Day]:
        for number, noise in enumerate(_noise(rng, memory_s)):
            values, jumps = spread * noise, []
            for start in things.starts(rng, number % 7):
                lasts = max(1, int(things.lasts_s(rng) * FPS))
                end = min(DAY, start + lasts)
                values[start:end] += things.height(rng) * things.form(lasts)[: end - start]
                jumps += [start, end] if things.jumps and end < DAY else []
            yield values, jumps

    return days


def _bump(samples: int) -> _Values:
    """Return a Hann bump of so many samples and a height of 1."""
    return np.asarray(np.hanning(samples + 2)[1:-1])


def _drifting(rng: np.random.Generator) -> Iterator[_Day]:
    level = 0.0
    while True:
        walk = level + np.cumsum(rng.normal(size=DAY)) * 0.5 / np.sqrt(DAY)
        level = float(walk[-1])
        yield rng.normal(size=DAY) + np.sin(2 * np.pi * _HOURS / 24) + walk, []


def _day_and_night(rng: np.random.Generator) -> Iterator[_Day]:
    while True:
        halves = rng.normal(size=DAY // 2), rng.normal(-3, 0.5, DAY // 2)
        yield np.concatenate(halves), [0, DAY // 2]


def _breathing(rng: np.random.Generator) -> Iterator[_Day]:
    for number, noise in enumerate(_noise(rng, 10)):
        wave = np.sin(2 * np.pi * (24 * number + _HOURS) / 18)
        yield noise * np.sqrt(0.7 * 1.4) * np.sqrt(1.4 / 0.7) ** wave, []


def _jumping(rng: np.random.Generator) -> Iterator[_Day]:
    level = 0.0
    for noise in _noise(rng, 10):
        values, jumps = noise + level, sorted(rng.integers(DAY, size=rng.poisson(4)).tolist())
        for start in jumps:
            moved = rng.normal(0, 2) - level
            values[start:] += moved
            level += moved
        yield values, jumps


def _aging(rng: np.random.Generator) -> Iterator[_Day]:
    for number, noise in enumerate(_noise(rng, 10)):
        yield noise * (1 + 0.01 * number) + 0.05 * number, []


def _rain_nights(rng: np.random.Generator) -> Iterator[_Day]:
    for noise in _noise(rng, 10):
        rains = (_HOURS < 6) & (rng.random() < 0.3)
        yield np.where(rains, 1.8 * noise + 0.5, noise), []


def _bursts(rng: np.random.Generator) -> Iterator[_Day]:
    for noise in _noise(rng, 10):
        start, lasts = int(rng.integers(DAY - 2400)), 2400
        if rng.random() < 0.5:
            noise[start : start + lasts] *= 2.5
        yield noise, []


def _gusty(memory_s: float, gust_s: float, strength: float) -> _Maker:
    """Make noise whose spread follows the exponential of other noise."""

    def days(rng: np.random.Generator) -> Iterator[_Day]:
        for gusts, noise in zip(_noise(rng, gust_s), _noise(rng, memory_s), strict=True):
            yield noise * np.exp(strength * gusts), []

    return days


def _two_scenes(rng: np.random.Generator) -> Iterator[_Day]:
    scene = 0
    for noise in _noise(rng, 8):
        values, jumps, at = np.empty(DAY), [], 0
        while at < DAY:
            until = at + int(rng.exponential(2400) * FPS) + 1
            values[at:until] = (0.6 + 0.6 * scene) * noise[at:until] + 1.5 * scene
            jumps.append(at)
            at, scene = until, 1 - scene
        yield values, jumps[1:]


def _patrol(rng: np.random.Generator) -> Iterator[_Day]:
    view = (np.arange(DAY) // int(60 * FPS)) % 4
    level, spread = np.array([0.0, 1.0, -0.5, 0.4])[view], np.array([0.6, 0.9, 0.5, 0.7])[view]
    for noise in _noise(rng, 4):
        yield level + spread * noise, []


def _insects(rng: np.random.Generator) -> Iterator[_Day]:
    for noise in _noise(rng, 10):
        values, per_hour = 0.7 * noise, rng.lognormal(np.log(40), 0.7)
        for start in rng.integers(DAY, size=rng.poisson(24 * per_hour)).tolist():
            if 6 <= _HOURS[start] < 21:
                continue
            bump = rng.exponential(1.3) * _bump(int(FPS * rng.uniform(1, 5)))
            values[start : start + len(bump)] += bump[: DAY - start]
        yield values, []


def _fog(rng: np.random.Generator) -> Iterator[_Day]:
    street = MADE["street"](rng)
    for values, jumps in street:
        foggy = 1 - 0.5 * (rng.random() < 0.4) * np.exp(-(((_HOURS - 7) / 1.5) ** 2))
        yield values * foggy - 2 * (1 - foggy), jumps


MADE: Final[Mapping[str, _Maker]] = MappingProxyType(
    {
        # Noise without memory: the easiest stream that there is.
        "Gaussian": _plain(0),
        # Margins of a scene that rises now and then, and never falls below its level.
        "exponential": lambda rng: ((rng.exponential(size=DAY), []) for _ in iter(int, 1)),
        # A model that is badly wrong on a single frame now and then.
        "heavy (t, 4)": lambda rng: ((rng.standard_t(4, DAY), []) for _ in iter(int, 1)),
        # A scene that changes within seconds: people in a hall.
        "correlated 5 s": _plain(5),
        # A scene that changes within a minute: shadows of clouds.
        "correlated 60 s": _plain(60),
        # A scene that changes within seconds, with strong exceptions.
        "correlated 5 s, heavy": _plain(5, _student(5)),
        # The light of a day, and dust on the lens: a sine of one spread on a random walk.
        "drifting": _drifting,
        # A lamp that is switched: twelve hours of one distribution, then of a narrower one.
        "day and night": _day_and_night,
        # A street: cars and people pass, many by day and few by night.
        "street": _passing(
            20, 0.6,
            _Things(_BY_DAY, lambda r: r.lognormal(1.6, 0.6), lambda r: r.gamma(2, 0.9), _bump),
        ),
        # Contrast that rises and falls with the light, by a factor of two within nine hours.
        "breathing": _breathing,
        # A street of offices: a fifth of the traffic on weekends.
        "weekly": _passing(
            10, 0.7,
            _Things(
                _BY_DAY, lambda r: r.lognormal(1.6, 0.6), lambda r: r.gamma(2, 0.9), _bump,
                weekend=0.2,
            ),
        ),
        # Automatic exposure, or a camera that is pushed: another level four times a day, for good.
        "jumps": _jumping,
        # A lorry that parks in the picture for an hour, twice a day.
        "lorry": _passing(
            5, 0.8,
            _Things(
                (1 / 12,) * 24, lambda r: r.lognormal(np.log(3600), 0.8),
                lambda r: r.uniform(2, 8), jumps=True,
            ),
        ),
        # A lens or a sensor that ages: each day a little more noise at a higher level.
        "aging": _aging,
        # Rain before the infrared lamp, in three nights of ten.
        "rain nights": _rain_nights,
        # A tree in the wind: gusts of minutes change the spread threefold.
        "tree": _gusty(2, 600, 0.5),
        # A bus every twenty minutes, by day and by night.
        "bus": _passing(
            10, 0.7,
            _Things(
                (), lambda r: r.lognormal(2.3, 0.3), lambda r: r.gamma(8, 0.5), _bump,
                by_timetable=True,
            ),
        ),
        # Twenty minutes of something that has never been seen, every other day: a market, a fog.
        "burst": _bursts,
        # Weather: the spread changes from hour to hour, without limit.
        "volatility": _gusty(5, _HOUR_S, 0.4),
        # A camera that turns between two views, for some forty minutes each.
        "two scenes": _two_scenes,
        # Headlights and reflections: two hundred flashes a day, of a half to three seconds.
        "flashes": _passing(
            0, 1.0,
            _Things(
                (200 / 24,) * 24, lambda r: r.integers(1, 6) / FPS,
                lambda r: 3 + r.exponential(1.2),
            ),
        ),
        # People who stand and wait for a minute, more by day.
        "queue": _passing(
            15, 0.5,
            _Things(
                tuple(rate / 3 for rate in _BY_DAY), lambda r: r.lognormal(np.log(60), 0.8),
                lambda r: r.uniform(0.5, 4),
            ),
        ),
        # A school's gate: two hours of the day have nearly all of the traffic.
        "rush hours": _passing(
            10, 0.5,
            _Things(_RUSH, lambda r: r.lognormal(1.8, 0.5), lambda r: r.lognormal(0.5, 0.5), _bump),
        ),
        # Margins that fall far and hardly rise: something usually hides what is asked for.
        "skewed": _plain(3, _bounded),
        # Exposure that hunts: thirty times a day another level for some minutes, up or down.
        "hunting exposure": _passing(
            5, 0.9,
            _Things(
                (30 / 24,) * 24, lambda r: r.uniform(300, 1200),
                lambda r: r.choice([-1, 1]) * r.uniform(1, 3), jumps=True,
            ),
        ),
        # Three things a day that look like what is asked for, and nothing else.
        "rare things": _passing(
            10, 1.0, _Things((3 / 24,) * 24, lambda _: 8.0, lambda r: r.uniform(3, 9))
        ),
        # A camera on a patrol: four views, a minute each.
        "patrol": _patrol,
        # Insects before the infrared lamp: many on one night, few on another.
        "insects": _insects,
        # The street, on two mornings of five in fog that halves the contrast.
        "fog": _fog,
        # Headlights that sweep over a wall after dark, for one to three seconds.
        "headlights": _passing(
            15, 0.7,
            _Things(
                (6.0,) * 6 + (0.0,) * 12 + (25.0,) * 4 + (10.0,) * 2,
                lambda r: r.uniform(1, 3), lambda r: r.weibull(1.2) * 3, _bump, weekend=0.7,
            ),
        ),
    }
)  # fmt: skip
"""Makers of the made kinds, in spreads."""
