"""Reads ``golden.npz`` safely: fixed inputs of each graph, and the answers of its float original.

The file has G rows of every input and output of a graph, named ``<role>.<tensor>``:
``image.pixels``, ``image.embedding``, ``text.input_ids``.
"""

import io
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from tokenize import TokenError
from typing import IO, Any, Final

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.model.bundle.contract import ANY, contract_of
from edge.model.bundle.manifest import ModelFacts, Role
from edge.model.engines.base import TensorSpec

_MAX_ROWS: Final = 4096
# Largest array: far more than any model needs, and too little to harm a device.
_MAX_BYTES: Final = 2**29


@dataclass(frozen=True, slots=True, eq=False)
class GoldenSet:
    """Fixed inputs of one graph and the answers of its float original; at least two rows.

    Attributes:
        inputs: Input arrays by name; first axis G.
        answers: Output arrays by name; first axis G.
    """

    inputs: Mapping[str, NDArray[Any]]
    answers: Mapping[str, NDArray[np.float32]]


Golden = Mapping[Role, GoldenSet]


def read_golden(data: bytes, name: str, facts: ModelFacts) -> Golden:
    """Read ``golden.npz``; a header is checked before the memory that it claims is allocated.

    Args:
        data: Content of the file.
        name: Name of the file, for messages.
        facts: Facts of the model, which give the graphs and their shapes.

    Raises:
        ModelError: The file is no .npz; or an array is missing, has another dtype or shape, or
            has numbers that are not finite.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as zipped:
            _refuse_other_compression(zipped)
            there = {name.partition(".")[0] for name in zipped.namelist()}
            roles = (*facts.graphs, *(role for role in facts.extra_graphs if role in there))
            return {role: _read_set(zipped, facts, role) for role in roles}
    except (KeyError, ValueError, RuntimeError, EOFError, zlib.error, zipfile.BadZipFile) as exc:
        raise ModelError(f"{name}: expected a .npz file of golden arrays, found: {exc}") from exc


def _refuse_other_compression(zipped: zipfile.ZipFile) -> None:
    """Refuse what NumPy never writes: other decompressors have errors of their own."""
    for member in zipped.infolist():
        if member.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise ValueError(f"{member.filename} is compressed by method {member.compress_type}")


def _read_set(zipped: zipfile.ZipFile, facts: ModelFacts, role: Role) -> GoldenSet:
    expected = contract_of(facts, role)
    inputs = {spec.name: _read(zipped, role, spec) for spec in expected.inputs}
    answers = {spec.name: _read(zipped, role, spec) for spec in expected.outputs}
    # A head also takes sentences; they are not rows of its answer.
    rows = len(next(iter(inputs.values())))
    for tensor, array in (*inputs.items(), *answers.items()):
        if len(array) != rows and tensor != "text":
            raise ValueError(f"{role}.{tensor} has {len(array)} rows, expected {rows}")
    return GoldenSet(inputs, answers)


def _read(zipped: zipfile.ZipFile, role: Role, spec: TensorSpec) -> NDArray[Any]:
    member = f"{role}.{spec.name}"
    with zipped.open(f"{member}.npy") as file:
        shape, fortran, found = _header(file)
        row = spec.shape[1:]
        fits = (
            len(shape) == len(spec.shape)
            and 2 <= shape[0] <= _MAX_ROWS
            and all(want in {None, ANY, have} for want, have in zip(row, shape[1:], strict=True))
        )
        size = int(np.prod(shape, dtype=object)) * found.itemsize
        if fortran or found != np.dtype(spec.dtype) or not fits or not 0 < size <= _MAX_BYTES:
            raise ValueError(
                f"{member} is {found} {list(shape)}, expected {spec.dtype} "
                f"{['at least 2', *('any' if e in {None, ANY} else e for e in row)]} in C order, "
                f"at most {_MAX_BYTES} bytes"
            )
        array = np.frombuffer(file.read(size), found)
    array = array.reshape(shape)
    if not np.isfinite(array).all():
        raise ValueError(f"{member} has numbers that are not finite")
    return array


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy.read_magic(file)
    if version != (1, 0):
        raise ValueError(f".npy version {version}")
    try:
        return npy.read_array_header_1_0(file)
    except (SyntaxError, TokenError, TypeError) as exc:  # NumPy reads it as Python's text
        raise ValueError(f"a damaged .npy header ({exc})") from exc
