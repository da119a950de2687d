"""Alerts that run when the box crashes: each gets its end at the next start, once."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from edge.delivery.outbox import Outbox
from edge.delivery.payloads import (
    AlertMessage,
    AlertPayload,
    ModelRef,
    PromptRef,
    alert_message,
    utc,
)
from edge.delivery.topics import Topics

OLD = Topics("edge", "box")
ONE, OTHER = "01JX7ZK4Q8V5R2M9T6B3N0C1DE", "01JX7ZK4Q8V5R2M9T6B3N0C1DF"


def alert(id_: str, type_: Literal["start", "update", "end"], at: float) -> AlertMessage:
    return alert_message(
        OLD,
        AlertPayload(
            id=id_,
            type=type_,
            device="box",
            camera="yard",
            prompt=PromptRef(id="cat", text="a cat"),
            score=0.3,
            margin=0.1,
            threshold=0.05,
            started_at=utc(1000),
            at=utc(at),
            snapshot="edge/box/yard/snapshot/x" if type_ == "start" else None,
            model=ModelRef(id="m", hash="h", precision="int8"),
        ),
    )


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Outbox]:
    with contextlib.closing(Outbox(path, 1 << 20)) as outbox:
        yield outbox


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


def test_an_alert_that_was_not_ended_ends_at_the_next_start_and_only_then(path: Path) -> None:
    with opened(path) as outbox:
        outbox.put([alert(ONE, "start", 1000), alert(OTHER, "start", 1000)])
        outbox.put([alert(ONE, "update", 1010), alert(OTHER, "end", 1020)])
    with opened(path) as outbox:
        [end] = outbox.interrupted()
    with opened(path) as outbox:  # a crash before the end was stored
        [again] = outbox.interrupted()
        outbox.put([again])
        queued = [one.message for one in outbox.pending(10)]
    with opened(path) as outbox:
        assert outbox.interrupted() == []
    assert (end.topic, end.alert.id, end.alert.type) == (OLD.alert("yard"), ONE, "end")
    assert end.alert.interrupted
    assert end.alert.ended_at == utc(1010)
    assert end.alert.at > utc(1010)
    assert end.alert.snapshot is None
    assert queued[-1].payload == again.payload
    ends = [b'"type":"end"' in message.payload for message in queued]
    assert ends == [False, False, False, True, True], "its end follows all that came before"


def test_a_clock_that_was_reset_ends_no_alert_before_its_last_message(path: Path) -> None:
    with opened(path) as outbox:
        outbox.put([alert(ONE, "start", 4e9)])
    with opened(path) as outbox:
        [end] = outbox.interrupted()
    assert end.alert.at == end.alert.ended_at == utc(4e9)


def test_what_was_ended_from_memory_does_not_end_twice(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(path) as outbox:
        outbox.put([alert(ONE, "start", 1000)])
        with monkeypatch.context() as patch:
            patch.setattr(outbox, "_max_bytes", None)  # any error of the disk, once
            with pytest.raises(TypeError):
                outbox.put([alert(ONE, "end", 1001)])
        outbox.put([alert(OTHER, "start", 1002)])
    with opened(path) as outbox:
        assert [end.alert.id for end in outbox.interrupted()] == [OTHER]


def test_a_file_from_before_alerts_were_noted_is_taken_over_with_its_messages(path: Path) -> None:
    with opened(path) as outbox:
        outbox.put([alert(ONE, "start", 1000)])
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("DROP TABLE running")
    with opened(path) as outbox:
        assert len(outbox.pending(10)) == 1
        assert outbox.interrupted() == []
        assert outbox.counts().damaged == 0
        outbox.put([alert(OTHER, "start", 1000)])
        assert [end.alert.id for end in outbox.interrupted()] == [OTHER]


def test_a_damaged_file_keeps_what_runs_as_far_as_it_can_be_read(path: Path) -> None:
    with opened(path) as outbox:
        outbox.put([alert(ONE, "start", 1000), alert(OTHER, "start", 1000)])
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("DROP INDEX in_order")  # no outbox of ours: it is replaced
        db.execute("UPDATE running SET payload = x'00' WHERE id = ?", (OTHER,))
    with opened(path) as outbox:
        assert outbox.counts().damaged == 1
        assert [end.alert.id for end in outbox.interrupted()] == [ONE]


def test_after_a_repair_an_alert_ends_once_and_not_at_every_start(path: Path) -> None:
    with opened(path) as outbox:
        outbox.put([alert(ONE, "start", 1000)])
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("DROP INDEX in_order")  # no outbox of ours: it is replaced
    with opened(path) as outbox:
        outbox.put(outbox.interrupted())
    with opened(path) as outbox:
        assert outbox.interrupted() == []


@pytest.mark.parametrize(
    "damage",
    [
        "topic = x'ff'", "topic = 5", "topic = 'edge/box/other/alert'", "id = 'x'", "payload = 5",
        "topic = 'edge/#\n/box/yard/alert'",
    ],
)  # fmt: skip
def test_a_damaged_row_costs_only_its_own_end(path: Path, damage: str) -> None:
    with opened(path) as outbox:
        outbox.put([alert(ONE, "start", 1000), alert(OTHER, "start", 1000)])
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute(f"UPDATE running SET {damage} WHERE id = ?", (OTHER,))
    with opened(path) as outbox:
        assert [end.alert.id for end in outbox.interrupted()] == [ONE]
