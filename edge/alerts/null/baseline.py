"""Follows the level of ordinary margins: slowly as a rule, at once after a jump that lasts.

The slow mean has a time constant of half an hour: clouds and dusk are slower, events are faster. A
jump (auto-exposure, a lamp, a lorry that parks) would be above it for hours. Therefore the means of
whole *blocks* of one, four and sixteen minutes are compared with the baseline. Two blocks in a row
that are both far away on the same side, farther than blocks of this stream ever are, mean another
level, and the baseline moves there (a two-sided Shewhart chart of means with a run rule; Western
Electric 1956). How far blocks usually are is learned for each length: noise with a memory of
minutes moves the means of short blocks, and only long ones tell a jump from it.

While an alert runs, the baseline stays where it is: what the alert is about would otherwise end it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_SLOW_S: Final = 1800.0
BLOCK_S: Final = 60.0
"""Shortest block."""
_TIMES: Final = 4  # each length is so many of the one before
_LENGTHS: Final = 3
# A jump is a block mean of so many usual distances, and at least this share of a sample's spread.
_FAR: Final = 5.0
_FAR_AGAIN: Final = 3.0  # where alerts come again and again, Shewhart's own limit
_LEAST: Final = 0.5
# The block before, or what came after the last alert, must be as far, but for this share.
_BEFORE: Final = 0.6
_FEWEST_BLOCKS: Final = 20
_REMEMBERED_S: Final = 2 * 86_400.0
_CLIP: Final = 3.0  # distances beyond so many usual ones count as so many: they are jumps
_FEWEST_SAMPLES: Final = 4  # of one block


@dataclass(slots=True)
class _Length:
    """What is known about blocks of one length.

    Attributes:
        seconds: The length.
        usual: Root mean square of the distances of their means from the baseline.
        seen: Number of blocks behind ``usual``.
        last: Mean of the block before; NaN where there is none.
        total: Sum of the shorter blocks' means in the block that runs.
        parts: Number of those.
    """

    seconds: float
    usual: float = 0.0
    seen: float = 0.0
    last: float = math.nan
    total: float = 0.0
    parts: int = 0

    def take(self, mean: float) -> float | None:
        """Take the mean of a shorter block; return the own mean where the block is complete."""
        self.total += mean
        self.parts += 1
        if self.parts < _TIMES:
            return None
        whole = self.total / self.parts
        self.total, self.parts = 0.0, 0
        return whole

    def begin(self, level: float) -> None:
        """Begin a block after the baseline has moved to ``level``."""
        self.last, self.total, self.parts = level, 0.0, 0

    def learn(self, distance: float) -> None:
        """Learn how far a block is from the baseline."""
        if self.seen >= _FEWEST_BLOCKS:
            distance = min(distance, _CLIP * self.usual)
        self.seen = min(self.seen + 1, _REMEMBERED_S / self.seconds)
        share = 1 / self.seen
        self.usual = math.sqrt((1 - share) * self.usual**2 + share * distance**2)


class Baseline:
    """The level of ordinary margins.

    Attributes:
        level: The level.
    """

    def __init__(self) -> None:
        self.level = 0.0
        self._samples = 0
        self._variance = 0.0
        self._total = 0.0  # of the shortest block that runs
        self._count = 0
        self._seconds = 0.0
        self._lengths = [_Length(BLOCK_S * _TIMES**power) for power in range(_LENGTHS)]

    def follow(self, margin: float, passed_s: float, *, alerting: bool) -> float:
        """Take the next margin.

        Args:
            margin: The margin.
            passed_s: Seconds since the last one; 0 after a gap.
            alerting: Whether it belongs to an alert.

        Returns:
            Seconds for which the stream has been at another level, where the baseline has just
            moved there; 0 otherwise.
        """
        if not alerting:
            self._samples += 1
            share = max(1 / self._samples, min(1.0, passed_s / _SLOW_S))
            away = margin - self.level
            self.level += share * away
            if self._samples > 1:
                settled = self._samples > 100 and self._variance > 0
                limit = 16 * self._variance if settled else math.inf
                self._variance += share * (min(away * away, limit) - self._variance)
        self._total += margin
        self._count += 1
        self._seconds += passed_s
        if self._seconds < BLOCK_S or self._count < _FEWEST_SAMPLES:
            return 0.0
        mean = self._total / self._count
        self._total, self._count, self._seconds = 0.0, 0, 0.0
        return self._weigh(mean, alerting=alerting)

    def leap(self, mean: float, seconds: float, now: float) -> bool:
        """Move to the mean of ``seconds`` between alerts that come again and again, if it is far.

        The alerts are a second witness, so that less is far than for ``follow``.

        Args:
            mean: The mean.
            seconds: Length of the time, at least ``BLOCK_S``.
            now: Mean of the last seconds: the stream must still be there.

        Returns:
            Whether the baseline has moved.
        """
        length = next(one for one in reversed(self._lengths) if one.seconds <= seconds)
        if length.seen < _FEWEST_BLOCKS:
            length = self._lengths[0]
        limit = self._limit(length, _FAR_AGAIN)
        if not (self._is_far(mean, limit) and self._is_as_far(now, mean, limit)):
            return False
        self._begin(mean)
        return True

    def state(self) -> list[float]:
        """Return what must survive a restart."""
        lengths = [fact for one in self._lengths for fact in (one.usual, one.seen)]
        return [self.level, self._samples, self._variance, *lengths]

    def restore(self, state: Sequence[float]) -> None:
        """Take over an earlier ``state()``, or the level and the number of samples alone."""
        self.level, self._samples = float(state[0]), int(state[1])
        if len(state) > 2:
            self._variance = float(state[2])
            for place, length in enumerate(self._lengths):
                length.usual, length.seen = state[3 + 2 * place], state[4 + 2 * place]

    def _weigh(self, mean: float, *, alerting: bool) -> float:
        """Compare a shortest block that is complete, and the longer ones that it completes."""
        for number, length in enumerate(self._lengths):
            if number:
                longer = length.take(mean)
                if longer is None:
                    return 0.0
                mean = longer
            limit = self._limit(length, _FAR)
            moved = self._is_far(mean, limit) and self._is_as_far(length.last, mean, limit)
            if moved and not alerting:
                self._begin(mean)
                return 2 * length.seconds
            if not alerting:
                length.learn(abs(mean - self.level))
            length.last = mean
        return 0.0

    def _begin(self, level: float) -> None:
        self.level = level
        self._total, self._count, self._seconds = 0.0, 0, 0.0
        for one in self._lengths:
            one.begin(level)

    def _limit(self, length: _Length, times: float) -> float:
        """Return the distance beyond which means of this length are far; infinity at first."""
        if length.seen < _FEWEST_BLOCKS:
            return math.inf
        return max(times * length.usual, _LEAST * math.sqrt(self._variance))

    def _is_far(self, mean: float, limit: float) -> bool:
        return abs(mean - self.level) > limit

    def _is_as_far(self, other: float, mean: float, limit: float) -> bool:
        """Whether another mean is nearly as far on the same side."""
        away, of_other = mean - self.level, other - self.level
        return abs(of_other) > _BEFORE * limit and away * of_other > 0
