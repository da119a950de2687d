"""Defines the payloads on the wire and writes them as messages. Pure (docs/mqtt.md)."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer
from ulid import ULID

from edge.delivery.embedding import EMBEDDING_SCHEMA, Embedding, encode_embedding
from edge.delivery.message import Message
from edge.delivery.topics import Topics
from edge.system.redact import redact

ALERT_SCHEMA: Final = "edge-alert/1"
STATE_SCHEMA: Final = "edge-state/1"
PROMPTS_STATE_SCHEMA: Final = "edge-prompts-state/1"
ANSWER_SCHEMA: Final = "edge-answer/1"

Status = Literal["online", "degraded", "stopped", "offline"]
# Those of a box that is not connected.
OFF: Final = frozenset[str]({"stopped", "offline"})

# Seconds; long enough for a consumer that was down overnight.
EMBEDDING_EXPIRY_S = 86_400
# Years in which a time can be told in any time zone.
_FIRST_YEAR, _LAST_YEAR = 2, 9998


def _iso_milliseconds(instant: datetime) -> str:
    utc = instant.astimezone(UTC).replace(tzinfo=None)
    return utc.isoformat(timespec="milliseconds") + "Z"


def utc(seconds: float) -> datetime:
    """Convert seconds since the epoch to a UTC time, the type of all times in payloads."""
    return datetime.fromtimestamp(seconds, UTC)


def _is_ulid(text: str) -> str:
    return str(ULID.from_str(text))


def _representable(instant: datetime) -> datetime:
    """Check that a time can be told in any time zone."""
    if not _FIRST_YEAR <= instant.year <= _LAST_YEAR:
        raise ValueError(f"expected a year from {_FIRST_YEAR} to {_LAST_YEAR}")
    return instant


Instant = Annotated[
    AwareDatetime,
    AfterValidator(_representable),
    PlainSerializer(_iso_milliseconds),
    Field(json_schema_extra={"format": "date-time", "pattern": r"T\d\d:\d\d:\d\d\.\d{3}Z$"}),
]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Rate = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
AlertId = Annotated[
    str,
    AfterValidator(_is_ulid),
    Field(json_schema_extra={"pattern": "^[0-7][0-9A-HJKMNP-TV-Z]{25}$"}),
]


class Payload(BaseModel):
    """A payload in JSON; its ``schema`` key names the version of its keys."""

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


class PromptRef(Payload):
    """Rule that alerted: its key in the configuration and its sentence that matched best."""

    id: str
    text: str


class ModelRef(Payload):
    """Model that computed the score: model id, hash of its bundle, precision of the image graph."""

    id: str
    hash: str
    precision: str


class BoxRef(Payload):
    """Detected box: its phrase, its score 0..1, and its left, top, right, bottom in 0..1."""

    phrase: str
    score: Finite
    box: tuple[Share, Share, Share, Share]


class VisitRef(Payload):
    """Visit that an alert belongs to: id of its first alert, number of this alert in it, from 1."""

    id: AlertId
    number: Annotated[int, Field(ge=1)]


class AlertPayload(Payload):
    """Payload of ``<camera>/alert``: the start, an update or the end of an alert."""

    schema_: Literal["edge-alert/1"] = Field(default=ALERT_SCHEMA, alias="schema")
    id: AlertId
    type: Literal["start", "update", "end"]
    device: str
    camera: str
    prompt: PromptRef
    score: Finite
    margin: Finite
    threshold: Finite
    calibration: Literal["fixed", "prior", "learned"] = "prior"
    false_alarms_per_day: Rate | None = None
    probability: Share | None = None
    visit: VisitRef | None = None
    started_at: Instant
    at: Instant
    ended_at: Instant | None = None
    snapshot: str | None = None
    boxes: tuple[BoxRef, ...] | None = None
    test: bool = False
    interrupted: bool = False
    clock_synced: bool | None = None
    model: ModelRef


ByHour = Annotated[tuple[Rate | None, ...], Field(min_length=24, max_length=24)]


class HoursRef(Payload):
    """False alarms that are expected in each hour of a day; null where it was never watched."""

    working_days: ByHour
    weekends: ByHour


class CalibrationRef(Payload):
    """Calibration of a rule's threshold on a camera (``edge.alerts.threshold``)."""

    state: Literal["fixed", "prior", "learned"]
    threshold: Finite
    false_alarms_per_day: Rate | None = None
    low: Rate | None = None
    high: Rate | None = None
    watched_days: Rate | None = None
    by_hour: HoursRef | None = None
    visits_per_day: Rate | None = None
    alerts_per_day: Rate | None = None


class StatePayload(Payload):
    """Payload of ``<camera>/state``: health and scores of a camera."""

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
    calibration: dict[str, CalibrationRef] = Field(default_factory=dict)
    light: Literal["day", "night"] | None = None
    view: Literal["moved", "covered"] | None = None
    view_changed_at: Instant | None = None
    gate: Literal["off", "unreadable", "learning", "noisy", "moving", "still"] = "off"
    gate_share: Rate = 1.0


class OutcomeRef(Payload):
    """Effect of a threshold on alerts that people judged: how many right and wrong ones remain."""

    threshold: Finite
    right: Count
    wrong: Count


class LessonRef(Payload):
    """Result of a rule's learning from feedback, measured on alerts that were held out.

    ``right`` and ``wrong`` count the alerts that people judged so. In ``before`` and ``after`` they
    count the held-out alerts that the old and the new threshold would still report.
    """

    right: Count
    wrong: Count
    before: OutcomeRef
    after: OutcomeRef

    def describe(self) -> str:
        """Describe the lesson in words."""
        one, other = self.before, self.after
        return (
            f"{self.right} right and {self.wrong} wrong alerts: threshold {one.threshold:.4g} -> "
            f"{other.threshold:.4g}, right ones {one.right} -> {other.right}, wrong ones "
            f"{one.wrong} -> {other.wrong}"
        )


class PromptsStatePayload(Payload):
    """Payload of ``prompts/state``: the rules in force, as in the configuration, and their source.

    ``hash`` is the hash of the compiled prompts: boxes with equal hashes score alike. ``source`` is
    ``mqtt`` where a command changed anything from the file. ``lessons`` contains the rules whose
    settings were learned from feedback, ``cameras`` the cameras that each rule watches while it is
    enabled.
    """

    schema_: Literal["edge-prompts-state/1"] = Field(default=PROMPTS_STATE_SCHEMA, alias="schema")
    device: str
    hash: str
    source: Literal["file", "mqtt"]
    applied_at: Instant
    prompts: dict[str, dict[str, Any]]
    profile: str | None = None
    cameras: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    lessons: dict[str, LessonRef] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()
    error: Annotated[str, AfterValidator(redact)] | None = None


class AnswerPayload(Payload):
    """Payload of ``answer``, or of the topic that the command's sender asks for: its result."""

    schema_: Literal["edge-answer/1"] = Field(default=ANSWER_SCHEMA, alias="schema")
    device: str
    topic: str
    at: Instant
    error: Annotated[str, AfterValidator(redact)] | None = None


def status_message(topics: Topics, word: Status) -> Message:
    return Message(topics.status(), word.encode(), "status", None, 1, True, "text/plain")


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertMessage(Message):
    """Message of an alert, together with its content.

    Attributes:
        alert: Content of ``payload``.
    """

    alert: AlertPayload = field(compare=False)


def alert_message(topics: Topics, alert: AlertPayload) -> AlertMessage:
    return AlertMessage(
        topic=topics.alert(alert.camera),
        payload=alert.to_json(),
        kind="alert",
        camera=alert.camera,
        qos=1,
        retain=False,
        content_type="application/json",
        schema=ALERT_SCHEMA,
        alert=alert,
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
