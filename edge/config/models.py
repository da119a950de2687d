"""The configuration as frozen records: what may be set, its unit, its default (docs/config.md).

Durations are seconds in code; in the file they may be written ``500ms``, ``10s``, ``5m``, ``1h``.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def _seconds(value: Any) -> Any:
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*", value)
        if not match:
            raise ValueError(f"expected a duration such as 10s, 500ms or 5m, found {value!r}")
        return float(match[1]) * _UNITS[match[2]]
    return value


def _one_or_more(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Seconds = Annotated[float, BeforeValidator(_seconds), Field(ge=0, allow_inf_nan=False)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_one_or_more)]
# A name becomes an MQTT topic level: no '/', '+', '#', blanks.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class DeviceConfig(_Section):
    """Who this box is.

    Attributes:
        id: Second level of every MQTT topic; unique among the boxes of one broker.
    """

    id: Name


class EngineConfig(_Section):
    """Which runtime computes embeddings.

    Attributes:
        kind: ``auto`` takes the first installed of openvino, onnxruntime.
        device: The runtime's device word. Not there: exit 3, never a silent fall-back.
        threads: Inference threads; 0 leaves the choice to the runtime.
        precision: ``auto`` takes int8 where the bundle has it.
    """

    kind: Literal["auto", "openvino", "onnxruntime", "null"] = "auto"
    device: str = "CPU"
    threads: int = Field(default=1, ge=0, le=256)
    precision: Literal["auto", "int8", "fp16", "fp32"] = "auto"


class TlsConfig(_Section):
    """TLS towards the broker; ``cert`` and ``key`` identify this box (mutual TLS)."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


class MqttConfig(_Section):
    """Where messages go.

    Attributes:
        topic_prefix: First level of every topic.
        protocol: ``auto`` speaks MQTT 5 and falls back to 3.1.1 where the broker cannot.
        client_id: Default ``edge-<device id>``; must be stable, the session hangs on it.
        keepalive: Broker declares us offline after 1.5 times this.
        max_inflight: QoS 1 messages on the wire without their PUBACK.
    """

    host: str
    port: int = Field(default=1883, ge=1, le=65535)
    topic_prefix: Name = "edge"
    protocol: Literal["auto", "5", "3.1.1"] = "auto"
    client_id: str | None = None
    username: str | None = None
    password: SecretStr | None = None
    keepalive: Seconds = Field(default=30.0, ge=5, le=3600)
    max_inflight: int = Field(default=100, ge=1, le=10_000)
    tls: TlsConfig | None = None


class OutboxConfig(_Section):
    """The queue on disk. Full: embeddings go before snapshots before alerts, oldest first.

    Attributes:
        max_bytes: Payload bytes kept while the broker is away.
    """

    max_bytes: int = Field(default=256 * 1024 * 1024, ge=64 * 1024)


class EmbeddingsConfig(_Section):
    """Which embeddings are published.

    Attributes:
        publish: All samples, none, or only those inside an alert.
        every: At most one per camera in this time; 0 publishes each sample.
    """

    publish: Literal["all", "alerts", "off"] = "all"
    every: Seconds = 1.0


class SnapshotsConfig(_Section):
    """JPEG pictures of alerts, published beside them.

    Attributes:
        publish: Whether an alert's start carries a picture.
        max_width: Wider frames are scaled down.
    """

    publish: bool = True
    max_width: int = Field(default=640, ge=64, le=3840)


class OnConfig(_Section):
    """Persistence: an alert starts when ``for_`` of the last ``of`` samples are above."""

    for_: int = Field(default=2, ge=1, le=100, alias="for")
    of: int = Field(default=3, ge=1, le=100)


class PromptConfig(_Section):
    """One alert rule.

    Attributes:
        text: The sentence, or several that mean the same (the best one counts).
        negatives: Sentences that look alike but must not alert; the margin is taken against them.
        threshold: Margin above which a sample counts; default from the bundle.
        on: Persistence before the alert starts.
        off_after: The alert ends when the margin stayed below for this long.
        cooldown: No new alert of this prompt and camera within this time after one ended.
        update_every: A running alert reports itself this often; 0 never.
    """

    text: Texts = Field(min_length=1)
    negatives: Texts = ()
    threshold: float | None = Field(default=None, ge=-2, le=2)
    on: OnConfig = OnConfig()
    off_after: Seconds = 2.0
    cooldown: Seconds = 0.0
    update_every: Seconds = 10.0


class SampleConfig(_Section):
    """How often a camera is looked at, in frames per second."""

    fps: float = Field(default=2.0, gt=0, le=60)


class CameraConfig(_Section):
    """One camera.

    Attributes:
        url: ``rtsp://``, ``rtsps://`` or ``file:``; give the substream where there is one.
        prompts: Which rules watch it; default all.
        transport: RTSP media over TCP (default) or UDP.
        timeout: Silence after which the connection counts as dead.
        loop: For files: start again at the end.
    """

    url: SecretStr
    prompts: tuple[Name, ...] | None = None
    sample: SampleConfig = SampleConfig()
    transport: Literal["tcp", "udp"] = "tcp"
    timeout: Seconds = Field(default=5.0, ge=0.5, le=120)
    loop: bool = False


class Config(_Section):
    """The whole file.

    Attributes:
        state_dir: Where the outbox lives; survives restarts.
        background: Replaces the bundle's background prompts.
    """

    device: DeviceConfig
    bundle: Path
    state_dir: Path = Path("/var/lib/edge")
    engine: EngineConfig = EngineConfig()
    mqtt: MqttConfig
    outbox: OutboxConfig = OutboxConfig()
    embeddings: EmbeddingsConfig = EmbeddingsConfig()
    snapshots: SnapshotsConfig = SnapshotsConfig()
    background: Texts | None = None
    prompts: dict[Name, PromptConfig] = Field(min_length=1)
    cameras: dict[Name, CameraConfig] = Field(min_length=1)
