"""Tracks the clauses of a sentence: their margins go in, sample after sample; one margin comes out.

A margin here is relative to the threshold of its clause: at 0 and above the clause counts as seen.
The margin that comes out is of the same kind and continuous in those that go in, so a null
distribution can be learned of it as of any other. Memory is bounded:

=============  ============================================================================
``Seen``       a
``While``      min(a, b)
``Lasting``    the 20 % quantile of a over the last d seconds: a fifth of the samples may miss it
``Absent``     the 20 % quantile of -a over the last d seconds
``Gone``       min(Absent, the largest a in the minute before that)
``Then``       min(b, the largest in [t - W, t) of min(a, unseen b)): a was there while b was not
=============  ============================================================================

``unseen b`` is minus the largest b of the last two seconds. Without it "B then A" would also alert
where the two overlap; with -b alone, wherever b misses one frame (in half the streams of
benchmarks/studies/temporal.py, at a noise of half the distance to the threshold). While b is
unknown, ``unseen b`` is unknown too. In a chain, a is the value of the chain so far.
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from edge.rules.temporal.clauses import Absent, Expr, Gone, Lasting, Seen, Then, While, clauses

UNKNOWN: Final = -2.0
"""The margin while too little was seen: as low as a difference of two cosines can be."""
_MISSES: Final = 0.2
_PRESENCE_S: Final = 60.0
_UNSEEN_S: Final = 2.0


class Tracker:
    """The state of one rule's sentence on one camera.

    Args:
        expression: The sentence, from ``edge.rules.temporal.clauses``.
        gap_s: Seconds; after a longer time between two samples the tracker starts again.
    """

    def __init__(self, expression: Expr, gap_s: float) -> None:
        self._expression = expression
        self._count = len(clauses(expression))
        self._gap_s = gap_s
        self._last_at: float | None = None
        self._node = _node(expression)

    def step(self, margins: Sequence[float], at: float) -> float:
        """Take one sample, and return the margin of the sentence.

        Args:
            margins: Margin of each clause, left to right, relative to its threshold.
            at: Monotonic seconds of the sample; larger than for the sample before.

        Raises:
            ValueError: The number of margins is not the number of clauses.
        """
        if len(margins) != self._count:
            raise ValueError(f"expected {self._count} margins, found {len(margins)}")
        if self._last_at is not None and at - self._last_at > self._gap_s:
            self._node = _node(self._expression)
        self._last_at = at
        return self._node.step(iter(margins), at)


class _Node(Protocol):
    def step(self, margins: Iterator[float], at: float) -> float:
        """Consume one margin for each clause below this node, and return the node's margin."""
        ...


class _Seen:
    def step(self, margins: Iterator[float], _at: float) -> float:
        return next(margins)


class _While:
    def __init__(self, parts: list[_Node]) -> None:
        self._parts = parts

    def step(self, margins: Iterator[float], at: float) -> float:
        return min([part.step(margins, at) for part in self._parts])


class _Lasting:
    def __init__(self, what: _Node, seconds: float, sign: float = 1.0) -> None:
        self._what = what
        self._sign = sign
        self._span = _Span(seconds)

    def step(self, margins: Iterator[float], at: float) -> float:
        self._span.push(self._sign * self._what.step(margins, at), at)
        return self._span.low()


class _Gone:
    def __init__(self, what: _Node, seconds: float) -> None:
        self._what = what
        self._seconds = seconds
        self._absent = _Span(seconds)
        self._before = _Highest()
        self._waiting: deque[tuple[float, float]] = deque()  # not yet long enough ago

    def step(self, margins: Iterator[float], at: float) -> float:
        value = self._what.step(margins, at)
        self._absent.push(-value, at)
        self._waiting.append((at, value))
        while self._waiting and self._waiting[0][0] <= at - self._seconds:
            self._before.push(*self._waiting.popleft())
        return min(self._absent.low(), self._before.since(at - self._seconds - _PRESENCE_S))


class _Then:
    def __init__(self, steps: list[_Node], within_s: float) -> None:
        self._steps = steps
        self._within_s = within_s
        self._so_far = [_Highest() for _ in steps[1:]]
        self._lately = [_Highest() for _ in steps[1:]]

    def step(self, margins: Iterator[float], at: float) -> float:
        chain = self._steps[0].step(margins, at)
        for step, earlier, lately in zip(self._steps[1:], self._so_far, self._lately, strict=True):
            value = step.step(margins, at)
            # While the value is unknown the thing may be there: it must not count as unseen.
            lately.push(at, -UNKNOWN if value == UNKNOWN else value)
            begun = earlier.since(at - self._within_s)
            earlier.push(at, min(chain, -lately.since(at - _UNSEEN_S)))
            chain = min(begun, value)
        return chain


class _Span:
    """The values of the last ``seconds``, sorted by time and by size."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._values: deque[tuple[float, float]] = deque()
        self._sorted: list[float] = []

    def push(self, value: float, at: float) -> None:
        self._values.append((at, value))
        insort(self._sorted, value)
        # One value at or before the start of the span stays: it shows that the span is covered.
        while len(self._values) > 1 and self._values[1][0] <= at - self._seconds:
            _, old = self._values.popleft()
            del self._sorted[bisect_left(self._sorted, old)]

    def low(self) -> float:
        if self._values[-1][0] - self._values[0][0] < self._seconds:
            return UNKNOWN
        return self._sorted[int(_MISSES * (len(self._sorted) - 1))]


class _Highest:
    """Finds the largest value since a time that never goes back: a deque of falling values."""

    def __init__(self) -> None:
        self._values: deque[tuple[float, float]] = deque()

    def push(self, at: float, value: float) -> None:
        while self._values and self._values[-1][1] <= value:
            self._values.pop()
        self._values.append((at, value))

    def since(self, at: float) -> float:
        while self._values and self._values[0][0] < at:
            self._values.popleft()
        return self._values[0][1] if self._values else UNKNOWN


def _node(expression: Expr) -> _Node:
    match expression:
        case Seen():
            return _Seen()
        case While(parts):
            return _While([_node(part) for part in parts])
        case Lasting(what, seconds):
            return _Lasting(_node(what), seconds)
        case Absent(what, seconds):
            return _Lasting(_node(what), seconds, sign=-1.0)
        case Gone(what, seconds):
            return _Gone(_node(what), seconds)
        case Then(steps, within_s):
            return _Then([_node(step) for step in steps], within_s)
