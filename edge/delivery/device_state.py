"""Reports the state of a device: what waits in the outbox, what was lost, and what is wrong."""

from collections.abc import Iterable, Mapping
from typing import Final, Literal, get_args

from pydantic import Field

from edge.delivery.message import Kind, Message
from edge.delivery.outbox import Outbox
from edge.delivery.payloads import Count, Instant, Payload, utc
from edge.delivery.publisher_health import PublisherHealth
from edge.delivery.queued import OutboxCounts
from edge.delivery.topics import Topics
from edge.errors import OutboxError
from edge.system.clock import clock_synced

DEVICE_STATE_SCHEMA: Final = "edge-device-state/1"

_EVERY_KIND: Final[tuple[Kind, ...]] = get_args(Kind)


class OutboxRef(Payload):
    """Content and losses of the outbox.

    ``queued`` and ``bytes`` count what is stored now. ``dropped`` counts what was removed without
    delivery since the outbox's file exists, over restarts. ``damaged`` counts how often the file
    was set aside since the start; the new file counts from 0.
    """

    queued: dict[Kind, Count]
    bytes: Count
    dropped: dict[Kind, Count]
    damaged: Count


class BuildRef(Payload):
    """Engines that are being built while ``runtime`` of ``EngineRef`` serves.

    ``role`` is that of the graph under way, after ``done`` of ``total``; ``seconds`` count from the
    beginning.
    """

    kind: str
    role: str
    done: Count
    total: Count
    seconds: float = Field(ge=0)


class EngineRef(Payload):
    """What runs the model. ``error`` says why a faster engine could not be built."""

    runtime: str
    device: str
    precision: str
    build: BuildRef | None = None
    error: str | None = None


class PowerRef(Payload):
    """Power mode and clocks of a Jetson, as they were found; null where they cannot be read."""

    mode: str | None
    cpu_mhz: Count | None
    cpu_most_mhz: Count | None
    gpu_mhz: Count | None
    gpu_most_mhz: Count | None


class DeviceStatePayload(Payload):
    """Payload of ``state``: messages of the device that wait or were lost, and what is wrong.

    ``outbox`` is null while its file cannot be read. ``refused`` counts what the broker refused for
    good, ``forgotten`` what was lost from memory; both by kind, since the start. A refused message
    of the outbox also counts in ``outbox.dropped``. ``quarantined`` has the topics of messages that
    wait because connections ended over them. ``errors`` says in words what is wrong with each part
    of the device that is in trouble now. ``clock_synced`` is as in an alert.
    ``power`` is null where the box is no Jetson.
    """

    schema_: Literal["edge-device-state/1"] = Field(default=DEVICE_STATE_SCHEMA, alias="schema")
    device: str
    at: Instant
    outbox: OutboxRef | None
    refused: dict[Kind, Count]
    forgotten: dict[Kind, Count]
    quarantined: tuple[str, ...] = ()
    errors: dict[str, str] = Field(default_factory=dict)
    clock_synced: bool | None = None
    engine: EngineRef | None = None
    power: PowerRef | None = None


def device_state(
    device: str,
    at: float,
    outbox: Outbox,
    health: PublisherHealth,
    errors: Mapping[str, str],
    engine: EngineRef | None = None,
    power: PowerRef | None = None,
) -> DeviceStatePayload:
    """Make the payload of a device's state.

    Args:
        device: Id of the device.
        at: Time of the state, UTC seconds.
        outbox: Queue of the device.
        health: Health of its publisher.
        errors: What is wrong, by the name of the part.
        engine: What runs the model; None where nobody knows.
        power: Power mode and clocks of a Jetson; None for any other box.
    """
    return DeviceStatePayload(
        device=device,
        at=utc(at),
        outbox=_outbox_ref(outbox),
        refused=_filled(health.refused, _EVERY_KIND),
        forgotten=_filled(health.forgotten, _EVERY_KIND),
        quarantined=health.quarantined,
        errors=dict(errors),
        clock_synced=clock_synced(),
        engine=engine,
        power=power,
    )


def device_state_message(topics: Topics, state: DeviceStatePayload) -> Message:
    return Message(
        topics.device_state(), state.to_json(), "state", None, 0, True, "application/json",
        DEVICE_STATE_SCHEMA,
    )  # fmt: skip


def _outbox_ref(outbox: Outbox) -> OutboxRef | None:
    try:
        counts: OutboxCounts = outbox.counts()
    except OutboxError:  # the publisher reports the error of the disk
        return None
    return OutboxRef(
        queued=counts.queued, bytes=counts.bytes, dropped=counts.dropped, damaged=counts.damaged
    )


def _filled(counts: Mapping[Kind, int], kinds: Iterable[Kind]) -> dict[Kind, int]:
    return {kind: counts.get(kind, 0) for kind in kinds}
