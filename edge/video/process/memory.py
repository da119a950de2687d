"""Defines the memory that a camera's process shares with the daemon: slots, and one answer.

It has no name in the file system, so nothing of it is left when its processes end. The daemon makes
it and forbids that it shrinks, or else a process could end the daemon by cutting it off.

Neither side locks it. A slot belongs to one side at a time: the camera's process announces it by a
record, and the daemon gives it back by one. What was never announced is never read.
"""

import fcntl
import mmap
import os
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.model.bundle.manifest import ImageSpec
from edge.video.space import Space, shape_of

SLOTS: Final = 4
"""One is the loop's, one waits for it, one is written; one more, as giving back takes a moment."""
ANSWER_BYTES: Final = 16 * 1024 * 1024
"""Room for one answer. What is never written takes no memory."""
_PAGE: Final = mmap.PAGESIZE
_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class Layout:
    """Says what lies where.

    Args:
        image: Pixels of a sample.
        clip: Pixels of a sample for a clip model; None without one.
    """

    def __init__(self, image: ImageSpec, clip: ImageSpec | None) -> None:
        self._shapes = [shape_of(spec) for spec in (image, clip) if spec is not None]
        self._slot_bytes = _pages(sum(map(_bytes, self._shapes)))
        self._answer_at = SLOTS * self._slot_bytes
        self.total_bytes: Final = self._answer_at + ANSWER_BYTES

    def create(self) -> int:
        """Make the memory; return its file descriptor.

        Raises:
            OSError: The kernel gives none.
        """
        fd = os.memfd_create("camera", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(fd, self.total_bytes)
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
        except OSError:
            os.close(fd)
            raise
        return fd

    def map(self, fd: int, *, writable: bool) -> "SharedMemory":
        """Map the memory into this process."""
        prot = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        return SharedMemory(mmap.mmap(fd, self.total_bytes, prot=prot), self)

    def spaces(self, mapped: mmap.mmap) -> list[Space]:
        """Views into the slots."""
        found = []
        for number in range(SLOTS):
            at, arrays = number * self._slot_bytes, []
            for shape in self._shapes:
                flat = np.frombuffer(mapped, np.int8, _bytes(shape), at)
                arrays.append(flat.reshape(shape))
                at += _bytes(shape)
            found.append(Space(arrays[0], arrays[1] if len(arrays) > 1 else None))
        return found

    def answer(self, mapped: mmap.mmap) -> NDArray[np.uint8]:
        """View of the answer."""
        return np.frombuffer(mapped, np.uint8, ANSWER_BYTES, self._answer_at)


class SharedMemory:
    """The mapped memory. It stays mapped for as long as anybody has a view of it.

    Attributes:
        slots: Views into the slots.
        answer: View of the answer, uint8.
    """

    def __init__(self, mapped: mmap.mmap, layout: Layout) -> None:
        self.slots: Final = layout.spaces(mapped)
        self.answer: Final = layout.answer(mapped)


def _bytes(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape))


def _pages(size: int) -> int:
    return -(-size // _PAGE) * _PAGE
