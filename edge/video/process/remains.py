"""Processes of cameras that the daemon has let go of before they had ended.

The server that would have said so is gone, or nothing ends them: a process that waits in the kernel
takes no signal. Where the daemon is the first process of a container the kernel gives it those of a
server that is gone, and they stay as zombies until it asks how they ended.
"""

import os
import select
from contextlib import suppress


class Remains:
    """Keeps their descriptors until they have ended. The supervisor's thread alone uses it."""

    def __init__(self) -> None:
        self._kept: list[tuple[str, int]] = []

    def keep(self, camera: str, fd: int) -> None:
        """Take over the descriptor of a process of a camera."""
        self._kept.append((camera, fd))

    def has(self, camera: str) -> bool:
        """Whether a process of the camera is left."""
        return any(name == camera for name, _ in self._kept)

    def clear_up(self) -> None:
        """Let go of those that have ended."""
        self._kept = [(camera, fd) for camera, fd in self._kept if not _has_gone(fd)]


def _has_gone(fd: int) -> bool:
    """Whether a process has ended; its descriptor is closed then."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    if not poll.poll(0):
        return False
    with suppress(ChildProcessError):  # it is another one's child
        os.waitid(os.P_PIDFD, fd, os.WEXITED | os.WNOHANG)
    os.close(fd)
    return True
