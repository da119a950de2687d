"""The device's state: what waits and what was lost, as a subscriber reads it."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from live_broker import MakeBroker
from publishing import MakeMessage, StartPublisher

from edge.cli.schemas import schemas
from edge.delivery.device_state import device_state, device_state_message
from edge.delivery.message import Message
from edge.delivery.outbox import Outbox
from edge.delivery.publisher_health import PublisherHealth
from edge.delivery.topics import Topics
from edge.errors import OutboxError

NOTHING_REFUSED = PublisherHealth(
    running=True, protocol="5", error=None, delivered={}, refused={}, forgotten={}
)
HEALTH = PublisherHealth(
    running=True,
    protocol="5",
    error=None,
    delivered={"alert": 9},
    refused={"snapshot": 2},
    forgotten={"alert": 1},
)


def state_of(
    outbox: Outbox, health: PublisherHealth = HEALTH, **errors: str
) -> tuple[Message, dict[str, Any]]:
    message = device_state_message(
        Topics("edge", "box"), device_state("box", 1_700_000_000.0, outbox, health, errors)
    )
    state = json.loads(message.payload)
    Draft202012Validator(json.loads(schemas()["device-state.json"])).validate(state)
    return message, state


def test_it_is_a_retained_message_of_the_device(outbox: Outbox) -> None:
    message, state = state_of(outbox)
    assert (message.topic, message.retain, message.camera) == ("edge/box/state", True, None)
    assert message.schema == state["schema"] == "edge-device-state/1"
    assert (state["device"], state["at"]) == ("box", "2023-11-14T22:13:20.000Z")


def test_it_counts_what_waits_and_what_was_dropped_for_want_of_room(
    tmp_path: Path, message: MakeMessage
) -> None:
    with contextlib.closing(Outbox(tmp_path / "outbox.db", 1000)) as outbox:
        outbox.put([message("alert", b"x" * 300) for _ in range(4)])
        _, state = state_of(outbox, NOTHING_REFUSED)
        assert state["outbox"]["queued"] == {"alert": 2, "snapshot": 0, "embedding": 0}
        assert state["outbox"]["dropped"] == {"alert": 2, "snapshot": 0, "embedding": 0}
        assert 600 < state["outbox"]["bytes"] <= 1000
        assert state["outbox"]["damaged"] == 0
    with contextlib.closing(Outbox(tmp_path / "outbox.db", 1000)) as outbox:
        assert state_of(outbox)[1]["outbox"]["dropped"]["alert"] == 2  # over a restart


def test_it_counts_what_the_broker_refused_and_what_memory_lost(outbox: Outbox) -> None:
    _, state = state_of(outbox)
    none = dict.fromkeys(("alert", "snapshot", "embedding", "status", "state", "answer"), 0)
    assert state["refused"] == none | {"snapshot": 2}
    assert state["forgotten"] == none | {"alert": 1}


def test_it_says_what_is_wrong_by_part(outbox: Outbox) -> None:
    assert state_of(outbox)[1]["errors"] == {}
    assert state_of(outbox, model="cosine 0.3")[1]["errors"] == {"model": "cosine 0.3"}


def test_without_a_disk_the_rest_is_still_reported(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise OutboxError("outbox: disk I/O error")

    monkeypatch.setattr(outbox, "counts", fail)
    _, state = state_of(outbox)
    assert state["outbox"] is None
    assert state["forgotten"]["alert"] == 1


def test_a_state_without_its_device_is_refused_by_the_schema() -> None:
    validator = Draft202012Validator(json.loads(schemas()["device-state.json"]))
    assert not validator.is_valid({"schema": "edge-device-state/1"})


@pytest.mark.broker
def test_a_loss_from_memory_is_in_the_publishers_health(
    make_broker: MakeBroker,
    publish: StartPublisher,
    message: MakeMessage,
    outbox: Outbox,
) -> None:
    publisher = publish(make_broker().config())
    for number in range(1002):
        publisher.publish_now(message("alert", number))
    assert state_of(outbox, publisher.health())[1]["forgotten"]["alert"] == 2


@pytest.mark.parametrize("synced", [True, False, None])
def test_it_says_whether_the_clock_is_synchronised(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch, synced: bool | None
) -> None:
    monkeypatch.setattr("edge.delivery.device_state.clock_synced", lambda: synced)
    _, state = state_of(outbox, NOTHING_REFUSED)
    assert state["clock_synced"] is synced
