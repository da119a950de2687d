"""What the demo keeps of the messages, whoever sent them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from known import known

from edge.cli.demo.record import Record
from edge.delivery.device_state import DeviceStatePayload
from edge.delivery.embedding import Embedding, encode_embedding
from edge.delivery.message import Received
from edge.delivery.payloads import AlertPayload, ModelRef, PromptRef, PromptsStatePayload, utc
from edge.rules.bank import PromptBank

ALERT_ID = "01JX7ZK4Q8V5R2M9T6B3N0C1DE"


def message(ending: str, payload: bytes) -> Received:
    return Received(f"edge/demo/{ending}", payload, retain=False, content_type=None)


def alert(
    type_: Literal["start", "end"] = "start", prompt: str = "red", at: float = 100.0
) -> bytes:
    return AlertPayload(
        id=ALERT_ID,
        type=type_,
        device="demo",
        camera="street",
        prompt=PromptRef(id=prompt, text="red"),
        score=0.5,
        margin=0.4,
        threshold=0.1,
        started_at=utc(100.0),
        at=utc(at),
        ended_at=utc(at) if type_ == "end" else None,
        model=ModelRef(id="tiny", hash="0" * 64, precision="int8"),
    ).to_json()


def embedding(vector: list[float], at: float) -> bytes:
    unit = np.array(vector, np.float32) / np.linalg.norm(vector).astype(np.float32)
    return encode_embedding(
        Embedding("demo", "street", "0" * 64, unit, pts=None, at=at, sequence=0, reason="interval")
    )


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "snapshots").mkdir()
    return tmp_path


@pytest.fixture
def record(out: Path, bank: PromptBank) -> Iterator[Record]:
    with Record(out, "edge/demo", bank) as record:
        yield record


def lines(out: Path, record: Record) -> list[dict[str, Any]]:
    record.__exit__(None, None, None)
    return [json.loads(line) for line in (out / "transcript.jsonl").read_text().splitlines()]


def test_an_alert_and_its_picture_become_a_file(record: Record, out: Path) -> None:
    assert known(record.take(message("street/alert", alert()))).type == "start"
    assert record.take(message(f"street/snapshot/{ALERT_ID}", b"jpeg")) is None
    assert known(record.take(message("street/alert", alert("end", at=103)))).type == "end"
    [seen] = record.alerts.values()
    assert seen.newest.type == "end"
    assert seen.snapshot == out / "snapshots" / "01-red.jpg"
    assert seen.snapshot.read_bytes() == b"jpeg"


def test_embeddings_are_scored_with_the_subscribers_own_prompts(record: Record) -> None:
    record.take(message("street/embedding", embedding([1, 0, 0, 0.1], at=50)))
    record.take(message("street/embedding", embedding([0, 0, 1, 0.1], at=50.5)))
    assert record.times == pytest.approx([0, 0.5])
    assert record.margins["red"][0] > 0.1 > record.margins["red"][1]
    assert record.margins["blue"][1] > 0.1 > record.margins["blue"][0]


def test_the_transcript_has_every_message_in_order(record: Record, out: Path) -> None:
    record.take(message("status", b"online"))
    record.take(message("street/alert", alert()))
    record.take(message("street/embedding", embedding([1, 0, 0, 0], at=50)))
    first, second, third = lines(out, record)
    assert (first["topic"], first["payload"]) == ("edge/demo/status", "online")
    assert second["payload"] == json.loads(alert())
    assert third["payload"].startswith("CBOR, ")


def test_the_state_of_the_device_is_in_the_transcript(record: Record, out: Path) -> None:
    state = DeviceStatePayload(device="demo", at=utc(100.0), outbox=None, refused={}, forgotten={})
    record.take(message("state", state.to_json()))
    assert record.kinds == {"device state": 1}
    assert lines(out, record)[0]["payload"]["schema"] == "edge-device-state/1"


def test_the_rules_in_force_are_in_the_transcript_and_are_no_cameras_state(
    record: Record, out: Path
) -> None:
    rules = PromptsStatePayload(
        device="demo", hash="a" * 64, source="file", prompts={}, applied_at=utc(100.0)
    )
    record.take(message("prompts/state", rules.to_json()))
    assert record.kinds == {"rules": 1}
    assert record.state is None
    assert lines(out, record)[0]["payload"]["schema"] == rules.schema_


@pytest.mark.parametrize(
    ("ending", "payload"),
    [
        ("street/alert", b"{}"),
        ("street/alert", b"\xff\xfe"),
        ("street/state", b"[]"),
        ("state", b"{}"),
        ("street/embedding", b"\xa1"),
        ("status", b"\xff"),
        ("a/b/c/d", b"?"),
    ],
)
def test_a_message_that_means_nothing_is_noted_and_passed_over(
    record: Record, out: Path, ending: str, payload: bytes
) -> None:
    assert record.take(message(ending, payload)) is None
    assert record.kinds == {"unknown": 1}
    assert lines(out, record)[0]["payload"].startswith("not understood")


def test_no_message_can_write_outside_the_folder_or_a_picture_without_an_alert(
    record: Record, out: Path
) -> None:
    record.take(message("street/snapshot/..%2f..%2fx", b"jpeg"))
    record.take(message(f"street/snapshot/{ALERT_ID}", b"jpeg"))
    assert list((out / "snapshots").iterdir()) == []
    record.take(message("street/alert", alert(prompt="../../../x")))
    record.take(message(f"street/snapshot/{ALERT_ID}", b"jpeg"))
    assert [path.name for path in (out / "snapshots").iterdir()] == ["01-x.jpg"]


def test_a_password_in_a_message_does_not_reach_the_transcript(record: Record, out: Path) -> None:
    record.take(message("status", b"rtsp://bob:c4nary-p4ss@192.0.2.1/x is dead"))
    assert lines(out, record)[0]["payload"] == "rtsp://bob:***@192.0.2.1/x is dead"
