"""Packs arrays of numbers into bytes, and unpacks what may be damaged."""

import io
import zipfile
from collections.abc import Mapping
from tokenize import TokenError
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

# A tail has less than a tenth.
_MOST_BYTES: Final = 1 << 20
# Errors with which NumPy and ``zipfile`` answer damaged bytes. A header of an array is Python text,
# hence the last two; RuntimeError stands for flags of a zip file that nobody wrote.
_DAMAGED: Final = (
    OSError,
    EOFError,
    KeyError,
    TypeError,
    zipfile.BadZipFile,
    RuntimeError,
    SyntaxError,
    TokenError,
)


def packed(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return arrays by name as bytes (NumPy's npz)."""
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


def unpacked(data: bytes) -> dict[str, NDArray[Any]]:
    """Return the arrays that ``packed`` wrote.

    Raises:
        ValueError: The bytes are damaged, are more than 1 MiB unpacked, or hold no numbers.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            if sum(part.file_size for part in file.zip.infolist()) > _MOST_BYTES:
                raise ValueError(f"expected at most {_MOST_BYTES} bytes, found more")
            arrays = {name: file[name] for name in file.files}
    except (*_DAMAGED, AttributeError) as exc:
        raise ValueError(f"expected what a null distribution learned, found {exc!r}") from exc
    if not all(isinstance(one, np.ndarray) and one.dtype.kind in "fiu" for one in arrays.values()):
        raise ValueError("expected what a null distribution learned, found no numbers")
    return arrays
