"""Chooses the frames of a calibration set from any footage: a folder, a video, pictures.

A camera shows the same yard for hours, and the few unusual frames decide the INT8 ranges. So the
chosen frames are far apart (each next frame is the farthest from all chosen ones, measured on
thumbnails), near-duplicates are left out, and their number is limited. Memory holds at most a few
times that number. The same files give the same frames.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from calibration.frames import each_frame
from calibration.limits import MIN_FRAMES
from edge.errors import ModelError, SourceError
from edge.model.bundle.manifest import ImageSpec

_log = logging.getLogger(__name__)

# Rows and columns of the thumbnail that distinguishes frames.
_THUMBNAIL = 8
# Mean difference of two thumbnails in units of 0..255: below it, they are one picture with noise.
_MIN_DISTANCE = 1.0
# Frames in memory at once, as a multiple of the wanted number.
_POOL = 4

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, eq=False)
class Footage:
    """Frames chosen from files.

    Attributes:
        frames: int8 [M,3,H,W], in the order of files and time.
        seen: Number of frames that they were chosen from.
        skipped: Reason why a file gave no frames, by file.
    """

    frames: NDArray[np.int8]
    seen: int
    skipped: dict[Path, str]


def files_of(path: Path, purpose: str = "calibration") -> list[Path]:
    """Return ``path`` itself, or all files in and below that folder, sorted, without hidden files.

    Args:
        path: A file or a folder.
        purpose: Purpose of the files, for the error message.

    Raises:
        ModelError: There are no files.
    """
    if path.is_file():
        return [path]
    files = sorted(
        file
        for file in path.rglob("*")
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts)
    )
    if not files:
        what = "an empty folder" if path.is_dir() else "nothing"
        raise ModelError(f"expected pictures or videos for {purpose} in {path}, found {what}")
    return files


def read_footage(
    files: Sequence[Path], spec: ImageSpec, fps: float = 2.0, count: int = 128
) -> Footage:
    """Choose at most ``count`` frames of ``files``, preprocessed as on the device.

    A file that cannot be read is skipped, logged and named in the result: one broken picture among
    hundreds is no reason to stop. If no file can be read, the error has the first reason.

    Args:
        files: Videos and pictures.
        spec: Size and preprocessing, from the bundle.
        fps: Frames per second to read.
        count: Maximum number of frames.

    Raises:
        ModelError: No file can be read, or there are fewer than ``MIN_FRAMES`` different frames.
    """
    pool = FrameReservoir[NDArray[np.int8]](count)
    skipped: dict[Path, str] = {}
    for file in files:
        try:
            for frame in each_frame(file, spec, fps):
                pool.add(frame, thumbnail(frame))
        except SourceError as exc:
            skipped[file] = str(exc)
            _log.warning("calibration skips %s: %s", file, exc)
    if not pool.seen:
        raise ModelError(
            f"expected pictures or videos for calibration, found {len(skipped)} files that cannot "
            f"be read, the first: {next(iter(skipped.values()), 'none at all')}"
        )
    frames = np.stack(pool.chosen())
    if len(frames) < MIN_FRAMES:
        without = f" ({len(skipped)} files cannot be read)" if skipped else ""
        raise ModelError(
            f"expected at least {MIN_FRAMES} different frames for calibration, found {len(frames)} "
            f"among {pool.seen}{without}; add footage of other scenes or hours"
        )
    return Footage(frames, pool.seen, skipped)


def clips_of(frames: NDArray[np.int8], length: int) -> NDArray[np.int8]:
    """Return frames [M,3,H,W] as clips of neighbouring frames [M // length,length,3,H,W]."""
    whole = len(frames) // length * length
    return frames[:whole].reshape(-1, length, *frames.shape[1:])


@dataclass(slots=True, eq=False)
class FrameReservoir(Generic[Item]):
    """Pool of frames in any form, thinned out whenever there are too many.

    Attributes:
        count: Wanted number of frames.
        seen: Number of frames added so far.
    """

    count: int
    seen: int = 0
    _items: list[Item] = field(default_factory=list)
    _thumbnails: list[NDArray[np.float32]] = field(default_factory=list)

    def add(self, item: Item, small: NDArray[np.float32]) -> None:
        """Add one frame; ``small`` is its ``thumbnail``."""
        self.seen += 1
        self._items.append(item)
        self._thumbnails.append(small)
        if len(self._items) >= _POOL * self.count:
            self._thin_out(_POOL * self.count // 2)

    def chosen(self) -> list[Item]:
        """Return at most ``count`` frames that are far apart, in the order of adding."""
        if self._items:
            self._thin_out(self.count)
        return self._items

    def _thin_out(self, count: int) -> None:
        kept = farthest(np.stack(self._thumbnails), count)
        self._items = [self._items[index] for index in kept]
        self._thumbnails = [self._thumbnails[index] for index in kept]


def thumbnail(frame: NDArray[np.int8] | NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the mean colours of an 8 x 8 grid over ``frame`` [3,H,W], float32 [192]."""
    means: NDArray[Any] = frame.astype(np.float32)
    for axis in (1, 2):
        edges = np.linspace(0, frame.shape[axis], _THUMBNAIL, endpoint=False).astype(int)
        # With fewer than 8 rows, some rows are used in several cells, each of one row.
        sizes = np.diff(np.append(edges, frame.shape[axis])).clip(1)
        sums = np.add.reduceat(means, edges, axis=axis)
        means = sums / (sizes[:, None] if axis == 1 else sizes)
    return means.reshape(-1).astype(np.float32)


def farthest(thumbnails: NDArray[np.float32], count: int) -> list[int]:
    """Return at most ``count`` rows of [M,E] that are far apart, ascending; row 0 is always one.

    It stops early when every remaining row looks like a chosen row.
    """
    chosen = [0]
    distance = np.abs(thumbnails - thumbnails[0]).mean(1)
    while len(chosen) < count and distance.max() >= _MIN_DISTANCE:
        index = int(distance.argmax())
        chosen.append(index)
        distance = np.minimum(distance, np.abs(thumbnails - thumbnails[index]).mean(1))
    return sorted(chosen)
