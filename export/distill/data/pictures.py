"""Prepares a set of scaled-down pictures from pictures, videos and WebDataset shards.

Training reads every picture many times and in random order, so pictures are scaled down once and
kept (``picture_set``). One rename publishes the set. The same sources give the same set, and an
existing set is used again as long as no file of its sources has changed.
"""

import hashlib
import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from edge.errors import ConfigError, ModelError
from export.bundle.pack import take_place, workplace
from export.distill.data.picture_set import (
    FORMAT,
    INDEX,
    Picture,
    PictureSet,
    SetWriter,
    open_pictures,
)
from export.distill.data.picture_sources import PictureOptions, caption_file, gather, read

__all__ = ["Picture", "PictureSet", "open_pictures", "prepare", "spread_out"]

_log = logging.getLogger(__name__)

# A side of a JPEG file is at most 65535 pixels; training uses a fraction of that.
_MAX_SIDE = 8192


def prepare(
    sources: Sequence[Path],
    out: Path,
    *,
    side: int = 512,
    fps: float = 1.0,
    per_video: int = 200,
    max_skipped: float = 0.1,
    progress: Progress | None = None,
) -> PictureSet:
    """Make a set of pictures in ``out``, or open an existing set of the same sources and options.

    Args:
        sources: Folders with pictures, videos and .tar shards of WebDataset in any mix, or such
            files. The caption of a picture is the first line of the .txt file of the same name.
        out: Folder of the set; an existing folder is replaced only if it is a set or empty.
        side: Longest side of a prepared picture in pixels; pictures are never scaled up.
        fps: Frames per second of a video among which the kept ones are chosen.
        per_video: Most frames of a video that are kept; they differ most, without near-duplicates.
        max_skipped: Largest share of files and samples that may be broken, 0..1.
        progress: Display that is advanced per file.

    Raises:
        ConfigError: An option or a source is wrong.
        ModelError: A folder is empty, too little of it can be read, ``out`` holds something else,
            or its disk cannot be written.
    """
    options = PictureOptions(side, fps, per_video)
    _check(options, max_skipped)
    _check_place(sources, out)
    files = gather(sources)
    fingerprint = _fingerprint(files, options, max_skipped)
    if (kept := _kept(out, fingerprint)) is not None:
        return kept
    shown = progress or Progress(disable=True)
    with workplace(out, "prepared set of pictures", INDEX) as folder:
        writer = SetWriter(folder / "new")
        task, tried = shown.add_task("pictures", total=len(files)), 0
        for file, name in files.items():
            for outcome in read(file, name, options):
                tried += 1
                for found in outcome.found:
                    writer.add(found)
                if outcome.problem is not None:
                    writer.skip(outcome.key, outcome.problem)
            shown.advance(task)
        _judge(writer, tried, max_skipped)
        writer.finish(fingerprint)
        take_place(folder / "new", out, folder / "old")
    return open_pictures(out)


def spread_out(vectors: NDArray[np.float32], count: int, min_distance: float) -> list[int]:
    """Return the indices of at most ``count`` rows that are far apart, ascending.

    The first row is always chosen; each next row is the farthest from all rows chosen so far. The
    choice ends early when every other row is closer than ``min_distance`` to a chosen row.

    Args:
        vectors: Rows of unit length, float32 [N, D].
        count: Most rows to choose.
        min_distance: Smallest cosine distance between chosen rows, 0..2.
    """
    if count < 1 or not len(vectors):
        return []
    chosen = [0]
    distance = 1 - vectors @ vectors[0]
    distance[0] = -np.inf
    while len(chosen) < count and distance.max() >= min_distance:
        index = int(distance.argmax())
        chosen.append(index)
        distance = np.minimum(distance, 1 - vectors @ vectors[index])
        distance[index] = -np.inf
    return sorted(chosen)


def _check(options: PictureOptions, max_skipped: float) -> None:
    wrong = [
        f"{name} {expected}, found {value}"
        for name, value, expected, right in (
            ("side", options.side, f"from 1 to {_MAX_SIDE}", 1 <= options.side <= _MAX_SIDE),
            ("fps", options.fps, "above 0", 0 < options.fps < math.inf),
            ("per_video", options.per_video, "of at least 1", options.per_video >= 1),
            ("max_skipped", max_skipped, "from 0 to 1", 0 <= max_skipped <= 1),
        )
        if not right
    ]
    if wrong:
        raise ConfigError(f"expected {'; '.join(wrong)}")


def _check_place(sources: Sequence[Path], out: Path) -> None:
    """Refuse a set within its sources or around them: it would become a source or replace them."""
    place = out.resolve()
    for source in map(Path.resolve, sources):
        if place.is_relative_to(source) or source.is_relative_to(place):
            raise ConfigError(
                f"{out}: expected a folder apart from the pictures in {source}, found one within "
                "the other; choose another place for the prepared set"
            )


def _fingerprint(files: Mapping[Path, str], options: PictureOptions, max_skipped: float) -> str:
    """Hash of the options and of each file's path, size and time of change."""
    stated = []
    for file, name in files.items():
        captions = [beside] if (beside := caption_file(file)).is_file() else []
        for path in (file, *captions):
            stat = path.stat()
            stated.append((str(path), name, stat.st_size, stat.st_mtime_ns))
    facts = {"format": FORMAT, "options": asdict(options), "max_skipped": max_skipped}
    return hashlib.sha256(json.dumps(facts | {"files": stated}).encode()).hexdigest()


def _kept(out: Path, fingerprint: str) -> PictureSet | None:
    """Existing set, or None if it is damaged or of other sources."""
    if not (out / INDEX).is_file():
        return None
    try:
        pictures = open_pictures(out)
    except ModelError as exc:
        _log.warning("%s; it is made again", exc)
        return None
    return pictures if pictures.fingerprint == fingerprint else None


def _judge(writer: SetWriter, tried: int, max_skipped: float) -> None:
    """Raise ModelError if too little could be read."""
    count = len(writer.skipped)
    first = next((f"{key}: {problem}" for key, problem in writer.skipped.items()), "none at all")
    if not len(writer):
        raise ModelError(
            f"expected pictures or videos for distillation, found {count} that cannot be read, the "
            f"first: {first}"
        )
    if count > max_skipped * tried:
        raise ModelError(
            f"expected at most {max_skipped:.0%} of the pictures and videos to be broken, found "
            f"{count} of {tried}, the first: {first}; remove them or allow more (max_skipped)"
        )
