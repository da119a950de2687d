import contextlib
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from publishing import MakeMessage

from edge.delivery.message import Kind, Message
from edge.delivery.outbox import Outbox
from edge.delivery.outbox_file import KINDS, pack
from edge.delivery.payloads import state_message
from edge.delivery.queued import OutboxCounts
from edge.delivery.topics import Topics
from edge.errors import OutboxError

MB = 1024 * 1024


def bodies(
    outbox: Outbox,
    limit: int = 1000,
    excluding: Iterable[int] = (),
    holding: Iterable[str] = (),
) -> list[bytes]:
    return [queued.message.payload for queued in outbox.pending(limit, excluding, holding)]


def test_what_was_put_comes_back_whole(outbox: Outbox) -> None:
    sent = Message(
        "edge/box/yard/alert", b"\x00\xff{}", "alert", "yard", 1, False, "application/json",
        "edge-alert/1", 60,
    )  # fmt: skip
    outbox.put([sent])
    assert [queued.message for queued in outbox.pending(10)] == [sent]


def test_alerts_go_before_snapshots_before_embeddings_each_oldest_first(
    outbox: Outbox, message: MakeMessage
) -> None:
    kinds: list[Kind] = ["embedding", "snapshot", "alert", "embedding", "alert", "snapshot"]
    for number, kind in enumerate(kinds):
        outbox.put([message(kind, number)])
    assert bodies(outbox) == [b"2", b"4", b"1", b"5", b"0", b"3"]


def test_messages_on_the_wire_and_lanes_on_hold_are_left_out(
    outbox: Outbox, message: MakeMessage
) -> None:
    outbox.put([message("alert", n, camera="yard" if n % 2 else "gate") for n in range(6)])
    first = outbox.pending(1)[0]
    assert bodies(outbox, excluding=[first.seq], holding=["yard/alert"]) == [b"2", b"4"]


def test_deleted_messages_are_gone_after_a_restart_and_the_others_are_not(
    tmp_path: Path, message: MakeMessage
) -> None:
    path = tmp_path / "outbox.db"
    with contextlib.closing(Outbox(path, MB)) as box:
        box.put([message("alert", n) for n in range(5)])
        box.delete([queued.seq for queued in box.pending(2)])
    with contextlib.closing(Outbox(path, MB)) as box:
        assert bodies(box) == [b"2", b"3", b"4"]


def test_a_number_is_not_used_twice_so_a_late_delete_hits_nothing_new(
    outbox: Outbox, message: MakeMessage
) -> None:
    outbox.put([message("alert", 1)])
    (old,) = outbox.pending(1)
    outbox.delete([old.seq])
    outbox.put([message("alert", 2)])
    outbox.delete([old.seq])
    assert bodies(outbox) == [b"2"]


@pytest.mark.parametrize(
    "wrong",
    [
        state_message(Topics("edge", "box"), type("S", (), {"camera": "c", "to_json": bytes})()),
        Message("edge/box/c/alert", b"", "alert", "c", 0, False, "text/plain"),
    ],
    ids=["kind", "qos"],
)
def test_a_message_that_nobody_would_acknowledge_is_refused(outbox: Outbox, wrong: Message) -> None:
    with pytest.raises(ValueError, match="expected messages of QoS 1"):
        outbox.put([wrong])


def test_listeners_hear_of_a_message_once_it_is_committed(
    outbox: Outbox, message: MakeMessage
) -> None:
    seen = []
    outbox.listen(lambda: seen.append(outbox.counts().queued["alert"]))
    outbox.put([message("alert", 1), message("alert", 2)])
    assert seen == [2]


def test_two_threads_may_put_and_delete_at_once(outbox: Outbox, message: MakeMessage) -> None:
    def put() -> None:
        for number in range(200):
            outbox.put([message("alert", number)])

    writer = threading.Thread(target=put)
    writer.start()
    taken = []
    while writer.is_alive() or outbox.counts().queued["alert"]:
        batch = outbox.pending(50)
        taken += [queued.message.payload for queued in batch]
        outbox.delete([queued.seq for queued in batch])
    writer.join()
    assert taken == [b"%d" % number for number in range(200)]


def size_of(message: Message) -> int:
    return len(pack(message))


def test_a_full_outbox_drops_embeddings_then_snapshots_then_alerts_oldest_first(
    tmp_path: Path, message: MakeMessage
) -> None:
    with contextlib.closing(Outbox(tmp_path / "outbox.db", 6 * 1100)) as box:
        for number, kind in enumerate([*KINDS, *KINDS]):
            box.put([message(kind, b"%d" % number + b"." * 900)])
        queued, dropped = [], []
        for number in range(6, 12):
            box.put([message("alert", b"%d" % number + b"." * 900)])
            queued.append([int(body.strip(b".")) for body in bodies(box)])
            dropped.append(tuple(box.counts().dropped.values()))
    assert queued == [
        [0, 3, 6, 1, 4, 5],
        [0, 3, 6, 7, 1, 4],
        [0, 3, 6, 7, 8, 4],
        [0, 3, 6, 7, 8, 9],
        [3, 6, 7, 8, 9, 10],
        [6, 7, 8, 9, 10, 11],
    ]
    assert dropped == [(0, 0, 1), (0, 0, 2), (0, 1, 2), (0, 2, 2), (1, 2, 2), (2, 2, 2)]


class Forgetful(Outbox):
    """The control: an outbox that makes room and does not count what it lost."""

    def counts(self) -> OutboxCounts:
        return replace(super().counts(), dropped=dict.fromkeys(KINDS, 0))


@pytest.mark.parametrize(("kind", "accounted"), [(Outbox, True), (Forgetful, False)])
def test_what_is_queued_and_what_is_counted_as_lost_is_everything_or_it_would_be_seen(
    tmp_path: Path, message: MakeMessage, kind: type[Outbox], accounted: bool
) -> None:
    with contextlib.closing(kind(tmp_path / "outbox.db", 20 * 1100)) as box:
        for number in range(200):
            box.put([message(KINDS[number % 3], b"%d" % number + b"." * 900)])
        counts = box.counts()
    known = sum(counts.queued.values()) + sum(counts.dropped.values())
    assert (known == 200) == accounted


def test_an_embedding_never_pushes_out_an_alert(tmp_path: Path, message: MakeMessage) -> None:
    alert = message("alert", b"a" * 500)
    with contextlib.closing(Outbox(tmp_path / "outbox.db", size_of(alert) * 3)) as box:
        box.put([alert] * 3)
        box.put([message("embedding", b"e" * 500)])
        counts = box.counts()
    assert (counts.queued["alert"], counts.queued["embedding"]) == (3, 0)
    assert (counts.dropped["alert"], counts.dropped["embedding"]) == (0, 1)


def test_a_message_larger_than_the_outbox_costs_only_itself(
    tmp_path: Path, message: MakeMessage
) -> None:
    with contextlib.closing(Outbox(tmp_path / "outbox.db", 10_000)) as box:
        box.put([message("alert", 1), message("snapshot", b"x" * 20_000), message("alert", 2)])
        assert bodies(box) == [b"1", b"2"]
        assert box.counts().dropped["snapshot"] == 1


def test_drops_are_reported_and_counted_over_restarts(
    tmp_path: Path, message: MakeMessage, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "outbox.db"
    for _ in range(2):
        with contextlib.closing(Outbox(path, 1000)) as box:
            box.put([message("embedding", b"x" * 800), message("embedding", b"y" * 800)])
    with contextlib.closing(Outbox(path, 1000)) as box:
        assert box.counts().dropped == {"alert": 0, "snapshot": 0, "embedding": 3}
    assert "outbox drops messages: 1 of kind embedding" in caplog.text


def test_a_second_process_is_refused(tmp_path: Path, message: MakeMessage) -> None:
    path = tmp_path / "outbox.db"
    script = "import sys, pathlib; from edge.delivery.outbox import Outbox; Outbox(pathlib.Path(sys.argv[1]), 1)"
    with contextlib.closing(Outbox(path, MB)):
        run = subprocess.run(
            [sys.executable, "-c", script, path], capture_output=True, text=True, check=False
        )
    assert run.returncode == 1
    assert "OutboxError" in run.stderr
    assert "another process uses it" in run.stderr


def test_a_file_of_a_newer_version_is_refused_and_left_alone(
    tmp_path: Path, message: MakeMessage
) -> None:
    path = tmp_path / "outbox.db"
    with contextlib.closing(Outbox(path, MB)) as box:
        box.put([message("alert", 1)])
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version=2")
    with pytest.raises(OutboxError, match=r"written by a newer version \(format 2"):
        Outbox(path, MB)
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM messages").fetchone() == (1,)
        db.execute("PRAGMA user_version=1")
    with contextlib.closing(Outbox(path, MB)) as box:
        assert bodies(box) == [b"1"]


def test_a_directory_that_cannot_be_made_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutboxError, match="check that the disk has room"):
        Outbox(tmp_path / "file" / "outbox.db", MB)


class OutboxModel(RuleBasedStateMachine):
    """The outbox against a list: whatever the order of calls, restarts included."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.path = Path(self.directory.name) / "outbox.db"
        self.limit = 2000
        self.box = Outbox(self.path, self.limit)
        self.model: list[tuple[int, int, int]] = []  # (kind index, number, size)
        self.dropped = [0, 0, 0]
        self.number = 0

    @rule(kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=4), size=st.integers(0, 900))
    def put(self, kinds: list[Kind], size: int) -> None:
        batch = []
        for kind in kinds:
            self.number += 1
            body = b"%06d" % self.number + b"." * size
            one = Message("t", body, kind, "c", 1, False, "x")
            batch.append(one)
            self.model.append((KINDS.index(kind), self.number, size_of(one)))
        self.box.put(batch)
        while sum(size for _, _, size in self.model) > self.limit:
            victim = min(self.model, key=lambda row: (-row[0], row[1]))
            self.model.remove(victim)
            self.dropped[victim[0]] += 1

    @precondition(lambda self: self.model)
    @rule(count=st.integers(1, 3))
    def acknowledge(self, count: int) -> None:
        batch = self.box.pending(count)
        self.box.delete([queued.seq for queued in batch])
        for row in sorted(self.model)[:count]:
            self.model.remove(row)

    @rule()
    def restart(self) -> None:
        self.box.close()
        self.box = Outbox(self.path, self.limit)

    @invariant()
    def agrees(self) -> None:
        found = [int(queued.message.payload[:6]) for queued in self.box.pending(1000)]
        assert found == [number for _, number, _ in sorted(self.model)]
        counts = self.box.counts()
        assert list(counts.dropped.values()) == self.dropped
        assert counts.bytes == sum(size for _, _, size in self.model)

    def teardown(self) -> None:
        self.box.close()
        self.directory.cleanup()


TestOutboxModel = OutboxModel.TestCase
TestOutboxModel.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
