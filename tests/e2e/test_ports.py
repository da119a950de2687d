"""The daemon opens connections and takes none: there is nothing to attack from outside."""

import contextlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge.testing import TestCamera
from edge.testing.synthetic import write_clip

LISTENS = "0A"  # the state in /proc/net/tcp


def listening(pid: int) -> list[str]:
    """Return the local addresses at which a process listens; UDP has no such state, so all count."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            inodes |= set(re.findall(r"socket:\[(\d+)\]", str(descriptor.readlink())))
    found = []
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            _, address, _, state, *_, inode = line.split()[:10]
            if inode in inodes and (state == LISTENS or table.startswith("udp")):
                found.append(f"{table} {address}")
    return found


@pytest.mark.broker
def test_no_port_is_open(
    small_bundle: Path,
    tmp_path: Path,
    run_daemon: Callable[..., Any],
    broker: Any,
    listen: Callable[..., Any],
    eventually: Callable[..., Any],
) -> None:
    listener = listen(broker.port)
    clip = write_clip(tmp_path / "moving.mp4", fps=10, seconds=2)
    with TestCamera({"yard": clip}) as camera:
        daemon = run_daemon(
            bundle=str(small_bundle),
            mqtt={"host": "127.0.0.1", "port": broker.port},
            prompts={"cat": {"text": "a cat", "negatives": "something quite different"}},
            cameras={"yard": {"url": camera.url("yard")}},
            index={"enabled": True},
            homeassistant={"discovery": True},
        )
        eventually(lambda: listener.payloads("/yard/state"), "the daemon at work")
        assert listening(daemon.process.pid) == []
        # The control: this process has the test camera.
        assert f"tcp 0100007F:{camera.port:04X}" in listening(os.getpid())
