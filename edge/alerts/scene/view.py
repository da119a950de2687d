"""Notices that a camera was moved, or that its lens sees nothing any more. Pure: time is injected.

Two views differ in where their edges are. Light, noise and passing things only change how strong
edges are, or change a few of them. Therefore a picture becomes a small grid of local contrast (luma
minus the mean around it, divided by the deviation around it, after Jarrett et al., ICCV 2009). The
grid is compared, in blocks, with a slow mean of earlier grids. A block is in place where it matches
better unmoved than moved by up to a twelfth of the picture. The share of blocks in place is the
similarity::

    pixels ─→ contrast [36, 64] ─┬─ mean of now ──┐
                                 │                ├→ share of blocks in place, 0..1
                                 └─ mean of 1 h ──┘

Measured on six clips (benchmarks/studies/views.py): at least 0.72 in the same view with a quarter
of its light, with 1.8 times its light, in infrared, noise, rain and shadow, and through H.264 at
crf 35; at most 0.39 after a move by 4 % of the picture or more, a turn by 3 degrees, or a zoom of
1.1.
"""

import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.lib.stride_tricks import as_strided, sliding_window_view
from numpy.typing import NDArray

from edge.video.placement import without_borders

# Size of the grid, and the distance over which a block is searched: 8 % of either side; in cells.
_ROWS, _COLUMNS, _DOWN, _RIGHT = 36, 64, 3, 5
# Size of a block in cells. The part of the grid that can be moved so far holds 5 x 6 blocks.
_BLOCK_ROWS, _BLOCK_COLUMNS = 6, 9
# Number of points that are averaged into a cell, along each side.
_POINTS: Final = 4
# Number of cells on each side of a cell that its contrast is relative to.
_AROUND: Final = 3
# Contrast of this many levels of 255 is noise.
_NOISE: Final = 2.0

# A block is in place if three conditions hold: unmoved it matches nearly as well as anywhere (a
# straight line matches anywhere along itself), that is a match at all, and enough of it is left.
_NEARLY, _MATCH, _LEFT = 0.95, 0.3, 0.3
# A block shows something if its sum of squares is larger than this: 0.02 a cell. An asphalt road
# has 0.03; the noise of a black picture has 0.005 after ten looks, and less the longer it is
# averaged.
_STRUCTURE: Final = 0.02 * _BLOCK_ROWS * _BLOCK_COLUMNS
# Number of blocks that must show something, or else views cannot be compared.
_FEWEST: Final = 4

# A limit between the two values measured above.
_IN_PLACE: Final = 0.45
# A lens out of focus left 0.15 to 0.27 of the detail; any light on the same view left 0.57 or more.
_BLIND: Final = 0.4
# Mean luma, 0..1, of a picture that shows nothing but its sensor. At a quarter of their light the
# clips had at least 0.09.
_DARK: Final = 0.04

# One look a second is enough; the limit is a little lower, because samples are not that punctual.
# A change is reported when it has lasted for a minute and for this many looks: a lorry that unloads
# or an open door is no other view.
_EVERY_S: Final = 0.9
_LASTS_S: Final = 60.0
_LOOKS: Final = 20
# Weight of a look in the mean of now, which so spans about ten looks.
_NOW: Final = 0.1
# The mean of the usual view forgets within about an hour. Time in which the camera was away does
# not count.
_SLOW_S: Final = 3600.0
_PAUSE_S: Final = 10.0
# Seconds between two looks that the usual view learns from.
_LEARN_S: Final = 4.0

_LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_CELL_LUMA: Final[NDArray[np.float32]] = _LUMA / np.float32(
    _POINTS**2
)  # of the sum of a cell's points


def _means(size: int) -> NDArray[np.float32]:
    """Return float32 [size, size]; a product with it is the mean around each cell."""
    near = np.tri(size, k=_AROUND) - np.tri(size, k=-_AROUND - 1)
    means: NDArray[np.float64] = near / near.sum(axis=1, keepdims=True)
    return means.astype(np.float32)


def _sums(size: int, length: int) -> NDArray[np.float32]:
    """Return float32 [size - length + 1, size]; a product with it sums ``length`` cells."""
    begins = np.arange(size - length + 1)[:, None]
    cells = np.arange(size)
    return ((cells >= begins) & (cells < begins + length)).astype(np.float32)


_DOWN_MEANS, _ACROSS_MEANS = _means(_ROWS), _means(_COLUMNS)
# Part of the grid that can be moved so far; sums of its columns by block, and of each block that
# the grid holds anywhere.
_INNER: Final = (_ROWS - 2 * _DOWN, _COLUMNS - 2 * _RIGHT)
_BY_BLOCK: Final = _sums(_INNER[1], _BLOCK_COLUMNS)[::_BLOCK_COLUMNS].T.copy()
_DOWN_SUMS, _ACROSS_SUMS = _sums(_ROWS, _BLOCK_ROWS), _sums(_COLUMNS, _BLOCK_COLUMNS).T.copy()

_MAGIC: Final = b"edge-view/1\n"
_HEADER: Final = struct.Struct("<If")  # looks, detail
_CHECK: Final = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Moved:
    """A change of a camera's view.

    Attributes:
        kind: ``moved``: the camera sees something else and learns it now; ``covered``: it sees
            nothing (lens covered, out of focus, or no light) and keeps what it learned.
        since: Monotonic time of the first look that was different.
        similarity: Similarity of the newest look, 0..1.
    """

    kind: Literal["moved", "covered"]
    since: float
    similarity: float


@dataclass(slots=True)
class _Mean:
    """Exponential mean of looks; the plain mean while there are few looks."""

    contrast: NDArray[np.float32]
    detail: float = 0.0
    looks: int = 0

    def take(self, contrast: NDArray[np.float32], detail: float, weight: float) -> None:
        self.looks += 1
        weight = max(weight, 1 / self.looks)
        self.contrast = self.contrast + np.float32(weight) * (contrast - self.contrast)
        self.detail += weight * (detail - self.detail)


class View:
    """The usual view of one camera."""

    def __init__(self) -> None:
        self._usual = _Mean(np.zeros((_ROWS, _COLUMNS), np.float32))
        self._now = replace(self._usual)
        self._similarity = 1.0
        self._last_at: float | None = None
        self._learned_at = -math.inf
        self._kind: Literal["moved", "covered"] | None = None  # None: as usual
        self._since = 0.0  # monotonic time of the first look of this kind
        self._looks = 0  # number of looks since then
        self._reported = False

    @property
    def similarity(self) -> float:
        """Share of the view that is in place, 0..1; 1 while that is not known."""
        return self._similarity

    @property
    def covered(self) -> bool:
        """Whether the last reported state is that the lens sees nothing."""
        return self._kind == "covered" and self._reported

    def step(self, pixels: NDArray[np.int8], at: float, *, still: bool = False) -> Moved | None:
        """Take one sample: int8 pixels [3, H, W], and its monotonic time in seconds.

        Where nothing moved since the sample before (``still``), its look stands for those that are
        missing, one a second.

        Returns:
            The change, once for each time that the view changed and stayed so; otherwise None.
        """
        passed = 0.0 if self._last_at is None else at - self._last_at
        if self._last_at is not None and passed < _EVERY_S:
            return None
        self._last_at = at
        looks = min(_LOOKS, max(1, round(passed))) if still else 1
        contrast, detail, brightness = _look(pixels)
        self._now.take(contrast, detail, 1 - (1 - _NOW) ** looks)
        blind = brightness < _DARK or not _can_tell(_energy(self._now.contrast))
        known = self._usual.looks >= _LOOKS
        if known:
            self._similarity = similarity(self._usual.contrast, self._now.contrast)
            blind = blind or self._now.detail < _BLIND * self._usual.detail
            if blind or self._similarity < _IN_PLACE:
                return self._different(at, "covered" if blind else "moved", looks)
        self._kind = None
        passed = at - self._learned_at  # since it was learned from
        if blind or (known and passed < _LEARN_S):
            return None
        # The mean of now lags behind, and the first looks of another view must not be learned.
        if not (known and similarity(self._usual.contrast, contrast) < _IN_PLACE):
            weight = -math.expm1(-min(passed, _PAUSE_S) / _SLOW_S)
            self._usual.take(contrast, detail, weight)
            self._learned_at = at
        return None

    def _different(self, at: float, kind: Literal["moved", "covered"], looks: int) -> Moved | None:
        if self._kind is None or (self._reported and kind != self._kind):
            self._since, self._looks, self._reported = at, 0, False
        self._kind = kind
        self._looks += looks
        if self._reported or self._looks < _LOOKS or at - self._since < _LASTS_S:
            return None
        self._reported = True
        if kind == "moved":
            self._usual = replace(self._now, looks=_LOOKS)
        return Moved(kind, self._since, self._similarity)

    def to_bytes(self) -> bytes:
        """Return what was learned, so that a camera that is moved in the meantime is noticed."""
        usual = self._usual
        body = _MAGIC + _HEADER.pack(usual.looks, usual.detail) + usual.contrast.tobytes()
        return body + _CHECK.pack(zlib.crc32(body))

    @classmethod
    def from_bytes(cls, data: bytes) -> "View":
        """Read a view that ``to_bytes`` wrote.

        Raises:
            ValueError: The bytes are damaged, or another version wrote them.
        """
        length = len(_MAGIC) + _HEADER.size + 4 * _ROWS * _COLUMNS + _CHECK.size
        if len(data) != length or not data.startswith(_MAGIC):
            raise ValueError(f"expected a view of this version ({length} bytes), found another")
        body, check = data[: -_CHECK.size], data[-_CHECK.size :]
        if _CHECK.unpack(check) != (zlib.crc32(body),):
            raise ValueError("expected a view, found damaged bytes")
        looks, detail = _HEADER.unpack_from(body, len(_MAGIC))
        contrast = np.frombuffer(body, "<f4", offset=len(_MAGIC) + _HEADER.size)
        if not (np.isfinite(contrast).all() and math.isfinite(detail)):
            raise ValueError("expected a view, found what is no number")
        view = cls()
        view._usual = _Mean(contrast.reshape(_ROWS, _COLUMNS).astype(np.float32), detail, looks)
        return view


def similarity(usual: NDArray[np.float32], now: NDArray[np.float32]) -> float:
    """Return the share of the blocks of ``usual`` that are in place in ``now``, 0..1.

    Both are contrast, float32 [36, 64]. Blocks weigh by their contrast. The share is 1 where too
    few blocks show something.
    """
    energy = _energy(usual)
    if not _can_tell(energy):
        return 1.0
    # [moved down, moved right, *blocks]
    moves = (2 * _DOWN + 1, 2 * _RIGHT + 1)
    was = usual[_DOWN:-_DOWN, _RIGHT:-_RIGHT]
    products = np.multiply(sliding_window_view(now, _INNER), was, order="C")
    rows = products.reshape(*moves, len(energy), _BLOCK_ROWS, -1).sum(axis=3)
    dot = (rows.reshape(-1, _INNER[1]) @ _BY_BLOCK).reshape(*moves, *energy.shape)
    anywhere = _DOWN_SUMS @ np.square(now) @ _ACROSS_SUMS
    down, right = anywhere.strides
    steps = (down, right, _BLOCK_ROWS * down, _BLOCK_COLUMNS * right)
    energies = as_strided(anywhere, (*moves, *energy.shape), steps, writeable=False)
    match = dot / np.sqrt(energy * energies + 1e-9)
    unmoved = match[_DOWN, _RIGHT]
    in_place = (
        (unmoved >= _NEARLY * match.max(axis=(0, 1)))
        & (unmoved > _MATCH)
        & (dot[_DOWN, _RIGHT] > _LEFT * energy)
    )
    weight = np.sqrt(energy) * (energy > _STRUCTURE)
    return float((weight * in_place).sum() / weight.sum())


def _blocks(contrast: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return contrast [36, 64] as [5, 6, 6, 9]: rows of blocks, cells down, columns, across."""
    inner = contrast[_DOWN:-_DOWN, _RIGHT:-_RIGHT]
    return inner.reshape(-1, _BLOCK_ROWS, inner.shape[1] // _BLOCK_COLUMNS, _BLOCK_COLUMNS)


def _energy(contrast: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the sum of squares in each block, [5, 6]."""
    energy: NDArray[np.float32] = np.square(_blocks(contrast)).sum(axis=(1, 3))
    return energy


def _can_tell(energy: NDArray[np.float32]) -> bool:
    return int(np.count_nonzero(energy > _STRUCTURE)) >= _FEWEST


def _look(pixels: NDArray[np.int8]) -> tuple[NDArray[np.float32], float, float]:
    """Return contrast [36, 64], its mean strength relative to brightness, brightness 0..1."""
    picture = without_borders(pixels)
    _, height, width = picture.shape
    rows = np.arange(_ROWS * _POINTS) * height // (_ROWS * _POINTS)
    columns = np.arange(_COLUMNS * _POINTS) * width // (_COLUMNS * _POINTS)
    lines = picture.take(rows, axis=1).reshape(3, _ROWS, _POINTS, width)
    down = _added([lines[:, :, point] for point in range(_POINTS)])
    points = down.take(columns, axis=2).reshape(3, -1, _POINTS)
    sums = _added([points[:, :, point] for point in range(_POINTS)])
    luma = _CELL_LUMA @ sums.astype(np.float32)
    # Signed pixels are u8 - 128.
    cells: NDArray[np.float32] = luma.reshape(_ROWS, _COLUMNS) + np.float32(128)
    difference = cells - _DOWN_MEANS @ cells @ _ACROSS_MEANS.T
    variance = _DOWN_MEANS @ (difference * difference) @ _ACROSS_MEANS.T
    deviation: NDArray[np.float32] = np.sqrt(variance)
    mean = float(cells.mean())
    detail = float(np.abs(difference).mean()) / (mean + 2 * _NOISE)
    return difference / (deviation + _NOISE), detail, mean / 255


def _added(parts: Sequence[NDArray[np.signedinteger]]) -> NDArray[np.int16]:
    """Return the sum of whole numbers of 8 or 16 bits, element by element."""
    total = parts[0].astype(np.int16)
    for part in parts[1:]:
        total += part
    return total
