"""Compares what pictures cost the encoder with what they cost while nothing moves. Pure.

The cost of a picture is its size, corrected for the quantiser: an encoder with a constant rate
answers movement with a coarser quantiser, not with larger packets. Of ``car-detection`` the packets
of the empty road are four times as large as those with a car; their costs are a half.

What is normal is learned from stretches that are known to be still (``CostModel.still``), for each
kind of picture by itself: B pictures are smaller than P pictures, and keyframes say little.
"""

import math
from collections import deque
from typing import Final

from edge.video.bitstream.reader import PictureHeader

# Seconds of pictures that are judged together.
_WINDOW_S: Final = 0.5
# Bits that one step of the quantiser saves, as a power of two. Noise and movement alike; measured
# with x264, x265 and the cameras' own recordings: 0.17 to 0.25.
_PER_STEP: Final = 0.22
# Bytes that a picture costs in which nothing changes.
_EMPTY: Final = 16
# Number of still windows before anything is judged, and of those remembered (two minutes).
_FEWEST, _MOST = 16, 240
# Number of pictures that are judged together at most; a hostile stream sends any.
_MOST_PICTURES: Final = 256
# A window is unusual above the median by so many spreads (20th to 50th percentile, 0.84 sigma).
_SPREADS: Final = 5.0
# Least spread: windows differ by some percent without cause.
_LEAST_SPREAD: Final = 0.07
# Share of a keyframe's cost by which a person raises each picture who is 27 pixels high in a
# picture of 360: 0.12 to 0.32 % (x264 and x265).
_PERSON: Final = 0.002


class CostModel:
    """Costs of the pictures of one stream.

    Attributes:
        learned: Whether enough is known.
    """

    def __init__(self) -> None:
        self.learned = False
        self._p, self._b = _Costs(), _Costs()
        self._keyframe = math.nan

    def arrived(self, now: float, header: PictureHeader, *, is_keyframe: bool) -> None:
        """Record a picture.

        Args:
            now: Its arrival, monotonic seconds.
            header: What its packet says.
            is_keyframe: Whether it is a keyframe.
        """
        for costs in (self._p, self._b):
            costs.forget(now)
        cost = (header.size + _EMPTY) * math.exp2(_PER_STEP * header.quantiser)
        if is_keyframe:
            old = self._keyframe
            self._keyframe = cost if math.isnan(old) else old + (cost - old) / 8
        else:  # an I picture that is no keyframe is the encoder's choice for much movement
            (self._b if header.kind == "B" else self._p).add(now, cost)

    def still(self) -> None:
        """Learn from the pictures since the last call: nothing moved."""
        for costs in (self._p, self._b):
            costs.learn()
        self.learned = self._p.learned or self._b.learned

    def moved(self) -> None:
        """Learn nothing from the pictures since the last call."""
        for costs in (self._p, self._b):
            costs.pending.clear()

    @property
    def unusual(self) -> bool:
        """Whether the last pictures cost more than they do while nothing moves."""
        return self._p.is_unusual or self._b.is_unusual

    @property
    def sharp(self) -> bool:
        """Whether a person far away would show in the costs: there is little noise."""
        least = _PERSON * self._keyframe
        return any(c.learned and c.margin <= least for c in (self._p, self._b))


class _Costs:
    """Costs of one kind of pictures."""

    def __init__(self) -> None:
        self.pending: list[float] = []  # of windows of which nobody has said whether they are still
        self._still: deque[float] = deque(maxlen=_MOST)
        self._recent: deque[tuple[float, float]] = deque(maxlen=_MOST_PICTURES)
        self._sum = 0.0
        self._usual = 0.0  # pictures in a window
        self._window_ends: float | None = None
        self._median = self._most = math.inf

    def forget(self, now: float) -> None:
        """Leave out what is older than a window, also where no more of this kind come."""
        if self._recent and self._recent[0][0] <= now - _WINDOW_S:
            while self._recent and self._recent[0][0] <= now - _WINDOW_S:
                self._recent.popleft()
            self._sum = sum(cost for _, cost in self._recent)

    def add(self, now: float, cost: float) -> None:
        recent = self._recent
        recent.append((now, cost))
        # Anew: what is added and subtracted again leaves an error that stays.
        self._sum = sum(cost for _, cost in recent)
        if self._window_ends is None or now >= self._window_ends:
            if self._window_ends is not None and len(self.pending) < _MOST:
                self.pending.append(math.log2(self._sum / len(recent)))
                self._usual += (len(recent) - self._usual) / (8 if self._usual else 1)
            self._window_ends = now + _WINDOW_S

    def learn(self) -> None:
        if not self.pending:
            return
        self._still.extend(self.pending)
        self.pending.clear()
        if not self.learned:
            return
        ordered = sorted(self._still)
        low, median, high = (ordered[len(ordered) * part // 10] for part in (2, 5, 8))
        # The lesser of both: movement that went unnoticed lengthens the upper side, and pictures
        # after a keyframe, which are cheap, the lower one.
        spread = max(_LEAST_SPREAD, min(median - low, high - median))
        self._median, self._most = math.exp2(median), math.exp2(median + _SPREADS * spread)

    @property
    def learned(self) -> bool:
        return len(self._still) >= _FEWEST

    @property
    def is_unusual(self) -> bool:
        """Whether the last pictures cost more than the limit; of too few nothing is known."""
        count = len(self._recent)
        return count > 0 and 2 * count >= self._usual and self._sum > self._most * count

    @property
    def margin(self) -> float:
        """Least additional cost of a picture that is noticed."""
        return self._most - self._median
