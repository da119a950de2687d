"""Embeddings in memory: sent in order, written when they are left, and never lost unseen."""

import contextlib
import math
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from publishing import MakeMessage

from edge.delivery import outbox_store
from edge.delivery.message import Kind, Message
from edge.delivery.outbox import Outbox
from edge.delivery.outbox_file import KINDS
from edge.delivery.young import Young
from edge.errors import OutboxError

MB = 1024 * 1024
NEVER = math.inf


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


@pytest.fixture
def longest_s() -> float:
    return NEVER


@pytest.fixture
def box(path: Path, longest_s: float) -> Iterator[Outbox]:
    with contextlib.closing(Outbox(path, MB, young=Young(longest_s))) as box:
        yield box


def payloads(box: Outbox, limit: int = 1000) -> list[bytes]:
    return [queued.message.payload for queued in box.pending(limit)]


def after_a_crash(path: Path) -> list[bytes]:
    """What a start would find, were the process killed now."""
    with tempfile.TemporaryDirectory() as directory:
        for file in path.parent.glob("outbox.db*"):
            shutil.copy(file, directory)
        with contextlib.closing(Outbox(Path(directory) / path.name, MB)) as box:
            return payloads(box)


def test_an_embedding_that_is_acknowledged_soon_is_never_written(
    box: Outbox, path: Path, message: MakeMessage
) -> None:
    def written() -> list[bytes]:
        return [file.read_bytes() for file in sorted(path.parent.glob("outbox.db*"))]

    before = written()
    for number in range(100):
        box.put_later([message("embedding", number)])
        box.delete([queued.seq for queued in box.pending(10)])
    assert written() == before
    assert box.counts().queued["embedding"] == 0
    box.put([message("embedding", 1)])
    assert written() != before  # the negative control


@pytest.mark.parametrize("longest_s", [0.0, NEVER])
def test_a_crash_costs_the_embeddings_of_the_last_second_and_no_others(
    box: Outbox, path: Path, message: MakeMessage, longest_s: float
) -> None:
    for number in (1, 2, 3):
        box.put_later([message("embedding", number)])
    assert payloads(box) == [b"1", b"2", b"3"]
    assert after_a_crash(path) == ([b"1", b"2"] if longest_s == 0 else [])


def test_an_alert_is_committed_whatever_waits_in_memory(
    box: Outbox, path: Path, message: MakeMessage
) -> None:
    box.put_later([message("embedding", 1)])
    box.put([message("alert", 2), message("embedding", 3)])
    box.put_later([message("embedding", 4)])
    assert after_a_crash(path) == [b"2", b"3"]
    assert payloads(box) == [b"2", b"1", b"3", b"4"]
    # Where more waits on the disk than is read, what is younger than that waits too.
    assert payloads(box, 1) == [b"2"]
    assert payloads(box, 2) == [b"2", b"1"]


def test_what_is_in_memory_counts_as_queued_and_is_left_out_as_others_are(
    box: Outbox, message: MakeMessage
) -> None:
    box.put_later([message("embedding", 1), message("embedding", 2, camera="gate")])
    first, second = box.pending(10)
    assert [queued.message for queued in box.pending(10, [first.seq])] == [second.message]
    assert [queued.seq for queued in box.pending(10, [], ["gate/embedding"])] == [first.seq]
    counts = box.counts()
    assert counts.queued == {"alert": 0, "snapshot": 0, "embedding": 2}
    assert counts.bytes > 0
    box.delete([first.seq], dropped=True)
    assert box.counts().dropped["embedding"] == 1


def test_an_end_and_a_copy_have_what_is_in_memory(
    box: Outbox, path: Path, tmp_path: Path, message: MakeMessage
) -> None:
    box.put_later([message("embedding", 1)])
    box.copy_to(tmp_path / "copy.db")
    with contextlib.closing(Outbox(tmp_path / "copy.db", MB)) as copy:
        assert payloads(copy) == [b"1"]
    box.put_later([message("embedding", 2)])
    box.close()
    with contextlib.closing(Outbox(path, MB)) as again:
        assert payloads(again) == [b"1", b"2"]


def test_the_keeper_writes_what_no_later_embedding_pushes_out(
    path: Path, message: MakeMessage
) -> None:
    young = Young(NEVER)
    with contextlib.closing(Outbox(path, MB, young=young)) as box:
        box.put_later([message("embedding", 1)])
        box.flush()
        assert after_a_crash(path) == []  # it is not a second old
        young._longest_s = 0.0
        box.flush()
        assert after_a_crash(path) == [b"1"]


def test_what_the_disk_refuses_is_counted_as_lost(
    box: Outbox, monkeypatch: pytest.MonkeyPatch, message: MakeMessage
) -> None:
    monkeypatch.setattr(outbox_store, "_RETRY_S", 0.0)
    box.put_later([message("embedding", 1), message("embedding", 2)])
    with monkeypatch.context() as patch:
        patch.setattr(outbox_store.OutboxStore, "_opened", _broken)
        with pytest.raises(OutboxError):
            box.put([message("alert", 3)])
        with pytest.raises(OutboxError):
            box.put_later([message("embedding", 4)])
        with pytest.raises(OutboxError):
            box.copy_to(Path("unused"))
    assert box.counts().dropped["embedding"] == 2
    assert payloads(box) == []
    box.put([message("alert", 5)])  # all is well again
    box.put_later([message("embedding", 6)])
    assert payloads(box) == [b"5", b"6"]


@pytest.mark.parametrize("longest_s", [0.0])
def test_each_embedding_that_is_lost_is_counted_once(
    box: Outbox, monkeypatch: pytest.MonkeyPatch, message: MakeMessage
) -> None:
    monkeypatch.setattr(outbox_store, "_RETRY_S", 0.0)
    box.put_later([message("embedding", 1)])
    refused = [message("embedding", 2)]
    with monkeypatch.context() as patch:
        patch.setattr(outbox_store.OutboxStore, "_opened", _broken)
        with pytest.raises(OutboxError):
            box.put_later(refused)
        box.lose(refused)  # as the daemon does
    assert box.counts().dropped["embedding"] == 2
    assert payloads(box) == []


def _broken(_: object) -> object:
    raise OSError(5, "Input/output error")


def test_only_embeddings_may_wait(box: Outbox, message: MakeMessage) -> None:
    with pytest.raises(ValueError, match="expected embeddings"):
        box.put_later([message("embedding", 1), message("alert", 2)])


class YoungModel(RuleBasedStateMachine):
    """Whatever the order of calls, the messages come in order, and each until it is deleted."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.path = Path(self.directory.name) / "outbox.db"
        self.young = Young(NEVER)
        self.box = Outbox(self.path, MB, young=self.young)
        self.model: list[tuple[int, int]] = []  # (kind index, number)
        self.number = 0

    def message(self, kind: Kind) -> Message:
        self.number += 1
        self.model.append((KINDS.index(kind), self.number))
        return Message("t", b"%06d" % self.number, kind, "c", 1, False, "x")

    @rule(kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=3))
    def put(self, kinds: list[Kind]) -> None:
        self.box.put([self.message(kind) for kind in kinds])

    @rule(count=st.integers(1, 3))
    def put_later(self, count: int) -> None:
        self.box.put_later([self.message("embedding") for _ in range(count)])

    @precondition(lambda self: self.model)
    @rule(count=st.integers(1, 4))
    def acknowledge(self, count: int) -> None:
        batch = self.box.pending(count)
        found = [(KINDS.index(one.message.kind), int(one.message.payload)) for one in batch]
        assert found == sorted(self.model)[:count]
        self.box.delete([queued.seq for queued in batch])
        for row in found:
            self.model.remove(row)

    @rule()
    def a_second_passes(self) -> None:
        self.young._longest_s = 0.0
        self.box.flush()
        self.young._longest_s = NEVER

    @rule()
    def restart(self) -> None:
        self.box.close()
        self.young = Young(NEVER)
        self.box = Outbox(self.path, MB, young=self.young)

    @invariant()
    def agrees(self) -> None:
        found = [int(queued.message.payload) for queued in self.box.pending(1000)]
        assert found == [number for _, number in sorted(self.model)]

    def teardown(self) -> None:
        self.box.close()
        self.directory.cleanup()


TestYoungModel = YoungModel.TestCase
TestYoungModel.settings = settings(max_examples=20, stateful_step_count=20, deadline=None)
