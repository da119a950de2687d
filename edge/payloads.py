"""What goes over the wire: topics and payloads, as pure functions (docs/mqtt.md)."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

import cbor2
import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer
from ulid import ULID

from edge.redact import redact

ALERT_SCHEMA: Final = "edge-alert/1"
STATE_SCHEMA: Final = "edge-state/1"
EMBEDDING_SCHEMA: Final = "edge-embedding/1"

Kind = Literal["alert", "snapshot", "embedding", "status", "state"]
Status = Literal["online", "degraded", "stopped", "offline"]

# Long enough for a consumer that was down over night.
EMBEDDING_EXPIRY_S = 86_400

# RFC 8746, section 2.1: typed array of signed bytes. RFC 8949, section 3.4.2: epoch time.
_TAG_SINT8 = 72
_TAG_EPOCH = 1
_INT8_MAX = 127


@dataclass(frozen=True, slots=True)
class Message:
    """One MQTT message, ready to be stored and sent.

    Attributes:
        kind: Decides the order of sending and of dropping.
        camera: Whose it is; None for the device's own.
        schema: User property ``schema`` of MQTT 5.
        expiry_s: Message expiry interval of MQTT 5; None keeps it for ever.
    """

    topic: str
    payload: bytes
    kind: Kind
    camera: str | None
    qos: Literal[0, 1]
    retain: bool
    content_type: str
    schema: str | None = None
    expiry_s: int | None = None

    @property
    def lane(self) -> str:
        """Camera and kind: messages of one lane are delivered in order."""
        return f"{self.camera}/{self.kind}"


@dataclass(frozen=True, slots=True)
class Topics:
    """Names the topics of one device."""

    prefix: str
    device: str

    def status(self) -> str:
        return f"{self.prefix}/{self.device}/status"

    def alert(self, camera: str) -> str:
        return f"{self.prefix}/{self.device}/{camera}/alert"

    def snapshot(self, camera: str, alert_id: str) -> str:
        return f"{self.prefix}/{self.device}/{camera}/snapshot/{alert_id}"

    def embedding(self, camera: str) -> str:
        return f"{self.prefix}/{self.device}/{camera}/embedding"

    def state(self, camera: str) -> str:
        return f"{self.prefix}/{self.device}/{camera}/state"


def _iso_milliseconds(instant: datetime) -> str:
    utc = instant.astimezone(UTC).replace(tzinfo=None)
    return utc.isoformat(timespec="milliseconds") + "Z"


def utc(seconds: float) -> datetime:
    """Seconds since the epoch as what a payload's times take."""
    return datetime.fromtimestamp(seconds, UTC)


def _is_ulid(text: str) -> str:
    return str(ULID.from_str(text))


Instant = Annotated[
    AwareDatetime,
    PlainSerializer(_iso_milliseconds),
    Field(json_schema_extra={"format": "date-time", "pattern": r"T\d\d:\d\d:\d\d\.\d{3}Z$"}),
]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Rate = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
AlertId = Annotated[
    str,
    AfterValidator(_is_ulid),
    Field(json_schema_extra={"pattern": "^[0-7][0-9A-HJKMNP-TV-Z]{25}$"}),
]


class _Payload(BaseModel):
    # Unknown keys are ignored, so that an older reader understands a newer writer.
    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        serialize_by_alias=True,
        json_schema_serialization_defaults_required=True,
    )

    def to_json(self) -> bytes:
        """The payload as compact UTF-8 JSON."""
        return self.model_dump_json().encode()


class PromptRef(_Payload):
    """The rule that fired: its key in the configuration, and the sentence that matched best."""

    id: str
    text: str


class ModelRef(_Payload):
    """What computed the score: model id, hash of its bundle, precision of the image graph."""

    id: str
    hash: str
    precision: str


class AlertPayload(_Payload):
    """``<camera>/alert``: one step in the life of an alert."""

    schema_: Literal["edge-alert/1"] = Field(default=ALERT_SCHEMA, alias="schema")
    id: AlertId
    type: Literal["start", "update", "end"]
    device: str
    camera: str
    prompt: PromptRef
    score: Finite
    margin: Finite
    threshold: Finite
    started_at: Instant
    at: Instant
    ended_at: Instant | None = None
    snapshot: str | None = None
    clock_synced: bool | None = None
    model: ModelRef


class StatePayload(_Payload):
    """``<camera>/state``: how a camera does."""

    schema_: Literal["edge-state/1"] = Field(default=STATE_SCHEMA, alias="schema")
    device: str
    camera: str
    at: Instant
    state: str = Field(pattern=r"^[a-z_]+$")
    fps_in: Rate
    fps_sampled: Rate
    samples: Count
    dropped: Count
    corrupt: Count
    reconnects: Count
    lag_s: Rate | None = None
    error: Annotated[str, AfterValidator(redact)] | None = None
    scores: dict[str, Finite] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """One embedding as a subscriber sees it.

    Attributes:
        model: Hash of the bundle; embeddings of different hashes must not be compared.
        vector: float32 [D].
        pts: Seconds within the stream, or None.
        at: Arrival of the frame, UTC seconds since the epoch.
        sequence: Counts the camera's samples since the daemon started.
        reason: Why it was published.
    """

    device: str
    camera: str
    model: str
    vector: NDArray[np.float32]
    pts: float | None
    at: float
    sequence: int
    reason: str


def quantise(vector: NDArray[np.float32]) -> tuple[NDArray[np.int8], float]:
    """Symmetric int8: ``vector ≈ q * scale``, off by at most ``scale / 2`` (and float rounding).

    Args:
        vector: float32 [D], finite.

    Returns:
        int8 [D] within ±127, and the scale, a float32 value; 0 for a vector of zeros.

    Raises:
        ValueError: Not one-dimensional, empty, or not finite.
    """
    if vector.ndim != 1 or not vector.size or not np.isfinite(vector).all():
        raise ValueError(f"expected a finite vector [D], found shape {vector.shape}")
    scale = float(np.float32(np.abs(vector).max() / np.float32(_INT8_MAX)))
    if scale == 0:
        return np.zeros(vector.shape, np.int8), 0.0
    levels = np.rint(vector.astype(np.float64) / scale)
    return levels.clip(-_INT8_MAX, _INT8_MAX).astype(np.int8), scale


def encode_embedding(embedding: Embedding) -> bytes:
    """The embedding as CBOR (docs/schemas/embedding.cddl), its vector as int8 and a scale."""
    levels, scale = quantise(embedding.vector)
    return cbor2.dumps(
        {
            "schema": EMBEDDING_SCHEMA,
            "device": embedding.device,
            "camera": embedding.camera,
            "model": embedding.model,
            "dim": levels.size,
            "scale": scale,
            "vector": cbor2.CBORTag(_TAG_SINT8, levels.tobytes()),
            "pts": embedding.pts,
            "at": cbor2.CBORTag(_TAG_EPOCH, embedding.at),
            "sequence": embedding.sequence,
            "reason": embedding.reason,
        },
        canonical=True,
    )


def decode_embedding(payload: bytes) -> Embedding:
    """Read what ``encode_embedding`` wrote.

    Raises:
        ValueError: Not CBOR, another schema, or a field is missing or of another type.
    """
    try:
        fields = cbor2.loads(payload)
    except (cbor2.CBORDecodeError, ValueError, OverflowError) as exc:
        raise ValueError(
            f"expected an embedding in CBOR, found {len(payload)} other bytes"
        ) from exc
    if not isinstance(fields, dict) or fields.get("schema") != EMBEDDING_SCHEMA:
        raise ValueError(f"expected a CBOR map with schema {EMBEDDING_SCHEMA!r}")
    array = _field(fields, "vector", cbor2.CBORTag)
    dim, scale = _field(fields, "dim", int), _field(fields, "scale", float)
    if array.tag != _TAG_SINT8 or not isinstance(array.value, bytes) or len(array.value) != dim:
        raise ValueError(f"expected 'vector' as a typed array (tag 72) of {dim} signed bytes")
    if not math.isfinite(scale) or scale < 0:
        raise ValueError(f"expected 'scale' as a finite number from 0, found {scale}")
    return Embedding(
        device=_field(fields, "device", str),
        camera=_field(fields, "camera", str),
        model=_field(fields, "model", str),
        vector=np.frombuffer(array.value, np.int8) * np.float32(scale),
        pts=None if fields.get("pts") is None else _field(fields, "pts", float),
        at=_field(fields, "at", datetime).timestamp(),
        sequence=_field(fields, "sequence", int),
        reason=_field(fields, "reason", str),
    )


def _field(fields: dict[Any, Any], name: str, wanted: type[Any]) -> Any:
    value = fields.get(name)
    # CBOR's shortest form of 2.0 stays a float, but other writers may send the integer 2.
    if wanted is float and isinstance(value, int):
        value = float(value)
    if not isinstance(value, wanted):
        raise ValueError(f"expected {name!r} as {wanted.__name__}, found {value!r}")  # noqa: TRY004  a payload of the wrong form, not a wrong call
    return value


def status_message(topics: Topics, word: Status) -> Message:
    return Message(topics.status(), word.encode(), "status", None, 1, True, "text/plain")


def alert_message(topics: Topics, alert: AlertPayload) -> Message:
    topic = topics.alert(alert.camera)
    return Message(
        topic, alert.to_json(), "alert", alert.camera, 1, False, "application/json", ALERT_SCHEMA
    )


def snapshot_message(topics: Topics, camera: str, alert_id: str, jpeg: bytes) -> Message:
    topic = topics.snapshot(camera, alert_id)
    return Message(topic, jpeg, "snapshot", camera, 1, False, "image/jpeg")


def embedding_message(topics: Topics, embedding: Embedding) -> Message:
    return Message(
        topic=topics.embedding(embedding.camera),
        payload=encode_embedding(embedding),
        kind="embedding",
        camera=embedding.camera,
        qos=1,
        retain=False,
        content_type="application/cbor",
        schema=EMBEDDING_SCHEMA,
        expiry_s=EMBEDDING_EXPIRY_S,
    )


def state_message(topics: Topics, state: StatePayload) -> Message:
    topic = topics.state(state.camera)
    return Message(
        topic, state.to_json(), "state", state.camera, 0, True, "application/json", STATE_SCHEMA
    )
