"""Host memory behind the calls of pycuda's driver that the engine uses.

It is strict where CUDA would fail in silence: a call without a current context, memory that was
freed, a copy that is too long. What is asynchronous is put off until the stream is synchronized.
What tests set or look at begins with an underscore.
"""

import itertools
import threading
from collections.abc import Callable

import numpy as np

_gpus: list[tuple[str, tuple[int, int]]] = [("Orin", (8, 7))]
_memory: dict[int, np.ndarray] = {}
_fail: str | None = None  # the message of the next copy's failure
_is_started = False
_stacks = threading.local()
_addresses = itertools.count(0x7F00_0000_0000, 1 << 32)


class Error(Exception):
    pass


class LogicError(Error):
    pass


class MemoryError(Error):  # noqa: A001 - its name in pycuda
    pass


def init() -> None:
    global _is_started  # noqa: PLW0603 - so it is in CUDA
    if not _gpus:
        raise LogicError("cuInit failed: no CUDA-capable device is detected")
    _is_started = True


class Device:
    def __init__(self, ordinal: int) -> None:
        self._ordinal = ordinal
        self._name, self._capability = _gpus[ordinal]

    @staticmethod
    def count() -> int:
        if not _is_started:
            raise LogicError("cuDeviceGetCount failed: initialization error")
        return len(_gpus)

    def name(self) -> str:
        return self._name

    def compute_capability(self) -> tuple[int, int]:
        return self._capability

    def retain_primary_context(self) -> "Context":
        return Context(self._ordinal)


class Context:
    def __init__(self, ordinal: int) -> None:
        self._ordinal = ordinal

    def push(self) -> None:
        _stack().append(self)

    @staticmethod
    def pop() -> None:
        _current()
        _stack().pop()


class Stream:
    def __init__(self) -> None:
        _current()
        self._queue: list[Callable[[], None]] = []
        self.handle = id(self)
        _streams[self.handle] = self

    def synchronize(self) -> None:
        _current()
        queue, self._queue = self._queue, []
        for step in queue:
            step()


_streams: dict[int, Stream] = {}


class DeviceAllocation:
    def __init__(self, address: int) -> None:
        self._address = address

    def __int__(self) -> int:
        return self._address

    def free(self) -> None:
        _current()
        del _memory[self._address]


def mem_alloc(size: int) -> DeviceAllocation:
    _current()
    address = next(_addresses)
    _memory[address] = np.full(size, 0xA5, np.uint8)
    return DeviceAllocation(address)


def memcpy_htod_async(target: DeviceAllocation, source: np.ndarray, stream: Stream) -> None:
    _copy()
    data = np.frombuffer(source.tobytes(), np.uint8)

    def step() -> None:
        _block(int(target), data.size)[:] = data

    stream._queue.append(step)


def memcpy_dtoh_async(target: np.ndarray, source: DeviceAllocation, stream: Stream) -> None:
    _copy()

    def step() -> None:
        target.reshape(-1).view(np.uint8)[:] = _block(int(source), target.nbytes)

    stream._queue.append(step)


def _copy() -> None:
    global _fail
    _current()
    if _fail:
        message, _fail = _fail, None
        raise LogicError(message)


def _block(address: int, size: int) -> np.ndarray:
    if address not in _memory or size > _memory[address].size:
        raise LogicError("an illegal memory access was encountered")
    return _memory[address][:size]


def _stack() -> list[Context]:
    if not hasattr(_stacks, "contexts"):
        _stacks.contexts = []
    contexts: list[Context] = _stacks.contexts
    return contexts


def _current() -> Context:
    if not _stack():
        raise LogicError("invalid device context")
    return _stack()[-1]
