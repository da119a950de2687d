"""Disks that break and disks that are full."""

import contextlib
import os
import random
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path
from zlib import crc32

import cbor2
import pytest
from publishing import MakeMessage

from edge.delivery.outbox import Outbox
from edge.delivery.outbox_file import pack, unpack
from edge.errors import OutboxError

MB = 1024 * 1024


def filled(path: Path, message: MakeMessage, number: int = 300) -> Path:
    with contextlib.closing(Outbox(path, 8 * MB)) as box:
        box.put([message("alert", b"%04d" % n + b"." * 700) for n in range(number)])
    return path


def numbers(outbox: Outbox) -> list[int]:
    return [int(queued.message.payload[:4]) for queued in outbox.pending(10_000)]


def works(outbox: Outbox, message: MakeMessage) -> bool:
    """It still does all that an outbox does."""
    outbox.put([message("alert", b"9999")])
    queued = outbox.pending(10_000)
    assert queued[-1].message.payload == b"9999"
    outbox.delete([row.seq for row in queued])
    return outbox.counts().queued["alert"] == 0


def test_a_file_that_is_no_database_is_set_aside(
    tmp_path: Path, message: MakeMessage, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "outbox.db"
    path.write_bytes(b"not a database at all" * 500)
    with contextlib.closing(Outbox(path, MB)) as box:
        assert box.counts().damaged == 1
        assert works(box, message)
    (aside,) = tmp_path.glob("outbox-corrupt-*.db")
    assert aside.read_bytes().startswith(b"not a database")
    assert aside.name in caplog.text


def test_another_programs_database_is_set_aside(tmp_path: Path, message: MakeMessage) -> None:
    path = tmp_path / "outbox.db"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE theirs (x)")
    with contextlib.closing(Outbox(path, MB)) as box:
        assert works(box, message)
    assert len(list(tmp_path.glob("outbox-corrupt-*.db"))) == 1


def test_a_broken_page_costs_only_the_messages_on_it(
    tmp_path: Path, message: MakeMessage, caplog: pytest.LogCaptureFixture
) -> None:
    path = filled(tmp_path / "outbox.db", message)
    damaged = bytearray(path.read_bytes())
    damaged[40 * 4096 : 41 * 4096] = random.Random(1).randbytes(4096)
    path.write_bytes(damaged)
    with contextlib.closing(Outbox(path, 8 * MB)) as box:
        left = numbers(box)
        assert box.counts().damaged == 1
        assert works(box, message)
    assert left == sorted(left)
    # Rows lie five to a page.
    assert 290 <= len(left) < 300
    assert f"{len(left)} messages moved to a new one" in caplog.text


def test_a_flipped_bit_inside_a_message_is_noticed_and_counted(
    tmp_path: Path, message: MakeMessage
) -> None:
    path = filled(tmp_path / "outbox.db", message, number=10)
    damaged = bytearray(path.read_bytes())
    at = damaged.index(b"0004" + b"." * 100)
    damaged[at + 50] ^= 0x10
    path.write_bytes(damaged)
    with contextlib.closing(Outbox(path, MB)) as box:
        assert numbers(box) == [0, 1, 2, 3, 5, 6, 7, 8, 9]
        assert box.counts().dropped["alert"] == 1


def test_damage_while_running_is_healed_and_numbers_stay_unique(
    tmp_path: Path, message: MakeMessage
) -> None:
    path = tmp_path / "outbox.db"
    with contextlib.closing(Outbox(path, 64 * MB)) as box:
        # More than SQLite's page cache holds, so that it must read the file again.
        for start in range(0, 8000, 1000):
            rows = range(start, start + 1000)
            box.put([message("alert", b"%04d" % number + b"." * 700) for number in rows])
        first = box.pending(1)[0].seq
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.seek(size // 2)
            file.write(b"\xaa" * (size // 4))
        left = box.pending(20_000)
        assert box.counts().damaged == 1
        # A quarter of the pages are gone; feeling for the next sound one costs a part of that again.
        assert 5000 <= len(left) <= 6100
        assert all(int(row.message.payload[:4]) == row.seq - first for row in left)
        box.put([message("alert", b"9999")])
        assert box.pending(20_000)[-1].seq == first + 8000


SEED = int(os.environ.get("EDGE_SEED", "0"))
DAMAGES = int(os.environ.get("EDGE_DAMAGES", "40"))


@pytest.mark.parametrize("seed", range(SEED, SEED + DAMAGES))
def test_no_damage_prevents_a_start(tmp_path: Path, message: MakeMessage, seed: int) -> None:
    chance = random.Random(seed)
    path = filled(tmp_path / "outbox.db", message, number=100)
    damaged = bytearray(path.read_bytes())
    for _ in range(chance.choice([1, 3, 30])):
        at = chance.randrange(len(damaged))
        damaged[at : at + chance.choice([1, 16, 4096])] = chance.randbytes(1)
    if chance.random() < 0.3:
        del damaged[chance.randrange(len(damaged)) :]
    path.write_bytes(damaged)
    if chance.random() < 0.5:
        (tmp_path / "outbox.db-wal").write_bytes(chance.randbytes(chance.randrange(10_000)))
    for _ in range(2):
        with contextlib.closing(Outbox(path, 8 * MB)) as box:
            left = numbers(box)
            assert left == sorted(set(left))
            assert works(box, message)


@pytest.mark.parametrize(("at", "byte"), [(18, 7), (19, 7), (60, 0x40)])
def test_a_damaged_header_is_no_newer_version_and_no_failing_disk(
    tmp_path: Path, message: MakeMessage, at: int, byte: int
) -> None:
    path = filled(tmp_path / "outbox.db", message, number=10)
    damaged = bytearray(path.read_bytes())
    damaged[at] = byte
    path.write_bytes(damaged)
    with contextlib.closing(Outbox(path, MB)) as box:
        assert works(box, message)


def test_only_the_newest_damaged_file_is_kept(tmp_path: Path) -> None:
    for _ in range(3):
        (tmp_path / "outbox.db").write_bytes(b"junk" * 1000)
        Outbox(tmp_path / "outbox.db", MB).close()
    assert len(list(tmp_path.glob("outbox-corrupt-*.db"))) == 1


FILL_THE_DISK = """
    import pathlib, sys
    from edge.errors import OutboxError
    from edge.delivery.outbox import Outbox
    from edge.delivery.payloads import Message

    disk = pathlib.Path(sys.argv[1])
    box = Outbox(disk / "outbox.db", 64 * 1024 * 1024)

    def message(kind, body):
        return Message("t", body, kind, "c", 1, False, "x")

    # 1: embeddings and alerts, four times what the disk holds.
    for number in range(4000):
        box.put([message("embedding", b"e" * 2000)])
        if number % 100 == 0:
            box.put([message("alert", b"%d" % number)])
    counts = box.counts()
    print("alerts", counts.queued["alert"], counts.dropped["alert"])
    print("embeddings dropped", counts.dropped["embedding"] > 2000)

    # 2: somebody else takes every byte that is left; deletes must still go through.
    box._reserve.keep()
    other = (disk / "other").open("wb", buffering=0)
    try:
        while other.write(b"x" * 4096):
            pass
    except OSError:
        pass
    try:
        box.put([message("alert", b"a" * 200_000)])
        print("put: stored")
    except OutboxError as error:
        print("put:", error)
    queued = box.pending(10_000)
    box.delete([row.seq for row in queued])
    print("left", sum(box.counts().queued.values()))

    # 3: room again.
    (disk / "other").unlink()
    other.close()
    box.put([message("alert", b"last")])
    print("then", [row.message.payload for row in box.pending(10)])
    box.close()
    Outbox(disk / "outbox.db", 1024).close()
"""


def test_a_full_disk_drops_by_the_same_rule_and_lets_deletes_go_on(small_disk: Path) -> None:
    script = textwrap.dedent(FILL_THE_DISK)
    run = subprocess.run(
        [sys.executable, "-c", script, small_disk], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert lines[:2] == ["alerts 40 0", "embeddings dropped True"]
    assert lines[3:] == ["left 0", "then [b'last']"]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE messages SET seq = 9223372036854775807 WHERE seq = 300",
        "UPDATE messages SET kind = 7 WHERE seq = 300",
        "UPDATE messages SET size = 'many' WHERE seq = 300",
        "UPDATE messages SET size = 1 WHERE seq = 300",
        "UPDATE totals SET messages = -5, bytes = 9223372036854775807 WHERE kind = 0",
        "UPDATE totals SET dropped = 'x' WHERE kind = 1",
    ],
)
def test_a_number_that_cannot_be_is_repaired_and_costs_no_message(
    tmp_path: Path, message: MakeMessage, damage: str
) -> None:
    path = filled(tmp_path / "outbox.db", message)
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute(damage)
    with contextlib.closing(Outbox(path, 8 * MB)) as box:
        assert box.counts().damaged == 1
        assert numbers(box) == list(range(300))
        assert box.counts().queued["alert"] == 300
        assert works(box, message)


def test_a_row_of_another_kind_is_noticed_while_running(
    tmp_path: Path, message: MakeMessage
) -> None:
    path = filled(tmp_path / "outbox.db", message, 3)
    with contextlib.closing(Outbox(path, MB)) as box:
        box._store.run(lambda db: db.execute("UPDATE messages SET body = 5 WHERE seq = 2"))
        assert numbers(box) == [0, 2]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"\xff", cbor2.dumps(5), cbor2.dumps({"a": 1}), cbor2.dumps(["a"]),
        cbor2.dumps(["t", "text", "alert", "c", 1, False, "", None, None, None]),
        cbor2.dumps(["t", b"", "status", "c", 1, False, "", None, None, None]),
        cbor2.dumps(["t", b"", "alert", "c", 2, False, "", None, None, None]),
    ],
)  # fmt: skip
def test_a_body_that_is_no_message_is_a_damaged_row_whatever_its_checksum(body: bytes) -> None:
    whole = cbor2.dumps(["t", b"", "alert", "c", 1, False, "", None, None, None])
    assert unpack(whole, crc32(whole)) is not None  # the negative control
    assert unpack(body, crc32(body)) is None


def test_a_row_is_written_as_earlier_versions_read_it(message: MakeMessage) -> None:
    """After an update, and after going back: what waits is no damage."""
    one = message("alert", 1)
    assert cbor2.loads(pack(one)) == [
        one.topic, one.payload, one.kind, one.camera, one.qos, one.retain, one.content_type,
        one.schema, one.expiry_s, one.correlation,
    ]  # fmt: skip


def left_on_a_full_disk(disk: Path, message: MakeMessage, *, reserve: bool) -> int:
    """Open an outbox on a full disk, where its log must grow, and delete all that it has."""
    path = filled(disk / "outbox.db", message)
    if not reserve:
        path.with_suffix(".reserve").unlink()
    with (disk / "other").open("wb", buffering=0) as other, contextlib.suppress(OSError):
        while other.write(b"x" * 4096):
            pass
    with contextlib.closing(Outbox(path, 8 * MB)) as box:
        box.delete([row.seq for row in box.pending(1000)])
        return sum(box.counts().queued.values())


def test_the_reserve_lets_deletes_go_on(small_disk: Path, message: MakeMessage) -> None:
    assert left_on_a_full_disk(small_disk, message, reserve=True) == 0


def test_without_the_reserve_the_same_deletes_would_fail(
    small_disk: Path, message: MakeMessage
) -> None:
    with pytest.raises(OutboxError, match="database or disk is full"):
        left_on_a_full_disk(small_disk, message, reserve=False)
