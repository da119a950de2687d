"""The publisher against a real broker, heard by a client that is not ours."""

import contextlib
import itertools
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from live_broker import Broker, Listen, Listener, MakeBroker
from paho.mqtt import subscribe as mqtt_subscribe
from patience import Eventually
from publishing import MakeMessage, StartPublisher

from edge.cli.schemas import schemas
from edge.config.models import MqttConfig
from edge.delivery.embedding import Embedding, decode_embedding
from edge.delivery.outbox import Outbox
from edge.delivery.payloads import (
    AlertPayload,
    ModelRef,
    PromptRef,
    StatePayload,
    alert_message,
    embedding_message,
    snapshot_message,
    state_message,
)
from edge.delivery.publisher import Publisher, PublisherTimings
from edge.delivery.topics import Topics
from edge.errors import OutboxError

pytestmark = pytest.mark.broker

TOPICS = Topics("edge", "box")
ULID = "01JX7ZK4Q8V5R2M9T6B3N0C1DE"


def empty(outbox: Outbox) -> Callable[[], bool]:
    return lambda: not sum(outbox.counts().queued.values())


def more_than(publisher: Publisher, number: int) -> Callable[[], bool]:
    return lambda: publisher.health().delivered.get("alert", 0) > number


def all_heard(listener: Listener, ending: str, number: int) -> Callable[[], bool]:
    return lambda: len(set(listener.payloads(ending))) == number


def an_alert(kind: Literal["start", "update", "end"] = "start") -> AlertPayload:
    return AlertPayload(
        id=ULID, type=kind, device="box", camera="yard",
        prompt=PromptRef(id="intruder", text="a person climbing over a fence"),
        score=0.3, margin=0.1, threshold=0.05,
        started_at=datetime.fromtimestamp(1_700_000_000, UTC),
        at=datetime.fromtimestamp(1_700_000_001, UTC),
        snapshot=TOPICS.snapshot("yard", ULID), clock_synced=True,
        model=ModelRef(id="concepts", hash="ab" * 32, precision="int8"),
    )  # fmt: skip


def a_state(word: str = "running") -> StatePayload:
    return StatePayload(
        device="box", camera="yard", at=datetime.now(UTC), state=word, fps_in=25, fps_sampled=2,
        samples=3, dropped=0, corrupt=0, reconnects=0, scores={"intruder": 0.1},
    )  # fmt: skip


def test_messages_on_the_wire_satisfy_their_contract(
    broker: Broker,
    listen: Listen,
    outbox: Outbox,
    publish: StartPublisher,
    eventually: Eventually,
) -> None:
    listener = listen(broker.port)
    publisher = publish(broker.config())
    vector = [0.6, -0.8, 0.0]
    embedding = Embedding(
        "box", "yard", "ab" * 32, np.array(vector, np.float32), 1.5, 1.7e9, 3, "interval"
    )
    outbox.put(
        [
            alert_message(TOPICS, an_alert()),
            snapshot_message(TOPICS, "yard", ULID, b"\xff\xd8 jpeg"),
            embedding_message(TOPICS, embedding),
        ]
    )
    publisher.publish_now(state_message(TOPICS, a_state()))
    eventually(lambda: len(listener.heard) >= 5, "five messages")

    heard = {message.topic: message for message in listener.heard}
    alert, state = heard["edge/box/yard/alert"], heard["edge/box/yard/state"]
    for name, message in (("alert.json", alert), ("state.json", state)):
        Draft202012Validator(json.loads(schemas()[name])).validate(json.loads(message.payload))
    snapshot = an_alert().snapshot
    assert snapshot is not None
    picture, sent = heard[snapshot], heard["edge/box/yard/embedding"]
    assert picture.payload == b"\xff\xd8 jpeg"
    assert decode_embedding(sent.payload).vector == pytest.approx(vector, abs=0.8 / 127 / 2)
    assert heard["edge/box/status"].payload == b"online"

    assert {topic: message.properties.ContentType for topic, message in heard.items()} == {
        "edge/box/yard/alert": "application/json",
        "edge/box/yard/state": "application/json",
        "edge/box/yard/embedding": "application/cbor",
        snapshot: "image/jpeg",
        "edge/box/status": "text/plain",
    }
    assert alert.properties.UserProperty == [("schema", "edge-alert/1")]
    assert alert.properties.PayloadFormatIndicator == 1
    assert 0 < sent.properties.MessageExpiryInterval <= 86_400


def test_delivered_messages_leave_the_outbox_and_are_reported_once(
    broker: Broker,
    outbox: Outbox,
    publish: StartPublisher,
    message: MakeMessage,
    eventually: Eventually,
) -> None:
    delivered: list[tuple[bytes, float]] = []
    before = time.monotonic()
    publisher = publish(
        broker.config(), on_delivered=lambda one, at: delivered.append((one.payload, at))
    )
    outbox.put([message("alert", number) for number in range(250)])
    eventually(empty(outbox), "empty outbox")
    assert [payload for payload, _ in delivered] == [b"%d" % number for number in range(250)]
    assert all(before < at <= time.monotonic() for _, at in delivered)
    assert publisher.health().delivered == {"alert": 250}
    assert outbox.counts().dropped["alert"] == 0


class Wire:
    """A wire to the broker that can be cut; what is on it then is lost, both ways.

    While ``passing`` is not set it is a black hole: connections are taken, and nothing passes.
    """

    def __init__(self, port: int) -> None:
        self._upstream = ("127.0.0.1", port)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.passing = threading.Event()
        self.passing.set()
        self._ends: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def cut(self) -> None:
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.passing.set()
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.cut()
        for thread in self._threads:
            thread.join(10)
        for end in self._ends:
            end.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, far = self._server.accept()[0], socket.create_connection(self._upstream)
                self._ends += [near, far]
                for ends in ((near, far), (far, near)):
                    self._threads.append(threading.Thread(target=self._pump, args=ends))
                    self._threads[-1].start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(4096):
                self.passing.wait()
                target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)


def test_nothing_is_lost_and_the_order_kept_over_a_wire_that_breaks(
    broker: Broker,
    listen: Listen,
    outbox: Outbox,
    publish: StartPublisher,
    message: MakeMessage,
    eventually: Eventually,
) -> None:
    listener = listen(broker.port, "edge/+/+/alert")
    with contextlib.closing(Wire(broker.port)) as wire:
        publisher = publish(broker.config(port=wire.port))
        outbox.put([message("alert", n, camera="yard" if n % 2 else "gate") for n in range(2000)])
        for cut in range(1, 6):
            eventually(more_than(publisher, cut * 300), "progress")
            wire.cut()
        eventually(empty(outbox), "empty outbox", 30)
        publisher.stop(1)
    for camera, numbers in (("yard", range(1, 2000, 2)), ("gate", range(0, 2000, 2))):
        eventually(all_heard(listener, f"{camera}/alert", len(numbers)), "all")
        heard = list(map(int, listener.payloads(f"{camera}/alert")))
        assert list(dict.fromkeys(heard)) == list(numbers)
        # A repetition starts further back and goes on without a gap.
        assert all(after <= before + 2 for before, after in itertools.pairwise(heard))


BLACK_HOLE_S = float(os.environ.get("EDGE_BLACK_HOLE_SECONDS", "2"))


def test_a_black_hole_loses_nothing_and_keeps_the_order_however_long_it_lasts(
    broker: Broker,
    listen: Listen,
    outbox: Outbox,
    publish: StartPublisher,
    message: MakeMessage,
    eventually: Eventually,
) -> None:
    listener = listen(broker.port, "edge/+/+/alert")
    with contextlib.closing(Wire(broker.port)) as wire:
        publisher = publish(broker.config(port=wire.port, keepalive=5))
        outbox.put([message("alert", number) for number in range(1000)])
        eventually(more_than(publisher, 100), "progress")
        wire.passing.clear()
        began = time.monotonic()
        outbox.put([message("alert", number) for number in range(1000, 2000)])
        if BLACK_HOLE_S > 30:
            eventually(lambda: not publisher.connected, "the outage being noticed", 30)
            assert publisher.health().error
        while time.monotonic() < began + BLACK_HOLE_S:
            time.sleep(0.1)  # the time itself is what is tested
        assert sum(outbox.counts().queued.values()) >= 1000
        wire.passing.set()
        eventually(empty(outbox), "empty outbox", 60)
        eventually(all_heard(listener, "alert", 2000), "all", 30)
        publisher.stop(1)
    heard = list(map(int, listener.payloads("alert")))
    assert list(dict.fromkeys(heard)) == list(range(2000))
    assert outbox.counts().dropped["alert"] == 0


BROKER_KILLS = int(os.environ.get("EDGE_BROKER_KILLS", "4"))


def test_a_broker_that_dies_again_and_again_gets_the_rest_in_order(
    make_broker: MakeBroker,
    listen: Listen,
    outbox: Outbox,
    publish: StartPublisher,
    message: MakeMessage,
    eventually: Eventually,
) -> None:
    broker = make_broker("persistence false").start()
    listener = listen(broker.port)
    publisher = publish(broker.config())
    for turn in range(BROKER_KILLS + 1):
        numbers = range(turn * 400, turn * 400 + 400)
        outbox.put([message("alert", n, camera="yard" if n % 2 else "gate") for n in numbers])
        if turn < BROKER_KILLS:
            done = publisher.health().delivered.get("alert", 0)
            eventually(more_than(publisher, done + 50), "some progress")
            listener.subscribed.clear()
            broker.kill()
            broker.start()
            assert listener.subscribed.wait(20)
    eventually(empty(outbox), "empty outbox", 30)
    assert publisher.health().delivered["alert"] >= 400 * (BROKER_KILLS + 1)
    for camera in ("yard", "gate"):
        # Gaps are the broker's: what it acknowledged and had not passed on when it was killed.
        first_heard = list(dict.fromkeys(map(int, listener.payloads(f"{camera}/alert"))))
        assert first_heard == sorted(first_heard)
        assert len(first_heard) > 50


def test_a_broker_that_is_down_at_start_gets_everything_later(
    make_broker: MakeBroker,
    listen: Listen,
    outbox: Outbox,
    publish: StartPublisher,
    message: MakeMessage,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = make_broker()
    publisher = publish(broker.config())
    outbox.put([message("alert", number) for number in range(20)])
    eventually(lambda: publisher.health().error, "a failed connection")
    assert not publisher.connected
    assert "unreachable" in (publisher.health().error or "")
    broker.start()
    eventually(lambda: publisher.connected, "a connection")
    eventually(empty(outbox), "empty outbox")
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1, "one line per outage"
    assert publisher.health().error is None


def test_urgent_messages_overtake_a_backlog(
    make_broker: MakeBroker,
    listen: Listen,
    outbox: Outbox,
    publish: StartPublisher,
    message: MakeMessage,
    eventually: Eventually,
) -> None:
    broker = make_broker()
    outbox.put([message("embedding", n) for n in range(1000)])
    outbox.put([message("snapshot", b"jpeg"), message("alert", b"now")])
    broker.start()
    listener = listen(broker.port)
    publish(broker.config())
    eventually(lambda: len(listener.heard) >= 1003, "everything")
    queued = [one.topic.split("/")[3] for one in listener.heard if one.topic != "edge/box/status"]
    assert queued[:3] == ["alert", "snapshot", "embedding"]


def test_the_latest_state_is_retained_and_published_anew_on_a_broker_that_forgot(
    make_broker: MakeBroker,
    listen: Listen,
    publish: StartPublisher,
    eventually: Eventually,
) -> None:
    broker = make_broker("persistence false").start()
    publisher = publish(broker.config())
    publisher.publish_now(state_message(TOPICS, a_state("connecting")))
    publisher.publish_now(state_message(TOPICS, a_state("running")))
    publisher.announce("degraded")
    eventually(lambda: publisher.connected, "a connection")
    broker.kill()
    eventually(lambda: not publisher.connected, "a lost connection")
    broker.start()
    eventually(lambda: publisher.connected, "a connection")
    listener = listen(broker.port)
    eventually(lambda: len(listener.heard) >= 2, "the retained messages")
    heard = {message.topic: message for message in listener.heard}
    assert heard["edge/box/status"].payload == b"degraded"
    assert json.loads(heard["edge/box/yard/state"].payload)["state"] == "running"


def test_messages_past_the_outbox_wait_in_memory_for_a_connection(
    make_broker: MakeBroker,
    listen: Listen,
    publish: StartPublisher,
    message: MakeMessage,
    eventually: Eventually,
) -> None:
    broker = make_broker()
    publisher = publish(broker.config())
    for number in range(3):
        publisher.publish_now(message("alert", number))
    broker.start()
    listener = listen(broker.port)
    eventually(lambda: len(listener.payloads("alert")) >= 3, "three alerts")
    assert listener.payloads("alert") == [b"0", b"1", b"2"]


def test_memory_keeps_the_newest_and_counts_what_it_forgets(
    make_broker: MakeBroker, publish: StartPublisher, message: MakeMessage
) -> None:
    publisher = publish(make_broker().config())
    for number in range(1005):
        publisher.publish_now(message("alert", number))
    assert publisher.health().forgotten == {
        "alert": 5
    }  # "online" is retained: kept, and sent later


def test_a_disk_in_trouble_neither_ends_the_publisher_nor_repeats_messages(
    broker: Broker,
    listen: Listen,
    outbox: Outbox,
    publish: StartPublisher,
    message: MakeMessage,
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    listener = listen(broker.port, "edge/+/+/alert")
    delete, calls = outbox.delete, itertools.count()

    def fails_twice(seqs: Iterable[int], *, dropped: bool = False) -> None:
        if next(calls) < 2:
            raise OutboxError("outbox: disk I/O error")
        delete(seqs, dropped=dropped)

    monkeypatch.setattr(outbox, "delete", fails_twice)
    publisher = publish(broker.config())
    outbox.put([message("alert", 1)])
    eventually(lambda: publisher.health().error == "outbox: disk I/O error", "trouble")
    outbox.put([message("alert", 2)])
    eventually(empty(outbox), "empty outbox")
    eventually(lambda: publisher.health().error is None, "recovery")
    eventually(lambda: len(listener.payloads("alert")) > 1, "the broker handing on the second")
    assert listener.payloads("alert") == [b"1", b"2"]
    assert caplog.text.count("disk I/O error") == 1


def test_stop_brings_out_the_rest_says_stopped_and_leaves_no_will(
    broker: Broker,
    listen: Listen,
    outbox: Outbox,
    publish: StartPublisher,
    message: MakeMessage,
    eventually: Eventually,
) -> None:
    listener = listen(broker.port)
    publisher = publish(broker.config())
    eventually(lambda: publisher.connected, "a connection")
    outbox.put([message("alert", number) for number in range(500)])
    publisher.stop(10)
    assert sum(outbox.counts().queued.values()) == 0
    eventually(lambda: b"stopped" in listener.payloads("status"), "the word stopped")
    eventually(lambda: len(listener.payloads("alert")) >= 500, "all alerts")
    assert listen_retained(broker) == b"stopped"
    assert listener.payloads("status") == [b"online", b"stopped"]


def listen_retained(broker: Broker) -> bytes:
    """The status as a client sees it that comes late."""
    # paho gives no types here
    simple: Callable[..., Any] = mqtt_subscribe.simple
    kept = simple("edge/box/status", hostname="127.0.0.1", port=broker.port)
    assert kept.retain
    return bytes(kept.payload)


def test_stop_without_a_broker_returns_at_once_and_keeps_everything(
    make_broker: MakeBroker,
    outbox: Outbox,
    publish: StartPublisher,
    message: MakeMessage,
    eventually: Eventually,
) -> None:
    publisher = publish(make_broker().config())
    outbox.put([message("alert", 1)])
    eventually(lambda: publisher.health().error, "a failed connection")
    before = time.monotonic()
    publisher.stop(5)
    assert time.monotonic() - before < 4
    assert not publisher.health().running
    assert outbox.counts().queued["alert"] == 1


def test_a_broker_that_accepts_and_says_nothing_does_not_delay_stop(
    outbox: Outbox,
    publish: StartPublisher,
    eventually: Eventually,
    message: MakeMessage,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        publisher = publish(
            MqttConfig(host="127.0.0.1", port=silent.getsockname()[1]),
            timings=PublisherTimings(connect_s=1.0),
        )
        accepted, _ = silent.accept()
        before = time.monotonic()
        publisher.stop(0.5)
        assert time.monotonic() - before < 3
        accepted.close()
        eventually(lambda: not publisher.health().running, "the end of the thread")


WORKER = """
import sys, threading
from pathlib import Path
from edge.config.models import MqttConfig
from edge.delivery.outbox import Outbox
from edge.delivery.publisher import Publisher

outbox = Outbox(Path(sys.argv[2]), 1 << 20)
Publisher(MqttConfig(host="127.0.0.1", port=int(sys.argv[1])), "box", outbox).start()
threading.Event().wait()
"""


def test_the_last_will_says_offline_when_the_daemon_is_killed(
    broker: Broker, listen: Listen, tmp_path: Path, eventually: Eventually
) -> None:
    listener = listen(broker.port)
    command = [sys.executable, "-c", WORKER, str(broker.port), str(tmp_path / "outbox.db")]
    with subprocess.Popen(command) as daemon:
        eventually(lambda: listener.payloads("status") == [b"online"], "the word online")
        os.kill(daemon.pid, signal.SIGKILL)
    eventually(lambda: listener.payloads("status")[1:], "the last will")
    assert listener.payloads("status") == [b"online", b"offline"]
    assert listen_retained(broker) == b"offline"


def resident_mb() -> float:
    """The memory of this process, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def test_ten_thousand_queued_alerts_drain(
    make_broker: MakeBroker,
    outbox: Outbox,
    publish: StartPublisher,
    message: MakeMessage,
    eventually: Eventually,
    record_property: Callable[[str, object], None],
) -> None:
    broker = make_broker("max_queued_messages 0")
    body = b"x" * 600
    size = resident_mb()
    for first in range(0, 10_000, 500):  # as they come, so that the test itself takes no memory
        outbox.put([message("alert", b"%d " % n + body) for n in range(first, first + 500)])
        outbox.put([message("embedding", body) for _ in range(250)])
    broker.start()
    before = time.monotonic()
    publisher = publish(broker.config())
    eventually(lambda: not outbox.counts().queued["alert"], "no alert waits", 60)
    seconds = time.monotonic() - before
    record_property("drained_per_second", round(10_000 / seconds))
    print(f"drained 10,000 alerts of 600 B in {seconds:.2f} s: {10_000 / seconds:.0f} a second")
    eventually(empty(outbox), "empty outbox", 60)
    grown = resident_mb() - size
    record_property("grown_mb", round(grown, 1))
    assert publisher.health().delivered == {"alert": 10_000, "embedding": 5_000}
    assert grown < 60  # 20 are promised, and judged in a process of its own


def test_a_publisher_that_was_never_started_can_be_stopped(
    outbox: Outbox, make_broker: MakeBroker
) -> None:
    Publisher(make_broker().config(), "box", outbox).stop()
