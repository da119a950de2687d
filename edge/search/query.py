"""From a sentence to the moments of the index that show it, best first.

The sentence is compiled as an alert rule is, and scored as one: by its margin against the
background. What is found is ranked, not judged: there is no threshold.
"""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from edge.errors import ConfigError
from edge.rules.bank import PromptBank
from edge.search.index.scan import Run, Scan
from edge.search.index.store import Reader
from edge.search.moments import Moment, Shape, find_moments

# Of methods known to us, the parameter-free one: enter at 0.6 of the best score, leave at 0.4.
_SHAPE: Final = Shape()
# A camera that is looked at seldom is not silent between two samples.
_SILENT_SAMPLES: Final = 3
# A picture taken so close before or after still shows what was there.
_NEAR_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for, and where.

    Attributes:
        since: UTC seconds.
        until: UTC seconds.
        camera: None for all.
        limit: Moments on a page.
        offset: Moments before it.
    """

    since: float
    until: float
    camera: str | None = None
    limit: int = 20
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Hit:
    """A moment, whose it is, and its picture, where one was kept."""

    camera: str
    moment: Moment
    picture: Path | None


@dataclass(frozen=True, slots=True)
class Page:
    """Part of an answer.

    Attributes:
        hits: Best first.
        more: Whether there is a page behind it.
        samples: How many were looked through.
        took_s: Seconds.
    """

    hits: tuple[Hit, ...]
    more: bool
    samples: int
    took_s: float


def search(reader: Reader, bank: PromptBank, query: Query) -> Page:
    """Find moments.

    Args:
        reader: The index of the model that the bank was compiled with.
        bank: Of one sentence.
        query: Which of them.

    Raises:
        ConfigError: The sentence has time in it.
    """
    if len(bank.prompts) != 1:
        raise ConfigError(
            "expected a sentence about one moment, found 'then' or 'and' in it: search for each "
            "part by itself"
        )
    began = time.perf_counter()
    while True:
        found = reader.segments(query.camera, query.since, query.until)
        try:
            hits = _hits(Scan(found, bank, query.since, query.until), query)
        except FileNotFoundError:
            continue  # a segment expired meanwhile
        break
    last = query.offset + query.limit
    return Page(
        tuple(hits[query.offset : last]),
        more=len(hits) > last,
        samples=sum(one.segment.extent.count for one in found),
        took_s=time.perf_counter() - began,
    )


def _hits(scan: Scan, query: Query) -> list[Hit]:
    """The best, in order: those of the page and before it, and one more where there is one."""
    wanted = query.offset + query.limit + 1
    ranked: list[tuple[Moment, Run]] = []
    for run in scan.runs(_SHAPE.exit):
        # No moment of this run, or of those to come, scores higher than the run's best sample.
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
