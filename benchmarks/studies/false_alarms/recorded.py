"""Makes days of margins, two samples a second, from recorded margins of real footage.

The same sentence and seed give the same days. Every sample comes from a margin that the default
model gave to a real picture (``recorded_file``), but a minute of footage that is repeated is no
week: what the clips do not show (the first snow, a spider on the lens) is not in these days either.
They say whether a threshold stands the shape of real margins: a lower end that many samples share,
skew, bursts, and levels that move with the light. They do not say how rare the rarest thing is,
because that comes from the process below.

* Idle margins are blocks of 20 to 60 s out of the unlabelled pieces, forwards and backwards in
  time: nothing in an idle picture says which way time goes. A block begins where the one before
  ended, and fades to its own level in some seconds, as a scene does.
* Noise around them (first-order, memory of 20 s, a third of the variance) stands for the pictures
  that were not recorded, so that nothing is repeated exactly. The variance as a whole stays. What
  is added up are angles, whose squared sine is the evidence: it stays between 0 and 1.
* Things pass by the hour of the day, as on a street with two rush hours, and half as often on the
  two days of a weekend. One day is busier than another.
* A thing shows stronger or weaker (by the odds of its evidence) and passes faster or slower than
  the one that was recorded, by a quarter: another car on another lane.
* The light goes with the hour: infrared lamps by night, dusk, and by day the weather's mixture.
  Lamps are switched, so the margins jump; clouds come, so they glide.
* The camera is pushed every five days on average, and put right some hours later, before midnight:
  the margins jump, and jump back.
* Events of the sentence are left out, or planted as they were recorded, in the light of the hour.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from benchmarks.studies.false_alarms.makers import DAY, FPS
from benchmarks.studies.false_alarms.recorded_file import SENTENCES, Pieces, pieces_of

_HOUR: Final = DAY // 24
_MINUTE: Final = DAY // 1440

# Fewest and most samples of a block.
_BLOCK: Final = int(20 * FPS), int(60 * FPS)
_FADE_S: Final = 5.0
_NOISE_S: Final = 20.0
# Share of the noise in the variance of idle margins.
_NOISE: Final = 1 / 3

# Things that pass in each hour of a weekday.
_PER_HOUR: Final = (
    2, 1, 1, 1, 1, 3, 10, 25, 30, 20, 15, 15, 20, 15, 15, 20, 25, 30, 25, 15, 10, 6, 4, 3,
)  # fmt: skip
_PER_DAY: Final = sum(_PER_HOUR)
_WEEKEND: Final = 0.5
# Spread of the logarithm: how busy a day is; how strong and how fast a thing is.
_BUSY, _STRONG, _FAST = 0.2, 0.25, 0.25

# Hours of sunrise and sunset, and the spread of both from day to day; dusk lasts half an hour.
_SUN_H: Final = (6.5, 19.5)
_SUN_SPREAD_H: Final = 0.25
_DUSK_H: Final = 0.5
_NIGHT: Final = "infrared"
_DUSK: Final = "dusk"
# Mean time until the light of a day changes.
_LIGHT_S: Final = 1800.0
_WEATHER: Final[Sequence[Mapping[str, float]]] = (
    {"day": 0.5, "bright": 0.3, "cloudy": 0.1, "poor": 0.1},
    {"day": 0.3, "cloudy": 0.6, "poor": 0.1},
    {"cloudy": 0.4, "rain": 0.6},
)
"""Shares of the lights on a fair, a grey and a wet day; a day is one of them by chance."""
# Mean number of pushes of a day, and mean time until the camera is put right.
_PUSHES_PER_DAY: Final = 0.2
_PUSHED_H: Final = 4.0


@dataclass(frozen=True, slots=True, eq=False)
class RecordedDay:
    """One day of a stream.

    Attributes:
        margins: float64 [DAY].
        events: Whether an event of the sentence is to be seen, bool [DAY].
        night: Whether the lamps are on, bool [DAY].
        pushes: Samples at which the camera was pushed, or was put right.
    """

    margins: NDArray[np.float64]
    events: NDArray[np.bool_]
    night: NDArray[np.bool_]
    pushes: tuple[int, ...]


def recorded_margins(sentence: str, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield the margins of the days without end, float64 [DAY] each; nothing is planted.

    Args:
        sentence: One of ``SENTENCES``.
        seed: Seed of the days.
    """
    return (day.margins for day in recorded_days(sentence, seed))


def recorded_days(sentence: str, seed: int, events_per_day: float = 0.0) -> Iterator[RecordedDay]:
    """Return the days of a sentence in its scene, without end. The first one is a Monday.

    Args:
        sentence: One of ``SENTENCES``.
        seed: Seed of the days.
        events_per_day: Mean number of events that are planted, by the hours at which things pass.

    Raises:
        ValueError: Events are wanted, and none of this sentence was recorded.
    """
    pieces = pieces_of(sentence)
    if events_per_day and not pieces.events:
        raise ValueError(f"expected a sentence with labelled events, found {sentence!r}")
    return _Camera(pieces, (seed, SENTENCES.index(sentence))).days(events_per_day)


class _Camera:
    """One camera: its scene, and what stays from one day to the next."""

    def __init__(self, pieces: Pieces, seed: Sequence[int]) -> None:
        self._pieces = pieces
        self._pace = pieces.rate / FPS
        self._angles = [np.arcsin(np.sqrt(piece - pieces.bottom)) for piece in pieces.idle]
        whole = np.concatenate(self._angles, axis=-1)
        self._means, self._spreads = whole.mean(axis=-1), whole.std(axis=-1)
        # Planted events have draws of their own: with and without them, the rest is the same.
        self._rng, self._planting = (np.random.default_rng([*seed, own]) for own in (0, 1))
        self._last: float | None = None
        self._noise = np.zeros(1)

    def days(self, events_per_day: float) -> Iterator[RecordedDay]:
        for weekday in cycle(range(7)):
            light, view = self._light(), self._view()
            margins = self._idle(view, light)
            things = _PER_DAY * (_WEEKEND if weekday >= 5 else 1) * self._about(_BUSY)
            for start in _starts(self._rng, things if self._pieces.things else 0):
                _show(margins, start, self._thing((int(view[start]), int(light[start]))))
            events = np.zeros(DAY, np.bool_)
            for start in _starts(self._planting, events_per_day):
                event = self._played(self._planting, self._pieces.events)
                shown = event[int(view[start]), int(light[start])]
                events[_show(margins, start, shown)] = True
            night = light == self._pieces.lights.index(_NIGHT)
            pushes = np.flatnonzero(np.diff(view)) + 1
            yield RecordedDay(margins, events, night, tuple(pushes.tolist()))

    def _light(self) -> NDArray[np.int64]:
        """Draw the light of each sample of a day, as the index in ``Pieces.lights``, int [DAY]."""
        index = self._pieces.lights.index
        weather = _WEATHER[int(self._rng.integers(len(_WEATHER)))]
        # Five times as many as are needed on average.
        lasts = self._rng.exponential(_LIGHT_S * FPS, int(5 * DAY / (_LIGHT_S * FPS))).astype(int)
        drawn = self._rng.choice(
            [index(name) for name in weather], len(lasts), p=[*weather.values()]
        )
        light = np.repeat(drawn, lasts + 1)[:DAY]
        rise, down = _SUN_H + _SUN_SPREAD_H * self._rng.normal(size=2)
        for name, twilight_h in ((_DUSK, 0.0), (_NIGHT, _DUSK_H)):
            light[: int((rise - twilight_h) * _HOUR)] = index(name)
            light[int((down + twilight_h) * _HOUR) :] = index(name)
        return light

    def _view(self) -> NDArray[np.int64]:
        """Draw the view of each sample of a day: 0, or 1 while the camera stands wrong."""
        view = np.zeros(DAY, np.int64)
        for start in self._rng.integers(1, DAY - 1, self._rng.poisson(_PUSHES_PER_DAY)).tolist():
            view[start : start + 1 + int(self._rng.exponential(_PUSHED_H * _HOUR))] = 1
        view[-1] = 0
        return view

    def _idle(self, view: NDArray[np.int64], light: NDArray[np.int64]) -> NDArray[np.float64]:
        """Draw a day of idle margins, float64 [DAY]."""
        lamps = light == self._pieces.lights.index(_NIGHT)
        sudden = (np.diff(view) != 0) | (np.diff(lamps.astype(int)) != 0)
        changes = np.flatnonzero(sudden | (np.diff(light) != 0)) + 1
        angles = np.empty(DAY)
        for start, end in pairwise([0, *changes.tolist(), DAY]):
            if start and sudden[start - 1]:
                self._last = None
            version = int(view[start]), int(light[start])
            at = start
            while at < end:
                until = min(at + int(self._rng.integers(*_BLOCK)), end)
                angles[at:until] = self._block(version, until - at)
                at = until
        angles += np.sqrt(_NOISE) * self._spreads[view, light] * self._next_noise()
        return self._pieces.bottom + np.sin(angles) ** 2

    def _block(self, version: tuple[int, int], length: int) -> NDArray[np.float64]:
        """Draw angles [length] that go on where the last block ended."""
        # A piece is played to its end and back: a triangle's wave.
        ends = np.cumsum([2 * (piece.shape[-1] - 1) for piece in self._angles])
        turn = int(self._rng.integers(ends[-1]))
        piece = self._angles[int(np.searchsorted(ends, turn, side="right"))][version]
        period = 2 * (len(piece) - 1)
        wave = (turn + self._pace * np.arange(length + 1)).astype(int) % period
        drawn = piece[np.minimum(wave, period - wave)]
        mean = self._means[version]
        drawn = mean + np.sqrt(1 - _NOISE) * (drawn - mean)
        if self._last is not None:
            drawn += (self._last - drawn[0]) * np.exp(-np.arange(length + 1) / (FPS * _FADE_S))
        self._last = float(drawn[-1])
        return np.asarray(drawn[1:])

    def _thing(self, version: tuple[int, int]) -> NDArray[np.float64]:
        """Draw the margins of something that passes, in a view and a light."""
        drawn = self._played(self._rng, self._pieces.things, self._about(_FAST))[version]
        evidence = drawn - self._pieces.bottom
        stronger = self._about(_STRONG) * evidence
        return np.asarray(self._pieces.bottom + stronger / (1 - evidence + stronger))

    def _played(
        self, rng: np.random.Generator, pieces: Sequence[NDArray[np.float64]], fast: float = 1.0
    ) -> NDArray[np.float64]:
        """Draw one of the pieces, sampled from a moment of its first sampling period on."""
        piece = pieces[int(rng.integers(len(pieces)))]
        pace = fast * self._pace
        at = np.arange(rng.uniform(0, pace), piece.shape[-1], pace).astype(int)
        return np.asarray(piece[..., at])

    def _about(self, spread: float) -> float:
        """Draw a factor around 1 with this spread of its logarithm."""
        return float(np.exp(self._rng.normal(0, spread)))

    def _next_noise(self) -> NDArray[np.float64]:
        keep = float(np.exp(-1 / (FPS * _NOISE_S)))
        shocks = np.sqrt(1 - keep**2) * self._rng.normal(size=DAY)
        values, self._noise = signal.lfilter([1], [1, -keep], shocks, zi=self._noise)
        return np.asarray(values)


def _starts(rng: np.random.Generator, mean: float) -> list[int]:
    """Draw the samples at which things begin, ``mean`` a day by the hour; at most one a minute."""
    share = np.repeat(_PER_HOUR, 60) / (60 * _PER_DAY)
    minutes = rng.choice(len(share), min(rng.poisson(mean), len(share)), replace=False, p=share)
    starts: list[int] = (minutes * _MINUTE + rng.integers(0, _MINUTE, len(minutes))).tolist()
    return starts


def _show(margins: NDArray[np.float64], start: int, shown: NDArray[np.float64]) -> slice:
    """Let something be seen from a sample on, until midnight at most; the stronger counts."""
    span = slice(start, start + len(shown))
    margins[span] = np.maximum(margins[span], shown[: DAY - start])
    return span
