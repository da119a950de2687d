"""Sends the daemon's state to systemd by sd_notify(3), without libsystemd."""

import os
import socket


def notify(state: str) -> bool:
    """Send a state such as ``READY=1``, ``WATCHDOG=1``, ``STOPPING=1`` or ``STATUS=text``.

    Returns:
        Whether a service manager received the state. A missing manager is not an error.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in {"/", "@"}:
        return False
    # "@" stands for the zero byte at the start of an abstract socket's name.
    name = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.sendto(state.encode(), name)
        except OSError:
            return False
    return True


def watchdog_interval() -> float | None:
    """Seconds between two ``WATCHDOG=1``: half of what systemd allows; None without a watchdog."""
    allowed = os.environ.get("WATCHDOG_USEC", "")
    meant_for = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    if not allowed.isdecimal() or int(allowed) == 0 or meant_for != str(os.getpid()):
        return None
    return int(allowed) / 2_000_000
