"""What no packet of MQTT can hold, and what nobody expected, costs only itself."""

from dataclasses import replace

import pytest
from live_broker import Broker, Listen
from patience import Eventually
from publishing import MakeMessage, StartPublisher

from edge.delivery.outbox import Outbox


@pytest.mark.parametrize("topic", ["edge/+/alert", "edge/#", "edge/" + 70_000 * "x"])
def test_a_message_that_no_packet_can_hold_is_dropped_by_name_and_the_rest_goes_out(
    broker: Broker,
    listen: Listen,
    outbox: Outbox,
    publish: StartPublisher,
    message: MakeMessage,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
    topic: str,
) -> None:
    listener = listen(broker.port)
    outbox.put([replace(message("alert", 1), topic=topic), message("alert", 2)])
    publisher = publish(broker.config())
    eventually(lambda: listener.payloads("/alert"), "the alert that is well")
    eventually(lambda: outbox.counts().queued["alert"] == 0, "an empty queue")
    assert publisher.health().refused["alert"] == 1
    assert outbox.counts().dropped["alert"] == 1
    assert f"dropped a message on {topic:.200} " in caplog.text


def test_messages_from_memory_outlive_a_defect_of_the_connection(
    broker: Broker,
    listen: Listen,
    outbox: Outbox,
    publish: StartPublisher,
    message: MakeMessage,
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def defect(*_: object, **__: object) -> None:
        raise KeyError("nobody expected this")

    listener = listen(broker.port)
    monkeypatch.setattr(outbox, "pending", defect)
    publisher = publish(broker.config())
    publisher.publish_now(message("alert", 1))
    eventually(lambda: publisher.failed, "the end of the thread")
    assert publisher.health().protocol is None
    monkeypatch.undo()
    publisher.start()
    eventually(lambda: listener.payloads("/alert"), "the alert")
