"""Reads the tensors of a legacy ``torch.save`` file without torch and without trusting it.

The layout is that of torch before 1.6 (``torch/serialization.py``, ``_legacy_save``): three small
pickles (magic number, protocol, system facts), the state dict as a pickle whose tensors point to
numbered storages, the list of storages as a pickle, then each storage as an int64 count and its raw
bytes. A pickle can call any function it names; this reader knows four names and refuses the rest.
"""

import io
import pickle
from collections import OrderedDict
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


class _Storage:
    """A numbered run of numbers, filled in after the pickle that refers to it was read."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self.values: NDArray[Any] = np.empty(0, dtype)


class _Tensor:
    """A view into a storage: what torch's ``_rebuild_tensor_v2`` would make."""

    def __init__(
        self,
        storage: _Storage,
        offset: int,
        shape: tuple[int, ...],
        stride: tuple[int, ...],
        *_: Any,
    ) -> None:
        self._storage, self._offset, self._shape, self._stride = storage, offset, shape, stride

    def array(self, name: str) -> NDArray[Any]:
        values = self._storage.values
        last = self._offset + sum(
            (extent - 1) * step for extent, step in zip(self._shape, self._stride, strict=True)
        )
        if self._offset < 0 or min(self._stride, default=0) < 0 or last >= len(values):
            raise ModelError(f"Tensor {name} reaches value {last} of a storage of {len(values)}.")
        strides = [step * values.itemsize for step in self._stride]
        view = np.lib.stride_tricks.as_strided(
            values[self._offset :], self._shape, strides, writeable=False
        )
        return np.ascontiguousarray(view)


class _Unpickler(pickle.Unpickler):
    """Knows an ordered dict, a tensor and two kinds of storage; every other name is refused."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, encoding="latin-1")
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Tensor
        if module == "torch" and name in _DTYPES:
            return name
        raise ModelError(f"The weight file asks for {module}.{name}: not a tensor; refused.")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, storage_type, key, *_ = pid
        if kind != "storage":
            raise ModelError(f"The weight file refers to a {kind!r}, expected a storage.")
        return self.storages.setdefault(key, _Storage(_DTYPES[storage_type]))


def read_state_dict(data: bytes) -> dict[str, NDArray[Any]]:
    """Return the tensors of a legacy torch file by name.

    Raises:
        ModelError: Another format, another name inside than a tensor's, or a truncated file.
    """
    file = io.BytesIO(data)
    try:
        magic, protocol = _Unpickler(file).load(), _Unpickler(file).load()
        if magic != _MAGIC or protocol != _PROTOCOL:
            raise ModelError("Expected a torch weight file of the format before 1.6.")
        _Unpickler(file).load()  # byte order and integer sizes of the writer: little-endian since
        reader = _Unpickler(file)
        state = reader.load()
        for key in _Unpickler(file).load():
            storage = reader.storages[key]
            count = int.from_bytes(file.read(8), "little")
            raw = file.read(count * storage.dtype.itemsize)
            storage.values = np.frombuffer(raw, storage.dtype, count)
    except (pickle.UnpicklingError, EOFError, KeyError, ValueError, IndexError, TypeError) as exc:
        raise ModelError(f"The weight file is not a torch state dict: {exc}") from exc
    return {name: tensor.array(name) for name, tensor in state.items()}
