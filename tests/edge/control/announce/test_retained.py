"""What the box left at brokers: removed at the next start, never another box's, never forgotten."""

import errno
import json
import threading
from pathlib import Path

import pytest
from live_broker import Broker
from patience import Eventually

from edge.control.announce.record import Place, former_statuses
from edge.control.announce.retained import Retained
from edge.delivery.client import subscribe
from edge.delivery.message import Message
from edge.delivery.outbox import Outbox
from edge.delivery.publisher import Publisher
from edge.errors import SideFileError

HERE = Place("broker:1883", "edge", "box")


def word(topic: str) -> Message:
    return Message(topic, b"x", "state", None, 1, True, "text/plain")


class Start:
    """One start of a box; what it publishes is in ``sent``, and acknowledged where asked for."""

    def __init__(self, path: Path, place: Place, topics: list[str], *, heard: bool = True) -> None:
        self.sent: list[Message] = []
        self._heard = heard
        self.retained = Retained(path, place, self._publish)
        self.retained.replace([word(topic) for topic in topics], [], {})

    def _publish(self, message: Message) -> None:
        self.sent.append(message)
        if self._heard and not message.payload:
            self.retained.removed(message.topic)
            self.retained.flush()

    @property
    def emptied(self) -> list[str]:
        return [message.topic for message in self.sent if not message.payload]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "retained.json"


def test_what_the_box_no_longer_has_is_removed_once(path: Path) -> None:
    Start(path, HERE, ["edge/box/yard/state", "edge/box/status"])
    assert Start(path, HERE, ["edge/box/gate/state", "edge/box/status"]).emptied == [
        "edge/box/yard/state"
    ]
    assert Start(path, HERE, ["edge/box/gate/state", "edge/box/status"]).emptied == []


def test_a_removal_that_no_broker_has_acknowledged_is_tried_again(path: Path) -> None:
    Start(path, HERE, ["edge/box/yard/state"])
    Start(path, HERE, [], heard=False)
    assert Start(path, HERE, []).emptied == ["edge/box/yard/state"]
    assert Start(path, HERE, []).emptied == []


def test_a_topic_is_written_down_before_its_message_goes_out(path: Path) -> None:
    def look(message: Message) -> None:
        assert message.topic in path.read_text()

    retained = Retained(path, HERE, look)
    retained.replace([word("edge/box/prompts/state")], [], {})
    retained.expect(["edge/box/yard/cat/alerting"])
    assert "edge/box/yard/cat/alerting" in path.read_text()


@pytest.mark.parametrize("name", [Place("broker:1883", "nvr", "box"), Place("b:1", "edge", "new")])
def test_an_earlier_name_is_removed_when_its_status_says_that_nobody_is_there(
    path: Path, name: Place
) -> None:
    left = ["edge/box/status", "edge/box/yard/state", "homeassistant/device/edge_box/config"]
    Start(path, HERE, left)
    assert former_statuses(path, name) == ["edge/box/status"]
    start = Start(path, name, ["nvr/box/status"])
    assert start.emptied == []
    start.retained.hear_former("edge/box/status", b"online")
    start.retained.hear_former("edge/box/status", b"")
    assert start.emptied == [], "another box may have that name now"
    start.retained.hear_former("edge/box/status", b"offline")
    assert start.emptied == ["edge/box/yard/state", left[2], "edge/box/status"]


def test_the_way_back_to_an_earlier_name_removes_nothing_that_is_there_again(path: Path) -> None:
    Start(path, HERE, ["edge/box/status", "edge/box/yard/state"])
    Start(path, HERE._replace(device="new"), ["edge/new/status"])
    assert former_statuses(path, HERE) == ["edge/new/status"]
    back = Start(path, HERE, ["edge/box/status"])
    assert back.emptied == ["edge/box/yard/state"]
    back.retained.hear_former("edge/box/status", b"stopped")
    assert back.emptied == ["edge/box/yard/state"]


def test_another_broker_does_not_make_the_box_forget_the_first_one(path: Path) -> None:
    Start(path, HERE, ["edge/box/yard/state"])
    Start(path, HERE._replace(broker="other:1883"), ["edge/box/gate/state"])
    assert Start(path, HERE, ["edge/box/gate/state"]).emptied == ["edge/box/yard/state"]
    assert Start(path, HERE, ["edge/box/gate/state"]).emptied == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]\xff", b'{"left": [{"place": 3}]}'])
def test_a_damaged_record_is_set_aside_and_begun_anew(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    Start(path, HERE, ["edge/box/yard/state"])
    assert [aside.read_bytes() for aside in path.parent.glob("retained-corrupt-*")] == [content]
    assert Start(path, HERE, []).emptied == ["edge/box/yard/state"]


def test_a_record_that_cannot_be_read_is_not_replaced_by_less_and_counts_once_it_can(
    path: Path,
) -> None:
    Start(path, HERE, ["edge/box/yard/state"])
    aside = path.rename(path.with_suffix(".aside"))
    path.mkdir()  # reading it is an OSError, also for root
    start = Start(path, HERE, ["edge/box/gate/state"])
    for _ in range(2):
        with pytest.raises(SideFileError, match="old messages may stay at the broker"):
            start.retained.flush()
    assert path.is_dir()
    assert start.emptied == []
    path.rmdir()
    aside.rename(path)
    start.retained.flush()
    assert start.emptied == ["edge/box/yard/state"]
    assert Start(path, HERE, []).emptied == ["edge/box/gate/state"]


def test_a_record_on_a_disk_that_is_not_mounted_is_not_replaced_by_less(path: Path) -> None:
    Start(path, HERE, ["edge/box/yard/state"])
    disk = path.parent.parent / "disk"
    disk.mkdir()
    path.rename(disk / "retained.json")
    path.symlink_to(disk / "retained.json")
    away = disk.rename(disk.with_name("away"))
    start = Start(path, HERE, ["edge/box/gate/state"])
    with pytest.raises(SideFileError, match="No such file"):
        start.retained.flush()
    assert path.is_symlink()
    away.rename(disk)
    start.retained.flush()
    assert start.emptied == ["edge/box/yard/state"]


def test_a_newer_versions_record_is_left_as_it_is(path: Path) -> None:
    Start(path, HERE, ["edge/box/yard/state"])
    newer = path.read_bytes().replace(b"edge-retained/1", b"edge-retained/2")
    path.write_bytes(newer)
    start = Start(path, HERE, ["edge/box/gate/state"])
    with pytest.raises(SideFileError, match="newer version") as caught:
        start.retained.flush()
    assert caught.value.trouble == "newer"
    assert path.read_bytes() == newer
    assert start.emptied == []
    path.write_bytes(newer.replace(b"/2", b"/1"))
    start.retained.flush()
    assert start.emptied == ["edge/box/yard/state"]


def test_a_record_from_before_records_had_a_schema_is_read(path: Path) -> None:
    Start(path, HERE, ["edge/box/yard/state"])
    record = json.loads(path.read_bytes())
    del record["schema_"]
    path.write_text(json.dumps(record))
    assert Start(path, HERE, []).emptied == ["edge/box/yard/state"]


def test_what_a_full_disk_did_not_take_is_written_when_there_is_room(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr("edge.control.announce.record.write_atomically", full)
    start = Start(path, HERE, ["edge/box/yard/state"])
    with pytest.raises(SideFileError, match="Disk quota exceeded") as caught:
        start.retained.flush()
    assert caught.value.trouble == "full"
    monkeypatch.undo()
    start.retained.flush()
    assert Start(path, HERE, []).emptied == ["edge/box/yard/state"]


def test_a_broker_keeps_nothing_of_a_camera_that_is_gone(
    broker: Broker, tmp_path: Path, path: Path, eventually: Eventually
) -> None:
    live, outbox = broker, Outbox(tmp_path / "outbox.db", 1 << 20)
    place = Place(f"127.0.0.1:{live.port}", "edge", "box")

    def start(topics: list[str]) -> set[str]:
        publisher = Publisher(live.config(), "box", outbox)
        retained = Retained(path, place, publisher.publish_now)
        publisher.listen(retained.removed)
        retained.replace([word(topic) for topic in topics], ["edge/box/status"], {})
        publisher.start()
        eventually(lambda: publisher.connected, "the connection")
        publisher.stop(5)
        retained.flush()
        heard = subscribe(live.config(), ["edge/#"], timeout_s=0.3)
        return {received.topic for received in heard if received.retain}

    assert start(["edge/box/yard/state"]) == {"edge/box/status", "edge/box/yard/state"}
    assert start(["edge/box/gate/state"]) == {"edge/box/status", "edge/box/gate/state"}
    assert "yard" not in path.read_text(), "the broker has acknowledged it"


def test_a_disk_that_does_not_answer_holds_up_no_thread_that_says_what_is_removed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The publisher's thread says it, and alerts wait for that one."""
    Start(path, HERE, ["edge/box/yard/state"])
    start = Start(path, HERE, [], heard=False)
    answers, writes = threading.Event(), threading.Event()

    def hang(*_: object) -> None:
        writes.set()
        assert answers.wait(10)

    monkeypatch.setattr("edge.control.announce.record.write_atomically", hang)
    start.retained.removed("edge/box/yard/state")
    keeper = threading.Thread(target=start.retained.flush)
    keeper.start()
    assert writes.wait(10)
    start.retained.removed("edge/box/yard/state")  # does not wait
    assert not answers.is_set()
    answers.set()
    keeper.join(10)
