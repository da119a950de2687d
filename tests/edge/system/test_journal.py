"""Entries of systemd's journal: fields to filter by, and nothing is lost without a journal."""

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.system.journal import JournalHandler

SHOWN = """
import logging
from edge.system.command_line import set_up_logging
set_up_logging(logging.INFO)
print(type(logging.getLogger().handlers[0]).__name__)
"""


def fields(entry: bytes) -> dict[str, str]:
    """Read an entry as the journal does (systemd.io, JOURNAL_NATIVE_PROTOCOL)."""
    found = {}
    while entry:
        line, _, rest = entry.partition(b"\n")
        if b"=" in line:
            name, _, value = line.partition(b"=")
            entry = rest
        else:
            name, size = line, int.from_bytes(rest[:8], "little")
            value, end, entry = rest[8 : 8 + size], rest[8 + size : 9 + size], rest[9 + size :]
            assert end == b"\n"
        found[name.decode()] = value.decode()
    return found


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[socket.socket]:
    """A socket in the place of the journal's."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "journal"))
        sock.settimeout(5)
        yield sock


@pytest.fixture
def log(tmp_path: Path) -> Iterator[logging.Logger]:
    handler = JournalHandler(str(tmp_path / "journal"))
    logger = logging.getLogger("test.journal")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(handler)
    yield logger
    logger.removeHandler(handler)
    handler.close()


@pytest.mark.parametrize(
    ("level", "priority"), [("info", "6"), ("warning", "4"), ("error", "3"), ("debug", "7")]
)
def test_an_entry_has_the_priority_of_its_level(
    journal: socket.socket, log: logging.Logger, level: str, priority: str
) -> None:
    getattr(log, level)("all is %s", "well")
    assert fields(journal.recv(10_000)) == {
        "MESSAGE": "all is well",
        "PRIORITY": priority,
        "SYSLOG_IDENTIFIER": "edge",
        "LOGGER": "test.journal",
    }


def test_camera_rule_and_alert_are_fields(journal: socket.socket, log: logging.Logger) -> None:
    log.info("alert", extra={"camera": "yard", "rule": "cat", "alert": "01A"})
    found = fields(journal.recv(10_000))
    assert (found["CAMERA"], found["RULE"], found["ALERT"]) == ("yard", "cat", "01A")
    logging.LoggerAdapter(log, {"camera": "gate"}).warning("lost")
    found = fields(journal.recv(10_000))
    assert (found["CAMERA"], "RULE" in found) == ("gate", False)


def test_a_traceback_is_one_entry(journal: socket.socket, log: logging.Logger) -> None:
    def fail() -> None:
        raise RuntimeError("MESSAGE=forged\nPRIORITY=0")

    try:
        fail()
    except RuntimeError:
        log.exception("a defect")
    found = fields(journal.recv(10_000))
    assert found["MESSAGE"].startswith("a defect\nTraceback")
    assert found["MESSAGE"].endswith("MESSAGE=forged\nPRIORITY=0")
    assert found["PRIORITY"] == "3"


def test_an_entry_that_is_too_long_arrives_cut(journal: socket.socket, log: logging.Logger) -> None:
    log.info("x" * 5_000_000)
    assert set(fields(journal.recv(1_000_000))["MESSAGE"]) == {"x"}


def test_what_no_journal_takes_goes_to_stderr(
    log: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    log.info("all is well")
    assert capsys.readouterr().err == "INFO all is well\n"


@pytest.mark.parametrize(("ours", "handler"), [(True, "JournalHandler"), (False, "StreamHandler")])
def test_the_journal_is_used_where_systemd_has_connected_it(
    tmp_path: Path, *, ours: bool, handler: str
) -> None:
    with (tmp_path / "stderr").open("w") as stderr:
        found = os.fstat(stderr.fileno())
        stream = f"{found.st_dev}:{found.st_ino + (not ours)}"
        done = subprocess.run(
            [sys.executable, "-c", SHOWN],
            env=os.environ | {"JOURNAL_STREAM": stream},
            stdout=subprocess.PIPE, stderr=stderr, text=True, check=True,
        )  # fmt: skip
    assert done.stdout == f"{handler}\n"
