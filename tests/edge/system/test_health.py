"""Who answers on the socket of a daemon's health, and who does not."""

import contextlib
import os
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from patience import Eventually

from edge.system.health import SOCKET, DaemonHealth, HealthSocket, ask, open_socket

WELL = DaemonHealth(healthy=True, model="int8 on a double", proven_s=1.0, uptime_s=1.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A path that is longer than an address of a socket may be."""
    folder = tmp_path / ("a" * 120)
    folder.mkdir()
    return folder / SOCKET


@contextlib.contextmanager
def answering(path: Path) -> Iterator[None]:
    """A loop that answers again and again."""
    ended = threading.Event()
    with contextlib.closing(HealthSocket(path)) as health:

        def loop() -> None:
            while not ended.wait(0.01):
                health.answer(lambda: WELL)

        thread = threading.Thread(target=loop)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def test_a_loop_that_goes_on_answers(path: Path) -> None:
    with answering(path):
        assert ask(path) == WELL
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()


def test_one_that_asks_and_goes_away_holds_nobody_up(path: Path) -> None:
    with contextlib.closing(HealthSocket(path)):
        for _ in range(40):  # more than wait in line: nobody answers them
            assert not ask(path, patience_s=0.001).healthy
        assert "stuck" in str(ask(path, patience_s=0.001).problem)
    with answering(path):
        assert ask(path) == WELL


def test_what_a_dead_daemon_left_is_no_answer(path: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    folder = os.open(path.parent, os.O_PATH)
    left.bind(f"/proc/self/fd/{folder}/{path.name}")
    left.listen()
    os.close(folder)
    left.close()  # a killed process removes no file
    assert path.exists()
    assert "no daemon runs here" in str(ask(path).problem)
    with answering(path):  # the next daemon takes its place
        assert ask(path).healthy


@pytest.mark.parametrize("said", [b"", b'{"healthy": tr', b"hello"])
def test_an_answer_that_is_cut_off_is_none(path: Path, said: bytes, eventually: Eventually) -> None:
    health = HealthSocket(path)
    found: list[DaemonHealth] = []
    asker = threading.Thread(target=lambda: found.append(ask(path)))
    asker.start()

    def hang_up() -> bool:
        with contextlib.suppress(BlockingIOError):
            conn, _ = health._socket.accept()
            conn.send(said)
            conn.close()
            return True
        return False

    eventually(hang_up, "somebody asks")
    asker.join()
    health.close()
    assert not found[0].healthy
    assert "ended without an answer" in str(found[0].problem)


def test_a_file_system_without_sockets_costs_the_answer_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert open_socket(tmp_path / "no folder" / SOCKET) is None
    assert "`edge health` will find no daemon" in caplog.text
    assert "no daemon runs here" in str(ask(tmp_path / "no folder" / SOCKET).problem)
