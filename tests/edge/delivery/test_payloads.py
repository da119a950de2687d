import json
import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import cbor2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from jsonschema import Draft202012Validator
from numpy.typing import ArrayLike, NDArray
from pydantic import ValidationError
from ulid import ULID

from edge.cli.schemas import schemas
from edge.delivery.device_state import DeviceStatePayload
from edge.delivery.embedding import Embedding, decode_embedding, encode_embedding, quantise
from edge.delivery.payloads import (
    AlertPayload,
    StatePayload,
    alert_message,
    embedding_message,
    state_message,
    status_message,
)
from edge.delivery.topics import Topics

DOCS = Path(__file__).resolve().parents[3] / "docs"
TOPICS = Topics("edge", "nvr-01")

finite_vectors = arrays(
    np.float32, st.integers(1, 600), elements=st.floats(-(2.0**100), 2.0**100, width=32)
)


def an_alert(**changes: datetime | float | str) -> AlertPayload:
    fields = {
        "id": str(ULID()),
        "type": "start",
        "device": "nvr-01",
        "camera": "yard",
        "prompt": {"id": "intruder", "text": "a person climbing over a fence"},
        "score": 0.3,
        "margin": 0.1,
        "threshold": 0.05,
        "started_at": 1_700_000_000.25,
        "at": 1_700_000_001.5,
        "model": {"id": "concepts", "hash": "ab" * 32, "precision": "int8"},
    }
    return AlertPayload.model_validate(fields | changes)


def a_state(**changes: float | str) -> StatePayload:
    fields = {
        "device": "nvr-01",
        "camera": "yard",
        "at": 1_700_000_000.0,
        "state": "running",
        "fps_in": 25.0,
        "fps_sampled": 2.0,
        "samples": 10,
        "dropped": 0,
        "corrupt": 0,
        "reconnects": 1,
        "scores": {"intruder": -0.02},
    }
    return StatePayload.model_validate(fields | changes)


def an_embedding(vector: ArrayLike, **changes: float | None) -> Embedding:
    fields: dict[str, Any] = {
        "device": "nvr-01",
        "camera": "yard",
        "model": "ab" * 32,
        "vector": np.asarray(vector, np.float32),
        "pts": None,
        "at": 1_700_000_000.125,
        "sequence": 7,
        "reason": "interval",
    }
    return Embedding(**(fields | changes))


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(
        json.loads((DOCS / "schemas" / name).read_text()),
        format_checker=Draft202012Validator.FORMAT_CHECKER,
    )


@pytest.mark.parametrize("name", ["alert.json", "state.json", "device-state.json"])
def test_the_committed_schema_is_that_of_the_model(name: str) -> None:
    assert (DOCS / "schemas" / name).read_text() == schemas()[name]


@pytest.mark.parametrize(
    ("name", "payload"),
    [("alert.json", an_alert()), ("alert.json", an_alert(type="end", ended_at=5.0)),
     ("state.json", a_state()), ("state.json", a_state(lag_s=0.2, error="stalled"))],
)  # fmt: skip
def test_payloads_satisfy_their_schema(name: str, payload: AlertPayload | StatePayload) -> None:
    validator(name).validate(json.loads(payload.to_json()))


def test_schema_refuses_a_payload_without_its_id() -> None:
    fields = json.loads(an_alert().to_json())
    del fields["id"]
    assert not validator("alert.json").is_valid(fields)


def example_of(schema: str) -> dict[str, Any]:
    """The example in the document whose payload has this schema."""
    examples = re.findall(r"```json\n(.*?)```", (DOCS / "mqtt.md").read_text(), re.DOTALL)
    (example,) = (read for read in map(json.loads, examples) if read.get("schema") == schema)
    return example


def test_the_example_in_the_document_is_valid() -> None:
    example = example_of("edge-alert/1")
    validator("alert.json").validate(example)
    assert json.loads(an_alert().to_json()).keys() == example.keys()


def test_the_example_of_the_devices_state_is_valid() -> None:
    example = example_of("edge-device-state/1")
    validator("device-state.json").validate(example)
    assert example.keys() == set(DeviceStatePayload.model_json_schema()["properties"])


def test_times_are_utc_with_milliseconds() -> None:
    summer = timezone(timedelta(hours=2))
    alert = an_alert(started_at=datetime(2025, 6, 14, 11, 31, 7, 250_900, summer), at=0.0)
    fields = json.loads(alert.to_json())
    assert fields["started_at"] == "2025-06-14T09:31:07.250Z"
    assert fields["at"] == "1970-01-01T00:00:00.000Z"


def test_an_alert_reads_back_as_it_was() -> None:
    alert = an_alert(started_at=datetime(2025, 6, 14, tzinfo=UTC))
    assert AlertPayload.model_validate_json(alert.to_json()) == alert


def test_a_reader_ignores_keys_of_a_newer_writer() -> None:
    fields = json.loads(an_alert().to_json()) | {"probability": 0.98}
    assert AlertPayload.model_validate(fields).camera == "yard"


@pytest.mark.parametrize(
    "wrong",
    [{"id": "not-a-ulid"}, {"score": float("nan")}, {"margin": float("inf")}, {"type": "begin"},
     {"at": datetime(2025, 6, 14)}],  # noqa: DTZ001  the point: no time zone
)  # fmt: skip
def test_an_alert_that_would_mislead_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        an_alert(**wrong)


def test_a_camera_password_in_a_fault_is_masked() -> None:
    payload = a_state(error="cannot open rtsp://viewer:hunter22@192.0.2.10/stream").to_json()
    assert b"hunter22" not in payload
    assert b"rtsp://viewer:***@192.0.2.10/stream" in payload


def test_messages_go_to_the_documented_topics() -> None:
    embedding = embedding_message(TOPICS, an_embedding([1.0]))
    assert status_message(TOPICS, "online").topic == "edge/nvr-01/status"
    assert alert_message(TOPICS, an_alert()).topic == "edge/nvr-01/yard/alert"
    assert state_message(TOPICS, a_state()).topic == "edge/nvr-01/yard/state"
    assert embedding.topic == "edge/nvr-01/yard/embedding"
    assert TOPICS.snapshot("yard", "X") == "edge/nvr-01/yard/snapshot/X"
    assert embedding.expiry_s == 86_400


@given(finite_vectors)
def test_quantised_values_are_off_by_at_most_half_a_step(vector: NDArray[np.float32]) -> None:
    levels, scale = quantise(vector)
    error = np.abs(levels.astype(np.float64) * scale - vector.astype(np.float64))
    # The scale itself is rounded to float32: half a unit in its last place, 127 times.
    slack = 127 * np.spacing(np.float32(scale)).astype(np.float64) / 2
    assert error.max() <= scale / 2 + slack
    assert np.abs(levels).max() <= 127


@given(finite_vectors, st.none() | st.floats(-1e9, 1e9), st.integers(0, 2**40))
def test_an_embedding_reads_back_within_its_error_bound(
    vector: NDArray[np.float32], pts: float | None, sequence: int
) -> None:
    embedding = an_embedding(vector, pts=pts, sequence=sequence)
    back = decode_embedding(encode_embedding(embedding))
    levels, scale = quantise(vector)
    np.testing.assert_array_equal(back.vector, levels * np.float32(scale))
    assert back.vector.dtype == np.float32
    assert (back.pts, back.sequence, back.at) == (pts, sequence, embedding.at)


def test_a_unit_vector_keeps_its_direction() -> None:
    vector = np.random.default_rng(0).normal(size=512).astype(np.float32)
    vector /= np.linalg.norm(vector)
    back = decode_embedding(encode_embedding(an_embedding(vector))).vector
    assert vector @ back / np.linalg.norm(back) > 0.9999


def test_an_embedding_is_standard_cbor() -> None:
    fields = cbor2.loads(encode_embedding(an_embedding([1.0, -0.5, 0.0])))
    assert fields["vector"] == cbor2.CBORTag(72, bytes([127, 256 - 64, 0]))
    assert fields["at"] == datetime.fromtimestamp(1_700_000_000.125, UTC)
    assert (fields["schema"], fields["dim"]) == ("edge-embedding/1", 3)
    assert fields["scale"] == np.float32(1) / np.float32(127)


def test_the_cddl_names_the_keys_on_the_wire() -> None:
    cddl = (DOCS / "schemas" / "embedding.cddl").read_text()
    named = re.findall(r"^  (\w+):", cddl, re.MULTILINE)
    assert sorted(named) == sorted(cbor2.loads(encode_embedding(an_embedding([1.0]))))


@pytest.mark.parametrize("vector", [[], [[1.0]], [float("nan")], [float("inf"), 1.0]])
def test_a_vector_that_cannot_be_quantised_is_refused(
    vector: list[float] | list[list[float]],
) -> None:
    with pytest.raises(ValueError, match="expected a finite vector"):
        quantise(np.array(vector, np.float32))


@given(st.binary(max_size=200))
def test_noise_is_no_embedding(noise: bytes) -> None:
    with pytest.raises(ValueError, match="expected"):
        decode_embedding(noise)


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.data())
def test_an_embedding_with_a_wrong_field_is_refused_or_harmless(data: st.DataObject) -> None:
    fields = cbor2.loads(encode_embedding(an_embedding([1.0, 2.0])))
    fields[data.draw(st.sampled_from(sorted(fields)))] = data.draw(json_like)
    try:
        back = decode_embedding(cbor2.dumps(fields))
    except ValueError:
        return
    assert back.vector.shape == (2,)
    assert np.isfinite(back.vector).all()


@pytest.mark.parametrize("name", ["scale", "pts"])
def test_a_number_that_no_float_can_be_is_refused(name: str) -> None:
    fields = cbor2.loads(encode_embedding(an_embedding([1.0, 2.0])))
    decode_embedding(cbor2.dumps(fields | {name: 2}))  # the negative control
    with pytest.raises(ValueError, match=f"expected '{name}' as float"):
        decode_embedding(cbor2.dumps(fields | {name: 10**400}))


@pytest.mark.parametrize("scale", [1e38, 1e308, float("inf"), float("nan"), -1.0])
def test_a_scale_whose_vector_is_not_finite_is_refused(scale: float) -> None:
    fields = cbor2.loads(encode_embedding(an_embedding([1.0, 2.0])))
    with pytest.raises(ValueError, match="expected 'scale'"):
        decode_embedding(cbor2.dumps(fields | {"scale": scale}))
