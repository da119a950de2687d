"""Defines the records that the daemon and a camera's process send each other.

They go over a socket pair that keeps their bounds, as JSON. A camera's process has read what a
stranger sent, so it may be in a stranger's hands: the daemon checks every record that comes from it
by these models, and believes none of them more than its camera.
"""

import socket
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from edge.model.bundle.manifest import ImageSpec
from edge.video.activity.health import GateHealth, GateState
from edge.video.worker import CameraHealth, Edges, State, Step

MOST_BYTES: Final = 32 * 1024
"""Size of the largest record."""
MOST_TEXT: Final = 2_000
_MOST_TRACE: Final = 12_000

Count = Annotated[int, Field(ge=0, lt=2**53)]
Seconds = Annotated[float, Field(ge=0, lt=2**53)]
Side = Annotated[int, Field(ge=1, le=65_536)]


class _Record(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True
    )


class Sampled(_Record):
    """A sample lies in a slot, which is the daemon's until it gives it back.

    Attributes:
        slot: Number of the slot.
        sequence: Number of the sample; each is higher than the one before.
        monotonic: Arrival, monotonic seconds. The daemon knows what time it was then.
        pts_s: Presentation time within the stream; None where it has none.
        height: Rows of the upright picture.
        width: Columns of the upright picture.
        heartbeat: Whether the picture is still and the sample says only that it is.
        after_break: Whether the stream was interrupted before it.
    """

    kind: Literal["sample"] = "sample"
    slot: Count
    sequence: Count
    monotonic: float
    pts_s: float | None
    height: Side
    width: Side
    heartbeat: bool = False
    after_break: bool = False


class Healthy(_Record):
    """How the camera does, and what its loop is doing.

    Attributes:
        step: What the loop is doing.
        step_s: Seconds for which it has been doing that.
        arrived_s: Seconds since the last packet; None before the first one of this process.
        gate: State of the activity gate.
        gate_share: Share of the time that it was open.
        state: As in ``CameraHealth``, and so all that follow.
    """

    kind: Literal["health"] = "health"
    step: Step
    step_s: Seconds
    arrived_s: Seconds | None
    gate: GateState
    gate_share: Annotated[float, Field(ge=0, le=1)]
    state: State
    fps_in: Seconds
    fps_sampled: Seconds
    samples: Count
    dropped: Count
    corrupt: Count
    reconnects: Count
    error: Annotated[str, Field(max_length=MOST_TEXT)] | None

    @classmethod
    def of(
        cls, health: CameraHealth, step: Step, step_s: float, arrived_s: float | None
    ) -> "Healthy":
        """Make the record of a camera's health."""
        error = None if health.error is None else health.error[:MOST_TEXT]
        fields = {name: getattr(health, name) for name in _HEALTH}
        own = {
            "step": step, "step_s": step_s, "arrived_s": arrived_s, "error": error,
            "gate": health.gate.state, "gate_share": health.gate.share,
        }  # fmt: skip
        return cls.model_construct(**fields | own)

    def health(self, last_arrival: float | None) -> CameraHealth:
        """Return the health that the record tells."""
        told = {name: getattr(self, name) for name in _HEALTH}
        gate = GateHealth(self.gate, self.gate_share)
        return CameraHealth(**told, last_arrival=last_arrival, gate=gate)


_HEALTH: Final = tuple(set(CameraHealth.__dataclass_fields__) - {"last_arrival", "gate"})


class Logged(_Record):
    """A record of the log.

    Attributes:
        level: Level of ``logging``.
        name: Name of the logger.
        text: Text.
        trace: Traceback; None without one.
    """

    kind: Literal["log"] = "log"
    level: Annotated[int, Field(ge=0, le=50)]
    name: Annotated[str, Field(pattern=r"^edge(\.[a-z_]{1,40}){0,8}$")]
    text: Annotated[str, Field(max_length=MOST_TEXT)]
    trace: Annotated[str, Field(max_length=_MOST_TRACE)] | None = None

    @classmethod
    def of(cls, level: int, name: str, text: str, trace: str | None) -> "Logged":
        """Make a record; a text that is too long is cut, a traceback at its beginning."""
        short = None if trace is None else trace[-_MOST_TRACE:]
        return cls(level=level, name=name, text=text[:MOST_TEXT], trace=short)


class Renewal(_Record):
    """The process ends by itself, so that a new one makes the next connection."""

    kind: Literal["renewal"] = "renewal"


class Answered(_Record):
    """The answer to a question lies in the answer's part of the memory.

    Attributes:
        number: Number of the question.
        size: Bytes of the answer; None where there is none.
    """

    kind: Literal["answer"] = "answer"
    number: Count
    size: Count | None


Told = Sampled | Healthy | Logged | Renewal | Answered
"""What a camera's process sends."""


class GivenBack(_Record):
    """A slot is the camera's again, and with it the frame of its sample may go."""

    kind: Literal["back"] = "back"
    slot: Count


class Question(_Record):
    """A question about the frame of a sample.

    Attributes:
        number: Number of the question.
        sequence: Number of the sample.
        jpeg_width: Largest width of a JPEG; None where pixels are wanted.
        spec: Size and resize rule of the pixels.
        box: Part of the picture that is wanted; None for the whole.
    """

    kind: Literal["ask"] = "ask"
    number: Count
    sequence: Count
    jpeg_width: Side | None = None
    spec: ImageSpec | None = None
    box: Edges | None = None


class EndOrder(_Record):
    """The camera is asked to end."""

    kind: Literal["end"] = "end"


Order = GivenBack | Question | EndOrder
"""What the daemon sends."""

_TOLD: Final[TypeAdapter[Told]] = TypeAdapter(Annotated[Told, Field(discriminator="kind")])
_ORDER: Final[TypeAdapter[Order]] = TypeAdapter(Annotated[Order, Field(discriminator="kind")])


def read_told(data: bytes) -> Told:
    """Read what a camera's process sent.

    Raises:
        ValueError: It is no record.
    """
    return _TOLD.validate_json(data)


def read_order(data: bytes) -> Order:
    """Read what the daemon sent.

    Raises:
        ValueError: It is no record.
    """
    return _ORDER.validate_json(data)


def send(channel: socket.socket, record: Told | Order) -> bool:
    """Send a record; return whether the other side has room for it.

    Raises:
        OSError: The other side is gone.
    """
    try:
        channel.send(record.model_dump_json().encode(), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
    except BlockingIOError:
        return False
    return True
