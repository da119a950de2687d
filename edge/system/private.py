"""Keeps what the process knows to itself: files that it makes, and its memory after a crash."""

import os
import resource


def keep_to_ourselves() -> None:
    """Let no other user read files that this process makes, and let the kernel write no core dump.

    The state folder holds what cameras saw, and a core dump would hold the passwords of cameras and
    broker. Both hold for child processes too.
    """
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
