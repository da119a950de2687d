"""Reads the tensors of a legacy ``torch.save`` file without torch and without trusting it.

The file has the layout of torch before 1.6 (``torch/serialization.py``, ``_legacy_save``): three
small pickles (magic number, protocol, system facts), the state dict as a pickle whose tensors point
to numbered storages, the list of storages as a pickle, then each storage as an int64 count and its
raw bytes. A pickle can call any function that it names. This reader knows four names, which a
pickle cannot change, and refuses all others.
"""

import io
import math
import pickle
import pickletools
import warnings
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_DTYPES: dict[str, np.dtype[Any]] = {
    "FloatStorage": np.dtype("<f4"),
    "LongStorage": np.dtype("<i8"),
}
# Python allocates a table for the highest number that a pickle gives to an object, so eight bytes
# could claim all memory. A state dict numbers a handful of objects per tensor.
_MAX_MEMO = 1_000_000
# Errors that unpickling is documented to raise, and those that odd contents lead to.
_ODD = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, TypeError, ValueError),
    pickle.UnpicklingError,
)


@dataclass(frozen=True, slots=True)
class _Storage:
    """A numbered block of values; the values follow the pickle that refers to the block."""

    key: str
    dtype: np.dtype[Any]


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A view into a storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class _RebuildTensor:
    """Torch's ``_rebuild_tensor_v2``; it has no attributes, so a pickle cannot set any."""

    __slots__ = ()

    def __call__(self, storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> _Tensor:
        numbers = (offset, *shape, *stride)
        if not isinstance(storage, _Storage) or not all(type(n) is int for n in numbers):
            raise ModelError("The weight file describes a tensor by other things than numbers.")
        return _Tensor(storage, offset, tuple(shape), tuple(stride))


class _Unpickler(pickle.Unpickler):
    """Knows an ordered dict, a tensor and two kinds of storage; every other name is refused."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, encoding="latin-1")

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _RebuildTensor()
        if module == "torch" and name in _DTYPES:
            return name
        raise ModelError(f"The weight file asks for {module}.{name}: not a tensor; refused.")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, storage_type, key, *_ = pid
        if kind != "storage" or not isinstance(key, str):
            raise ModelError(f"The weight file refers to a {kind!r}, expected a storage.")
        return _Storage(key, _DTYPES[storage_type])


def read_state_dict(data: bytes) -> dict[str, NDArray[Any]]:
    """Return the tensors of a legacy torch file by name.

    Raises:
        ModelError: The file has another format, names other things than tensors, or is truncated.
    """
    file = io.BytesIO(data)
    try:
        if (_load(file), _load(file)) != (_MAGIC, _PROTOCOL):
            raise ModelError("Expected a torch weight file of the format before 1.6.")
        _load(file)  # byte order and integer sizes of the writer: little-endian since
        tensors = _tensors(_load(file))
        dtypes = {tensor.storage.key: tensor.storage.dtype for tensor in tensors.values()}
        storages = {key: _values(file, dtypes[key]) for key in _load(file)}
        return {name: _array(name, tensor, storages) for name, tensor in tensors.items()}
    except _ODD as exc:
        raise ModelError(f"The weight file is not a torch state dict: {exc}") from exc


def _load(file: io.BytesIO) -> Any:
    start = file.tell()
    with warnings.catch_warnings():
        # Python warns of odd escapes, which the names in a damaged file may hold.
        warnings.simplefilter("ignore", DeprecationWarning)
        for opcode, argument, _ in pickletools.genops(file):
            if opcode.name == "LONG_BINPUT" and int(argument or 0) > _MAX_MEMO:
                raise ModelError(f"The weight file numbers an object {argument}; refused.")
    file.seek(start)
    return _Unpickler(file).load()


def _tensors(state: Any) -> dict[str, _Tensor]:
    if not isinstance(state, OrderedDict) or not all(
        isinstance(name, str) and isinstance(tensor, _Tensor) for name, tensor in state.items()
    ):
        raise ModelError("The weight file holds something else than tensors by name.")
    return state


def _values(file: io.BytesIO, dtype: np.dtype[Any]) -> NDArray[Any]:
    count = int.from_bytes(file.read(8), "little")
    return np.frombuffer(file.read(count * dtype.itemsize), dtype, count)


def _array(name: str, tensor: _Tensor, storages: dict[str, NDArray[Any]]) -> NDArray[Any]:
    values = storages[tensor.storage.key]
    first, shape, stride = tensor.offset, tensor.shape, tensor.stride
    last = first + sum((extent - 1) * step for extent, step in zip(shape, stride, strict=True))
    # A stride of zero would make a huge tensor of a small storage.
    size = math.prod(shape)
    if min((first, *shape, *stride)) < 0 or max(last + 1, size) > len(values):
        raise ModelError(
            f"Tensor {name} of {shape}, strides {stride} from {first} does not fit into a storage "
            f"of {len(values)} values."
        )
    strides = [step * values.itemsize for step in stride]
    view = np.lib.stride_tricks.as_strided(values[first:], shape, strides, writeable=False)
    return np.ascontiguousarray(view).reshape(shape)
