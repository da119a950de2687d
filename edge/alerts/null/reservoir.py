"""A bounded, evenly spaced memory of a stream: quantiles of its recent past.

It keeps every s-th value. Full, it forgets every other one and doubles s, until it spans the time
it is meant to remember; from then on the oldest value goes for each new one. No randomness: equal
streams give equal quantiles. A quantile of n values in 1,024 is uncertain by sqrt(p (1 - p) / 1024)
in p: the 98 % quantile by 0.4 %, which is all that the base level needs.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

SIZE: Final = 1024


class Reservoir:
    """The last ``SIZE`` times ``stride`` values, thinned.

    Args:
        longest_stride: Where the doubling ends; a power of two.
    """

    def __init__(self, longest_stride: int) -> None:
        self._longest = longest_stride
        self._values = np.empty(SIZE, np.float32)
        self._count = 0  # values held
        self._next = 0  # place of the next one, once full for good
        self._skipped = 0
        self.stride = 1

    def __len__(self) -> int:
        return self._count

    def add(self, value: float) -> bool:
        """Take the next value of the stream; whether the stride has just doubled."""
        self._skipped += 1
        if self._skipped < self.stride:
            return False
        self._skipped = 0
        if self._count < SIZE:
            self._values[self._count] = value
            self._count += 1
            return False
        if self.stride < self._longest:
            self._values[: SIZE // 2] = self._values[::2].copy()
            self._values[SIZE // 2] = value
            self._count = SIZE // 2 + 1
            self.stride *= 2
            return True
        self._values[self._next] = value
        self._next = (self._next + 1) % SIZE
        return False

    def quantile(self, share: float) -> float:
        """The value below which ``share`` of the memory lies; there must be some."""
        return float(np.quantile(self._values[: self._count], share))

    def state(self) -> NDArray[np.float32]:
        """Everything, as float32 [4 + n]: stride, count, next, skipped, then the values."""
        facts = [self.stride, self._count, self._next, self._skipped]
        return np.concatenate([np.array(facts, np.float32), self._values[: self._count]])

    def restore(self, state: NDArray[np.float32]) -> None:
        """Become what ``state`` says.

        Raises:
            ValueError: It says nothing that can be.
        """
        stride, count, following, skipped = (int(fact) for fact in state[:4])
        strides = {1 << power for power in range(self._longest.bit_length())}
        if (
            stride not in strides
            or not 0 <= count <= SIZE
            or len(state) != 4 + count
            or not (0 <= following < SIZE and 0 <= skipped < stride)
            or not np.isfinite(state).all()
        ):
            raise ValueError("expected the state of a reservoir, found something else")
        self._values[:count] = state[4:]
        self._count, self._next, self._skipped, self.stride = count, following, skipped, stride
