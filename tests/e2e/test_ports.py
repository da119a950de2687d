"""The daemon opens connections and takes none: there is nothing to attack from outside."""

import contextlib
import os
import re
from pathlib import Path

import pytest
from running_box import Box

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
def test_no_port_is_open(box: Box) -> None:
    daemon = box.start(index={"enabled": True}, homeassistant={"discovery": True})
    box.eventually(lambda: box.heard("yard/state"), "the daemon at work")
    assert listening(daemon.process.pid) == []
    # The control: this process has the test camera.
    assert f"tcp 0100007F:{box.camera.port:04X}" in listening(os.getpid())
