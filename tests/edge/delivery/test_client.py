"""What the command line hears of boxes, and says to them."""

import time

import pytest
from live_broker import Broker, Listen, MakeBroker, Tell
from patience import Eventually
from publishing import MakeMessage, StartPublisher

from edge.delivery.client import ask, subscribe
from edge.delivery.outbox import Outbox
from edge.delivery.topics import Topics
from edge.errors import ConfigError, PublishError

pytestmark = pytest.mark.broker


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


def test_a_box_that_the_broker_does_not_know_is_an_error_with_a_suggestion(
    broker: Broker, tell: Tell
) -> None:
    tell(broker.port, "edge/nvr-01/status", "online", retain=True)
    topics = Topics("edge", "nvr-10")
    with pytest.raises(ConfigError, match=r"no box 'nvr-10' .*; did you mean 'nvr-01'\?"):
        ask(broker.config(), topics, ("prompts",), b"{}", retain=True)
