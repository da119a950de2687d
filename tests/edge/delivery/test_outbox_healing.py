"""What breaks the outbox's file is over when its cause is over, and loses nothing stored."""

import contextlib
import errno
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from publishing import MakeMessage

from edge.delivery import outbox_file, outbox_repair, outbox_store
from edge.delivery.outbox import Outbox
from edge.errors import OutboxError, SideFileError

MB = 1024 * 1024


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


@pytest.fixture
def box(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Outbox]:
    monkeypatch.setattr(outbox_store, "_RETRY_S", 0.0)
    with contextlib.closing(Outbox(path, 64 * MB)) as box:
        yield box


def payloads(box: Outbox) -> list[bytes]:
    return [queued.message.payload for queued in box.pending(10_000)]


def damaged(path: Path, message: MakeMessage, number: int = 300) -> Path:
    """An outbox with one broken page, as a bad sector leaves it."""
    with contextlib.closing(Outbox(path, 8 * MB)) as box:
        box.put([message("alert", b"%04d" % n + b"." * 700) for n in range(number)])
    content = bytearray(path.read_bytes())
    content[40 * 4096 : 41 * 4096] = b"\xaa" * 4096
    path.write_bytes(content)
    return path


def refuse(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("step", ["insert", "set_aside", "sync_folder"])
def test_a_repair_that_failed_is_tried_again_and_loses_nothing(
    path: Path, message: MakeMessage, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    damaged(path, message)
    content = path.read_bytes()
    with monkeypatch.context() as broken:
        broken.setattr(outbox_repair, step, refuse)
        Outbox(path, 8 * MB).close()
    with contextlib.closing(Outbox(path, 8 * MB)) as again:
        assert 290 <= len(payloads(again)) < 300
        again.put([message("alert", b"new")])
        assert payloads(again)[-1] == b"new"
    (aside,) = path.parent.glob("outbox-corrupt-*.db")
    assert aside.read_bytes() == content
    names = {file.name for file in path.parent.iterdir()}
    assert names == {"outbox.db", "outbox.reserve", aside.name}


def test_a_crash_between_the_steps_of_a_repair_loses_nothing(
    path: Path, message: MakeMessage
) -> None:
    damaged(path, message)
    path.rename(path.with_name("outbox-corrupt-1.db"))  # as far as it came
    with contextlib.closing(Outbox(path.with_name("outbox-repaired.db"), MB)) as repaired:
        repaired.put([message("alert", b"saved")])
    path.with_name("outbox.db-wal").write_bytes(b"of the damaged file")
    with contextlib.closing(Outbox(path, 8 * MB)) as box:
        assert payloads(box) == [b"saved"]
    assert path.with_name("outbox-corrupt-1.db").exists()


def test_a_running_outbox_is_not_closed_for_ever_by_a_repair_that_failed(
    box: Outbox, path: Path, message: MakeMessage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for start in range(0, 8000, 1000):  # more than SQLite's cache holds
        rows = range(start, start + 1000)
        box.put([message("alert", b"%04d" % number + b"." * 700) for number in rows])
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(b"\xaa" * (size // 4))
    with monkeypatch.context() as broken:
        broken.setattr(outbox_repair, "insert", refuse)
        for _ in range(2):
            with pytest.raises(OutboxError, match="No space left"):
                box.pending(10_000)
        assert "No space left" in str(box.error)
        with pytest.raises(SideFileError):
            box.flush()
    box.flush()
    assert box.error is None
    assert len(payloads(box)) >= 5000
    assert box.counts().damaged == 1
    box.put([message("alert", b"new")])
    assert payloads(box)[-1] == b"new"


@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_FSYNC])
def test_an_error_of_the_disk_is_over_when_the_disk_answers_again(
    box: Outbox, message: MakeMessage, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    box.put([message("alert", b"before")])
    with monkeypatch.context() as broken:
        broken.setattr("edge.delivery.outbox.insert", failing(code))
        with pytest.raises(OutboxError, match="disk I/O error"):
            box.put([message("alert", b"lost")])
    assert "disk I/O error" in str(box.error)
    box.flush()
    assert str(box.error) == "None"
    box.put([message("alert", b"after")])
    assert payloads(box) == [b"before", b"after"]
    assert box.counts().damaged == 0


@pytest.mark.parametrize("folder", [False, True])
def test_a_file_that_is_removed_under_it_is_written_anew_with_all_that_it_had(
    tmp_path: Path,
    message: MakeMessage,
    caplog: pytest.LogCaptureFixture,
    folder: bool,
) -> None:
    path = tmp_path / "state" / "outbox.db"
    with contextlib.closing(Outbox(path, 8 * MB)) as box:
        box.put([message("alert", number) for number in range(3)])
        if folder:
            shutil.rmtree(path.parent)
        else:
            path.unlink()
        box.put([message("alert", 3)])
        assert caplog.text.count("it is written anew") == 1
        # What a kill -9 now would leave.
        left = shutil.copytree(path.parent, tmp_path / "copy") / path.name
        box.flush()
        assert path.with_suffix(".reserve").exists()
    for file in (left, path):
        with contextlib.closing(Outbox(file, 8 * MB)) as again:
            assert payloads(again) == [b"0", b"1", b"2", b"3"]


def test_what_a_bad_sector_held_is_given_up_for_what_it_did_not_hold(
    box: Outbox, message: MakeMessage, monkeypatch: pytest.MonkeyPatch
) -> None:
    box.put([message("alert", b"before")])
    select = Outbox._select
    failures = [sqlite3.SQLITE_IOERR_READ]

    def once(*arguments: Any) -> Any:
        if failures:
            failing(failures.pop())()
        return select(*arguments)

    monkeypatch.setattr(Outbox, "_select", once)
    assert payloads(box) == [b"before"]
    assert box.counts().damaged == 1


def test_damage_that_making_room_meets_is_repaired(
    box: Outbox, message: MakeMessage, monkeypatch: pytest.MonkeyPatch
) -> None:
    box.put([message("alert", b"before")])
    full, damage = sqlite3.OperationalError("full"), sqlite3.DatabaseError("malformed")
    full.sqlite_errorcode, damage.sqlite_errorcode = sqlite3.SQLITE_FULL, sqlite3.SQLITE_CORRUPT
    errors: list[sqlite3.Error] = [full]

    def insert(*arguments: Any) -> None:
        if errors:
            raise errors.pop()
        outbox_file.insert(*arguments)

    def shorten(_: sqlite3.Connection) -> None:
        raise damage

    with monkeypatch.context() as broken:
        broken.setattr("edge.delivery.outbox.insert", insert)
        broken.setattr(outbox_store, "_shorten_log", shorten)
        box.put([message("alert", b"after")])
    assert payloads(box) == [b"before", b"after"]
    assert box.counts().damaged == 1
    assert box.error is None


def failing(code: int) -> Callable[..., None]:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = code

    def fail(*_: Any) -> None:
        raise error

    return fail


def test_what_nobody_could_store_is_counted_for_good(
    box: Outbox, path: Path, message: MakeMessage
) -> None:
    box.lose([message("snapshot", b"x"), message("snapshot", b"y"), message("embedding", b"z")])
    expected = {"alert": 0, "snapshot": 2, "embedding": 1}
    assert box.counts().dropped == expected
    box.put([message("alert", b"new")])
    assert box.counts().dropped == expected
    box.close()
    with contextlib.closing(Outbox(path, MB)) as again:
        assert again.counts().dropped == expected


FULL_AT_THE_START = """
    import pathlib, sys, time
    from edge.delivery import outbox_store
    from edge.delivery.message import Message
    from edge.delivery.outbox import Outbox
    from edge.errors import OutboxError, SideFileError

    def troubled():
        try:
            box.flush()
        except SideFileError as error:
            return error.trouble
        return None

    disk = pathlib.Path(sys.argv[1])
    other = (disk / "other").open("wb", buffering=0)
    try:
        while other.write(b"x" * 4096):
            pass
    except OSError:
        pass
    box = Outbox(disk / "state" / "outbox.db", 1 << 20)
    alert = Message("t", b"a", "alert", "c", 1, False, "x")
    try:
        box.put([alert])
        print("stored")
    except OutboxError:
        print("not stored")
    print("full:", troubled() is not None, box.error is not None)

    other.close()
    (disk / "other").unlink()
    began = time.monotonic()
    while troubled() and time.monotonic() < began + 10:
        time.sleep(0.1)
    print("soon:", time.monotonic() - began < 5)
    box.put([alert])
    print("then", len(box.pending(10)), (disk / "state" / "outbox.reserve").exists(), box.error)

    # With a running outbox, before anything is to be stored:
    other = (disk / "other").open("wb", buffering=0)
    try:
        while other.write(b"x" * 4096):
            pass
    except OSError:
        pass
    print("full again:", troubled())
    other.close()
    (disk / "other").unlink()
    print("room again:", troubled())
"""


def test_it_starts_on_a_full_disk_says_so_and_is_back_soon_after(small_disk: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FULL_AT_THE_START), small_disk],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == [
        "not stored",
        "full: True True",
        "soon: True",
        "then 1 True None",
        "full again: full",
        "room again: None",
    ]
    assert "alerts go out from memory until there is room" in run.stderr
