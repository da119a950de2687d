"""Finds the moments of the index that match a sentence, best first.

The sentence is compiled and scored like an alert rule: by its margin against the background. The
moments are ranked; there is no threshold.
"""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from edge.errors import ConfigError
from edge.rules.bank import PromptBank
from edge.search.index.scan import MOST_BLOCKS, Run, Scan
from edge.search.index.store import Reader
from edge.search.moments import Moment, Shape, find_moments

# The one method known to us without parameters: enter at 0.6 of the best score, leave at 0.4.
_SHAPE: Final = Shape()
# A silence is at least this many sampling periods, so that a slowly sampled camera is not silent.
_SILENT_SAMPLES: Final = 3
# A picture taken this close before or after a moment still shows what was there.
_NEAR_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Query:
    """Limits of a search.

    Attributes:
        since: Beginning of the wanted time, UTC seconds.
        until: End of the wanted time, UTC seconds.
        camera: Camera to search; None for all.
        limit: Maximum moments on the page.
        offset: Number of moments before the page.
    """

    since: float
    until: float
    camera: str | None = None
    limit: int = 20
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Hit:
    """Moment, its camera, and its picture if one was kept."""

    camera: str
    moment: Moment
    picture: Path | None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the answer to a search.

    Attributes:
        hits: Moments, best first.
        more: Whether another page follows.
        samples: Number of samples searched.
        took_s: Duration of the search, seconds.
    """

    hits: tuple[Hit, ...]
    more: bool
    samples: int
    took_s: float


def search(
    reader: Reader, bank: PromptBank, query: Query, *, most_blocks: int = MOST_BLOCKS
) -> Page:
    """Find moments.

    Args:
        reader: Index of the model that compiled the bank.
        bank: Bank of one sentence.
        query: Limits of the search.
        most_blocks: Maximum blocks of rows that are read (``Scan``).

    Raises:
        ConfigError: The sentence has clauses in time.
        OSError: Files of the index may not be read.
    """
    if len(bank.prompts) != 1:
        raise ConfigError(
            "expected a sentence about one moment, found 'then' or 'and' in it: search for each "
            "part by itself"
        )
    began = time.perf_counter()
    found = reader.segments(query.camera, query.since, query.until)
    hits = _hits(Scan(found, bank, query.since, query.until, most_blocks=most_blocks), query)
    last = query.offset + query.limit
    return Page(
        tuple(hits[query.offset : last]),
        more=len(hits) > last,
        samples=sum(one.segment.extent.count for one in found),
        took_s=time.perf_counter() - began,
    )


def _hits(scan: Scan, query: Query) -> list[Hit]:
    """Return the best hits in order: up to the end of the page, and one more if there is one."""
    wanted = query.offset + query.limit + 1
    ranked: list[tuple[Moment, Run]] = []
    for run in scan.runs(_SHAPE.exit):
        # No moment of this run or of a later one scores higher than the best sample of this run.
        better = sum(moment.score >= run.best for moment, _ in ranked)
        if run.best <= 0 or better >= wanted:
            break
        ranked += [(moment, run) for moment in _moments(scan, run)]
    ranked.sort(key=lambda pair: (-pair[0].score, pair[0].start))
    return [
        Hit(scan.camera(run), moment, _picture(scan, run, moment) if n >= query.offset else None)
        for n, (moment, run) in enumerate(ranked[:wanted])
    ]


def _moments(scan: Scan, run: Run) -> list[Moment]:
    times, margins = scan.samples(run)
    usual_s = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    silence_s = max(_SHAPE.silence_s, _SILENT_SAMPLES * usual_s)
    return find_moments(times, margins, replace(_SHAPE, silence_s=silence_s))


def _picture(scan: Scan, run: Run, moment: Moment) -> Path | None:
    start, end = moment.start - _NEAR_S, moment.end + _NEAR_S
    pictures = (segment.picture(start, end, moment.peak) for segment in scan.segments(run))
    return next((picture for picture in pictures if picture is not None), None)
