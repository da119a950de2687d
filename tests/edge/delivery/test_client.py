"""What the command line hears of boxes, and says to them."""

import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from live_broker import Broker, Listen, MakeBroker, Tell
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from patience import Eventually
from publishing import MakeMessage, StartPublisher

from edge.delivery.client import ask, subscribe
from edge.delivery.outbox import Outbox
from edge.delivery.payloads import AnswerPayload
from edge.delivery.topics import Topics
from edge.errors import ConfigError, PublishError

pytestmark = pytest.mark.broker


class _Touchy(socketserver.BaseRequestHandler):
    """Passes bytes on to the broker, and hangs up on a subscription with a wildcard."""

    def handle(self) -> None:
        with socket.create_connection(self.server.broker) as broker:  # type: ignore[attr-defined]
            threading.Thread(target=self._back, args=(broker,), daemon=True).start()
            while (sent := self.request.recv(65_536)) and b"/+/" not in sent:
                broker.sendall(sent)
            broker.shutdown(socket.SHUT_RDWR)

    def _back(self, broker: socket.socket) -> None:
        while sent := broker.recv(65_536):
            self.request.sendall(sent)


@pytest.fixture
def touchy(broker: Broker) -> Iterator[int]:
    """Port of a broker that hangs up on wildcards, in front of ``broker``."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Touchy) as server:
        server.daemon_threads = True
        server.broker = ("127.0.0.1", broker.port)  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join(10)


def test_a_listener_hears_what_matches_its_filters(
    broker: Broker,
    outbox: Outbox,
    publish: StartPublisher,
    message: MakeMessage,
    eventually: Eventually,
) -> None:
    publisher = publish(broker.config())
    eventually(lambda: publisher.connected, "a connection")
    heard = subscribe(broker.config(), ["edge/+/+/alert", "edge/+/status"])
    first = next(heard)
    assert (first.topic, first.payload, first.retain) == ("edge/box/status", b"online", True)
    outbox.put([message("embedding", 1), message("alert", 2)])
    second = next(heard)
    assert (second.topic, second.payload) == ("edge/box/yard/alert", b"2")
    assert second.content_type == "application/octet-stream"
    heard.close()


def test_a_listener_goes_on_after_a_lost_connection(
    make_broker: MakeBroker,
    outbox: Outbox,
    publish: StartPublisher,
    message: MakeMessage,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = make_broker().start()
    publisher = publish(broker.config())
    eventually(lambda: publisher.connected, "a connection")
    heard = subscribe(broker.config(), ["edge/#"])
    assert next(heard).payload == b"online"
    broker.kill()
    broker.start()
    assert next(heard).payload == b"online"
    assert "connecting again" in caplog.text
    heard.close()


def test_a_listener_ends_after_its_time(broker: Broker) -> None:
    assert list(subscribe(broker.config(), ["edge/#"], timeout_s=0.2)) == []


def test_no_broker_at_the_start_is_an_error(make_broker: MakeBroker) -> None:
    with pytest.raises(PublishError, match="unreachable"):
        next(subscribe(make_broker().config(), ["edge/#"]))


def test_a_box_that_does_not_answer_is_an_error(broker: Broker) -> None:
    topics = Topics("edge", "box")
    with pytest.raises(PublishError, match=r"no answer of box within 0\.2 s: is it on"):
        ask(broker.config(), topics, ("prompt", "cat", "test"), b"", timeout_s=0.2)


@pytest.mark.parametrize("word", ["offline", "stopped"])
def test_a_box_that_is_off_is_known_at_once(
    broker: Broker, tell: Tell, listen: Listen, eventually: Eventually, word: str
) -> None:
    tell(broker.port, "edge/box/status", word, retain=True)
    listener = listen(broker.port)
    topics = Topics("edge", "box")
    asked = time.monotonic()
    with pytest.raises(PublishError, match=f"box is off, its status is '{word}': nothing was sent"):
        ask(broker.config(), topics, ("prompt", "cat", "test"), b"")
    with pytest.raises(PublishError, match="it finds this when it is on again"):
        ask(broker.config(), topics, ("prompts",), b"{}", retain=True)
    assert time.monotonic() - asked < 30  # it waits 60 s for a box that is on
    eventually(lambda: listener.payloads("prompts/set") == [b"{}"], "the command that is kept")
    assert not listener.payloads("/test/set")


@pytest.mark.parametrize("levels", [("prompts",), ("profile",)])
def test_a_reset_of_a_box_that_is_off_is_not_kept(
    broker: Broker, tell: Tell, levels: tuple[str, ...]
) -> None:
    tell(broker.port, "edge/box/status", "offline", retain=True)
    with pytest.raises(PublishError, match=r"off, .* it keeps its rules .*: reset it again once"):
        ask(broker.config(), Topics("edge", "box"), levels, b"", retain=True)


def test_what_a_broker_does_not_keep_is_to_be_sent_again(make_broker: MakeBroker) -> None:
    broker = make_broker("retain_available false").start()
    with pytest.raises(PublishError, match="this broker keeps no message for it: send it again"):
        ask(
            broker.config(), Topics("edge", "box"), ("prompts",), b"{}", retain=True, timeout_s=0.2
        )  # fmt: skip


def test_a_box_that_the_broker_does_not_know_is_an_error_with_a_suggestion(
    broker: Broker, tell: Tell, listen: Listen
) -> None:
    tell(broker.port, "edge/nvr-01/status", "online", retain=True)
    listener = listen(broker.port)
    topics = Topics("edge", "nvr-10")
    with pytest.raises(ConfigError, match=r"no box 'nvr-10' .*did you mean 'nvr-01'\?.*: nothing"):
        ask(broker.config(), topics, ("prompt", "cat", "test"), b"")
    assert not listener.payloads("/set")


def test_a_box_that_has_never_started_finds_its_rules(
    broker: Broker, tell: Tell, listen: Listen, eventually: Eventually
) -> None:
    tell(broker.port, "edge/nvr-01/status", "online", retain=True)
    with pytest.raises(PublishError, match=r"no box 'nvr-10' .*'nvr-01'.*: it finds this when"):
        ask(broker.config(), Topics("edge", "nvr-10"), ("prompts",), b"{}", retain=True)
    listener = listen(broker.port)  # as the box, at its start
    eventually(lambda: listener.payloads("nvr-10/prompts/set") == [b"{}"], "its rules")


@pytest.mark.parametrize("rights", ["edge/#", "edge/nvr-59/#"])
def test_a_box_is_found_among_many_by_those_who_may_see_it(
    make_broker: MakeBroker,
    tell: Tell,
    listen: Listen,
    eventually: Eventually,
    tmp_path: Path,
    rights: str,
) -> None:
    rules = tmp_path / "acl"
    rules.write_text(f"topic readwrite edge/#\nuser one\ntopic readwrite {rights}\n")
    broker = make_broker(f"acl_file {rules}").start()
    boxes = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    boxes.connect("127.0.0.1", broker.port)
    boxes.loop_start()
    sent = [boxes.publish(f"edge/nvr-{n:02}/status", "online", 1, retain=True) for n in range(60)]
    for status in sent:
        status.wait_for_publish(10)
    listener = listen(broker.port)
    topics, levels = Topics("edge", "nvr-59"), ("prompt", "cat", "test")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, broker.config(username="one"), topics, levels, b"", timeout_s=30)
        eventually(lambda: listener.payloads("test/set") or asked.done(), "the command")
        said = {"device": "nvr-59", "topic": topics.command(*levels), "at": "2026-01-01T00:00:00Z"}
        answer = AnswerPayload.model_validate({"schema": "edge-answer/1", **said})
        boxes.publish(topics.answer(), answer.to_json(), 1)
        assert asked.result() is None
    assert "edge/+/status" not in broker.log()  # which some brokers answer by hanging up
    with pytest.raises(ConfigError, match=r"no box 'nvr-599' \(did you mean 'nvr-59'"):
        ask(broker.config(username="one"), Topics("edge", "nvr-599"), levels, b"")
    boxes.disconnect()
    boxes.loop_stop()


def test_a_broker_that_hangs_up_on_a_forbidden_look_at_all_boxes_takes_the_command(
    broker: Broker, touchy: int, tell: Tell, listen: Listen, eventually: Eventually
) -> None:
    tell(broker.port, "edge/nvr-01/status", "online", retain=True)
    listener = listen(broker.port)
    topics = Topics("edge", "nvr-10")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(
            ask, broker.config(port=touchy), topics, ("profile",), b"away", retain=True
        )
        eventually(lambda: listener.payloads("profile/set") or asked.done(), "the command")
        said = {
            "device": "nvr-10",
            "topic": "edge/nvr-10/profile/set",
            "at": "2026-01-01T00:00:00Z",
        }
        answer = AnswerPayload.model_validate({"schema": "edge-answer/1", **said})
        tell(broker.port, topics.answer(), answer.to_json())
        assert asked.result() is None
