"""Finds the samples of an index that fit a prompt, in two stages, so that few rows are read.

1. The codes of each full segment give an estimate for every row, and the best blocks of rows are
   chosen. All blocks of a segment that is still being filled are chosen.
2. The rows of these blocks are read and give the margins. A block is 16 seconds at one sample a
   second, so most neighbours of a good sample are scored with it; growing a run scores more.

Letters in shapes: N samples, K rows of the bank. Blocks are numbered through all segments of the
scan, so that neighbours in time have neighbouring numbers.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import groupby, pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.rules.bank import PromptBank
from edge.scoring.margins import margins
from edge.search.index.codes import Guesser, ask
from edge.search.index.format import are_sound, cosines
from edge.search.index.segment import Segment
from edge.search.index.store import Found

BLOCK: Final = 16
"""Rows that are read together."""

MOST_BLOCKS: Final = 1024
"""Maximum blocks that the second stage reads. In ten million rows, three times as many blocks find
no more (docs/adr/0017)."""
# Maximum blocks of one segment, so that an event of many hours leaves room for others.
_MOST_OF_SEGMENT: Final = 64
# Number of times that a run grows, by 1, 2, 4 ... blocks at each end.
_ROUNDS: Final = 6


@dataclass(frozen=True, slots=True, order=True)
class Run:
    """Consecutive scored blocks of one camera.

    Attributes:
        first: Number of the first block.
        last: Number of the last block.
        best: Highest margin in the blocks.
    """

    first: int
    last: int
    best: float


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """UTC seconds and margins [N] of the samples of a block that lie in the wanted time."""

    times: NDArray[np.float64]
    margins: NDArray[np.float32]

    @property
    def best(self) -> float:
        return float(self.margins.max(initial=-np.inf))


class Scan:
    """One scan through segments.

    A segment that expires or loses rows meanwhile gives what is left. Every method raises
    ``OSError`` if files may not be read.

    Args:
        found: Segments to scan; those of a camera together, in the order of writing.
        bank: Bank of one prompt.
        since: Beginning of the wanted time, UTC seconds; earlier samples are left out.
        until: End of the wanted time, UTC seconds; later samples are left out.
        most_blocks: Maximum blocks of full segments that the second stage reads.
    """

    def __init__(
        self,
        found: Sequence[Found],
        bank: PromptBank,
        since: float,
        until: float,
        *,
        most_blocks: int = MOST_BLOCKS,
    ) -> None:
        self._segments = [one.segment for one in found]
        self._cameras = [one.camera for one in found]
        self._bank = bank
        self._since, self._until = since, until
        self._most_blocks = most_blocks
        blocks = [-(-segment.extent.count // BLOCK) for segment in self._segments]
        # Number of each segment's first block; at the end, the total number of blocks.
        self._starts: list[int] = np.cumsum([0, *blocks]).tolist()
        self._scored: dict[int, _Block] = {}

    def runs(self, share: float) -> Iterator[Run]:
        """Do both stages; yield the runs that they find, best first.

        Each run grows just before it is yielded: blocks at both ends are scored, until one stays
        below ``share`` of the run's best margin, or until some dozens are added. No block is in two
        runs.
        """
        self._score(self._promising())
        taken: list[Run] = []
        waiting = [(-run.best, run) for run in self._adjoining()]
        heapify(waiting)
        while waiting:
            _, run = heappop(waiting)
            free = self._free(run, taken)
            if free == run:
                taken.append(self._grown(run, share, taken))
                yield taken[-1]
            elif free is not None:  # a better run grew into it: its turn may come later
                heappush(waiting, (-free.best, free))

    def samples(self, run: Run) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Return the UTC seconds [N], ascending, and the margins [N] of a run."""
        blocks = [self._scored[block] for block in range(run.first, run.last + 1)]
        times = np.concatenate([block.times for block in blocks])
        order = np.argsort(times, kind="stable")  # a clock may have been set back
        return times[order], np.concatenate([block.margins for block in blocks])[order]

    def camera(self, run: Run) -> str:
        return self._name(run.first)

    def segments(self, run: Run) -> Sequence[Segment]:
        """Return the segments in which a run lies."""
        return self._segments[self._number(run.first) : self._number(run.last) + 1]

    def _free(self, run: Run, taken: Sequence[Run]) -> Run | None:
        """Return the part of a run that no better run has grown into from either end."""
        first, last = run.first, run.last
        for other in taken:
            if other.first <= first <= other.last:
                first = other.last + 1
            if other.first <= last <= other.last:
                last = other.first - 1
        return self._run(first, last) if first <= last else None

    def _grown(self, run: Run, share: float, taken: Sequence[Run]) -> Run:
        name = self.camera(run)
        begin = self._starts[self._cameras.index(name)]
        end = self._starts[self._cameras.index(name) + self._cameras.count(name)] - 1
        begin = max([begin, *(other.last + 1 for other in taken if other.last < run.first)])
        end = min([end, *(other.first - 1 for other in taken if other.first > run.last)])
        first, last = run.first, run.last
        for step in (2**power for power in range(_ROUNDS)):
            lower = max(begin, first - step) if self._reaches(first, share * run.best) else first
            upper = min(end, last + step) if self._reaches(last, share * run.best) else last
            if (lower, upper) == (first, last):
                break
            self._score(np.r_[lower:first, last + 1 : upper + 1])
            first, last = lower, upper
        return self._run(first, last)

    def _promising(self) -> NDArray[np.intp]:
        """Stage one: return the blocks of full segments with the best estimates, and all others.

        One thread does it, because NumPy's calls are short and a second thread would wait between
        them for the first.
        """
        (prompt,), rows = self._bank.prompts, self._bank.rows
        # The margin needs the best rival, which only the row shows: here their mean replaces it.
        direction = rows[prompt.texts].mean(axis=0) - rows[prompt.against].mean(axis=0)
        question = ask(direction)
        guesser = Guesser()
        others = [np.empty(0, np.intp)]
        blocks, guesses = [np.empty(0, np.intp)], [np.empty(0, np.float32)]
        for (start, end), segment in zip(pairwise(self._starts), self._segments, strict=True):
            codes = segment.codes()
            if codes is None:
                others.append(np.arange(start, end))
                continue
            of_rows = guesser(codes, question)
            best = np.maximum.reduceat(of_rows, np.arange(0, len(of_rows), BLOCK))
            best[self._left_out(segment)] = -np.inf
            top = _largest(best, _MOST_OF_SEGMENT)
            blocks.append(start + top)
            guesses.append(best[top])
        best_of_all = _largest(np.concatenate(guesses), self._most_blocks)
        return np.concatenate([*others, np.concatenate(blocks)[best_of_all]])

    def _left_out(self, segment: Segment) -> NDArray[np.bool_]:
        """Return which blocks of a segment lie outside the wanted time, bool [blocks]."""
        starts = np.arange(0, segment.extent.count, BLOCK)
        if segment.extent.first >= self._since and segment.extent.last <= self._until:
            return np.zeros(len(starts), np.bool_)
        ends = np.minimum(starts + BLOCK, segment.extent.count) - 1
        left_out: NDArray[np.bool_] = segment.times(starts.tolist()) > self._until
        return left_out | (segment.times(ends.tolist()) < self._since)

    def _score(self, blocks: NDArray[np.intp]) -> None:
        """Stage two: read and score these blocks, except those that are already scored."""
        wanted = [block for block in np.sort(blocks).tolist() if block not in self._scored]
        if not wanted:
            return
        # One product for all rows: if BLAS has threads, each call waits for them, which under load
        # took sixty times as long as the product itself (docs/adr/0017).
        read = [self._read(number, list(some)) for number, some in groupby(wanted, self._number)]
        rows = np.concatenate([part for parts in read for part in parts])
        kept = np.flatnonzero((rows["at"] >= self._since) & (rows["at"] <= self._until))
        kept = kept[are_sound(rows[kept])]
        times = rows["at"][kept]
        margin = margins(self._bank, cosines(rows[kept], self._bank.rows)).margin[:, 0]
        ends = np.cumsum([0, *(len(part) for parts in read for part in parts)])
        limits = pairwise(np.searchsorted(kept, ends).tolist())
        for block, (first, end) in zip(wanted, limits, strict=True):
            self._scored[block] = _Block(times[first:end], margin[first:end])

    def _read(self, number: int, blocks: Sequence[int]) -> list[NDArray[np.void]]:
        """Return the rows of some blocks of a segment."""
        firsts = [(block - self._starts[number]) * BLOCK for block in blocks]
        return self._segments[number].blocks(firsts, BLOCK)

    def _adjoining(self) -> Iterator[Run]:
        """Yield the runs of consecutive blocks that are scored so far."""
        held = {block for block, scored in self._scored.items() if len(scored.times)}
        first = None
        for block in sorted(held):
            first = block if first is None else first
            if block + 1 not in held or self._name(block) != self._name(block + 1):
                yield self._run(first, block)
                first = None

    def _run(self, first: int, last: int) -> Run:
        return Run(first, last, max(self._scored[block].best for block in range(first, last + 1)))

    def _reaches(self, block: int, level: float) -> bool:
        return self._scored[block].best >= level

    def _name(self, block: int) -> str:
        """Return the name of a block's camera."""
        return self._cameras[self._number(block)]

    def _number(self, block: int) -> int:
        """Return the number of a block's segment."""
        return bisect_right(self._starts, block) - 1


def _largest(values: NDArray[np.float32], count: int) -> NDArray[np.intp]:
    """Return the positions of the ``count`` largest values, in no order."""
    if len(values) <= count:
        return np.arange(len(values))
    return np.argpartition(values, -count)[-count:]
