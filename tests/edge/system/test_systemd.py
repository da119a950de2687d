import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.system.systemd import notify, watchdog_interval


@pytest.fixture(params=["path", "abstract"])
def manager(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """A socket in the place of systemd's."""
    shown = str(tmp_path / "notify") if request.param == "path" else f"@{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(shown.replace("@", "\0"))
        sock.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", shown)
        yield sock


def test_the_manager_hears_each_state(manager: socket.socket) -> None:
    assert notify("READY=1")
    assert notify("STATUS=3 cameras")
    assert [manager.recv(100), manager.recv(100)] == [b"READY=1", b"STATUS=3 cameras"]


@pytest.mark.parametrize("address", [None, "", "relative/path", "/nowhere/notify"])
def test_without_a_manager_nothing_happens(
    monkeypatch: pytest.MonkeyPatch, address: str | None
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if address is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert not notify("READY=1")


@pytest.mark.parametrize(
    ("allowed", "process", "interval"),
    [
        ("10000000", None, 5.0),
        pytest.param("10000000", os.getpid(), 5.0, id="this process"),
        pytest.param("10000000", os.getpid() + 1, None, id="another process"),
        ("0", None, None),
        ("soon", None, None),
        (None, None, None),
    ],
)
def test_the_watchdog_is_fed_twice_as_often_as_it_bites(
    monkeypatch: pytest.MonkeyPatch,
    allowed: str | None,
    process: int | None,
    interval: float | None,
) -> None:
    for name, value in (("WATCHDOG_USEC", allowed), ("WATCHDOG_PID", process)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, str(value))
    assert watchdog_interval() == interval
