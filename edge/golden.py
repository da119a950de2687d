"""``golden.npz``: what a model must answer on this device, and how it is read safely.

Letters in shapes: G pictures, K sentences, L tokens, D embedding.
"""

import io
import zipfile
import zlib
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.manifest import ModelFacts

_MAX_ROWS = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Golden:
    """Fixed inputs and what the float original answered. At least two rows of each.

    Attributes:
        pixels: int8 [G, 3, H, W].
        image_embeddings: float32 [G, D], unit rows.
        input_ids: int64 [K, L].
        text_embeddings: float32 [K, D], unit rows.
    """

    pixels: NDArray[np.int8]
    image_embeddings: NDArray[np.float32]
    input_ids: NDArray[np.int64]
    text_embeddings: NDArray[np.float32]


def read_golden(data: bytes, name: str, facts: ModelFacts) -> Golden:
    """Read ``golden.npz``; its headers are checked before memory is taken for what they claim.

    Args:
        data: The file.
        name: Its name, for messages.
        facts: Give the shapes.

    Raises:
        ModelError: No .npz, or an array that is missing, of another dtype or shape, or not finite.
    """
    image, length, dim = facts.image, facts.text.context_length, facts.embedding.dim
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as zipped:
            pixels = _read(zipped, "pixels", np.int8, (3, image.height, image.width))
            input_ids = _read(zipped, "input_ids", np.int64, (length,))
            return Golden(
                pixels=pixels,
                image_embeddings=_read(
                    zipped, "image_embeddings", np.float32, (dim,), rows=len(pixels)
                ),
                input_ids=input_ids,
                text_embeddings=_read(
                    zipped, "text_embeddings", np.float32, (dim,), rows=len(input_ids)
                ),
            )
    except (KeyError, ValueError, RuntimeError, EOFError, zlib.error, zipfile.BadZipFile) as exc:
        raise ModelError(f"{name}: expected a .npz file of golden arrays, found: {exc}") from exc


def _read(
    zipped: zipfile.ZipFile,
    member: str,
    dtype: type[np.generic],
    row: tuple[int, ...],
    rows: int | None = None,
) -> NDArray[Any]:
    with zipped.open(f"{member}.npy") as file:
        shape, fortran, found = _header(file)
        count = shape[0] if shape else 0
        fits = count == rows if rows else 2 <= count <= _MAX_ROWS
        if fortran or found != dtype or shape[1:] != row or not fits:
            raise ValueError(
                f"{member} is {found} {list(shape)}, expected {np.dtype(dtype)} "
                f"{[rows or 'at least 2', *row]} in C order"
            )
        array = np.frombuffer(file.read(count * int(np.prod(row)) * found.itemsize), found)
    array = array.reshape(shape)
    if not np.isfinite(array).all():
        raise ValueError(f"{member} has numbers that are not finite")
    return array


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy.read_magic(file)
    if version != (1, 0):
        raise ValueError(f".npy version {version}")
    return npy.read_array_header_1_0(file)
