"""Ends another thread's poll of sockets."""

import contextlib
import socket


class SocketWake:
    """A socket that becomes readable when a thread wants to wake the one that polls it."""

    def __init__(self) -> None:
        self._here, self._there = socket.socketpair()
        self._here.setblocking(False)
        self._there.setblocking(False)

    def fileno(self) -> int:
        return self._here.fileno()

    def set(self) -> None:
        """Wake the polling thread; may be called from any thread."""
        with contextlib.suppress(OSError):  # full: it wakes anyway; closed: no thread waits
            self._there.send(b"\0")

    def clear(self) -> bool:
        """Reset the wake; return whether it was set."""
        try:
            return bool(self._here.recv(4096))
        except BlockingIOError:
            return False

    def close(self) -> None:
        self._here.close()
        self._there.close()
