"""Defines the configuration as frozen records: settings, units, defaults (docs/config.md).

Validators say what they expect; ``edge.config.load`` adds the value found and its place.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from edge.config.fields import (
    AspectRatio,
    CameraName,
    ConfigSection,
    Host,
    LocalPath,
    LocalPaths,
    MqttText,
    Name,
    Names,
    Polygon,
    QuarterTurn,
    Seconds,
    Text,
    Texts,
    Topic,
    camera_url,
    digits_as_text,
    mqtt_secret,
    null_as_text,
)
from edge.config.prompt import PromptConfig
from edge.config.schedule import Timezone

EngineKind = Literal["auto", "openvino", "onnxruntime", "tensorrt", "null"]


class DeviceConfig(ConfigSection):
    """Identity of this box.

    Attributes:
        id: Second level of every MQTT topic; unique among the boxes of one broker.
    """

    id: Name


class EngineConfig(ConfigSection):
    """Runtime that computes the embeddings.

    Attributes:
        kind: Runtime; ``auto`` takes the fastest installed one that gives correct results.
        device: Device name of the runtime. A missing device ends the daemon (exit code 3).
        threads: Inference threads; 0 leaves the choice to the runtime.
        precision: Precision; ``auto`` takes the fastest correct one that the bundle contains.
    """

    kind: Annotated[
        EngineKind, BeforeValidator(null_as_text, json_schema_input_type=EngineKind | None)
    ] = "auto"
    device: Text = "CPU"
    threads: int = Field(default=1, ge=0, le=256)
    precision: Literal["auto", "int8", "fp16", "fp32"] = "auto"


class TlsConfig(ConfigSection):
    """TLS to the broker; ``{}`` is enough where a public authority signed its certificate.

    Attributes:
        ca: Certificate authority of the broker; default the authorities of the system.
        cert: Certificate that identifies this box (mutual TLS); together with ``key``.
        key: Private key of ``cert``.
    """

    ca: LocalPath | None = None
    cert: LocalPath | None = None
    key: LocalPath | None = None

    @model_validator(mode="after")
    def _cert_and_key_together(self) -> Self:
        if (self.cert is None) != (self.key is None):
            only = "key" if self.cert is None else "cert"
            raise ValueError(f"expected cert and key together, found only {only}")
        return self


class MqttConfig(ConfigSection):
    """Connection to the MQTT broker.

    Attributes:
        host: Name or address of the broker.
        port: Port of the broker; usually 1883 without TLS and 8883 with TLS.
        topic_prefix: First level of every topic.
        protocol: MQTT version; ``auto`` uses 5, or 3.1.1 where the broker does not support 5.
        client_id: Default ``edge-<device id>``; must stay the same, since it names the session.
        username: User name at the broker.
        password: Password at the broker.
        keepalive: MQTT keep-alive; after 1.5 times this the broker reports the box as offline.
        max_inflight: Largest number of QoS 1 messages that are sent and not acknowledged.
        tls: Encryption; without this section nothing is encrypted.
    """

    host: Host
    port: int = Field(default=1883, ge=1, le=65535)
    topic_prefix: Name = "edge"
    protocol: Annotated[
        Literal["auto", "5", "3.1.1"],
        BeforeValidator(digits_as_text, json_schema_input_type=Literal["auto", "5", "3.1.1", 5]),
    ] = "auto"
    client_id: MqttText | None = None
    username: MqttText | None = None
    password: Annotated[SecretStr, AfterValidator(mqtt_secret)] | None = None
    keepalive: Seconds = Field(default=30.0, ge=5, le=3600)
    max_inflight: int = Field(default=100, ge=1, le=10_000)
    tls: TlsConfig | None = None

    @model_validator(mode="after")
    def _no_password_alone(self) -> Self:
        if self.password is not None and self.username is None:
            raise ValueError("expected a username beside the password")
        return self


class OutboxConfig(ConfigSection):
    """Queue on disk. When full, it drops embeddings, then snapshots, then alerts; oldest first.

    Attributes:
        max_bytes: Largest size of the messages kept while the broker is unreachable, in bytes.
    """

    max_bytes: int = Field(default=256 * 1024 * 1024, ge=64 * 1024)


class EmbeddingsConfig(ConfigSection):
    """Publishing of embeddings.

    Attributes:
        publish: Which samples are published: all, only those during an alert, or none.
        every: Shortest time between two embeddings of a camera; 0 publishes each sample.
    """

    publish: Literal["all", "alerts", "off"] = "all"
    every: Seconds = 1.0


class SnapshotsConfig(ConfigSection):
    """JPEG pictures of alerts, published as messages of their own.

    Attributes:
        publish: Whether a picture is published when an alert starts.
        max_width: Largest width in pixels; wider frames are scaled down.
    """

    publish: bool = True
    max_width: int = Field(default=640, ge=64, le=3840)


class IndexConfig(ConfigSection):
    """Index of embeddings and small pictures, kept on the box for the search.

    Attributes:
        enabled: Whether the box keeps the index.
        max_age: Largest age of an entry; older entries are removed.
        max_bytes: Largest size of all files in bytes; the oldest entries are removed first.
    """

    enabled: bool = False
    max_age: Seconds = Field(default=30 * 86_400.0, ge=3600)
    max_bytes: int = Field(default=4 * 1024**3, ge=64 * 1024**2)


class SampleConfig(ConfigSection):
    """Sampling of a camera.

    Attributes:
        fps: Samples per second.
        idle: Samples per second while the activity gate is closed, at most ``fps``.
    """

    # One sample in 17 minutes: with less, nothing adds up to an alert.
    fps: float = Field(default=2.0, ge=0.001, le=60)
    idle: float = Field(default=0.1, ge=0.001, le=60)


class DetectorConfig(ConfigSection):
    """Detector, which adds boxes to alerts.

    Attributes:
        boxes: Whether alerts carry boxes; rules with zones or crops use the detector in any case.
        bundle: Folder of a detector (Grounding DINO); default the regions of the main bundle.
        threshold: Smallest score of a box; default the detector's.
        cooldown: Shortest time between two detections per camera; default 1 s with regions, 5 s
            with a detector.
    """

    boxes: bool = True
    bundle: LocalPath | None = None
    threshold: float | None = Field(default=None, ge=0, le=1)
    cooldown: Seconds | None = None


class ClipConfig(ConfigSection):
    """Clip model, which sees several frames and confirms rules of ``kind: clip``.

    Attributes:
        bundle: Folder of a clip model (X-CLIP).
    """

    bundle: LocalPath


class CameraConfig(ConfigSection):
    """One camera.

    Attributes:
        url: ``rtsp://``, ``rtsps://``, ``file:`` or a path; use the substream where there is one.
        prompts: Rules that watch the camera; default all.
        aspect: Width:height of the upright picture, where the camera's stream does not say it
            rightly; default as the stream says.
        rotate: Degrees clockwise that turn the picture upright; default as the stream says.
        zones: Polygons by name, corners in 0..1 of the upright picture's width and height.
        sample: Sampling of the camera.
        gate: Whether samples are rare while nothing moves (``edge.video.activity``).
        transport: Transport of RTSP media: TCP (default) or UDP.
        decode: Where its video is decoded; ``auto`` measures (``edge.video.hardware``).
        timeout: Time without data after which the connection counts as dead.
        loop: Whether a file starts again at its end.
    """

    url: Annotated[SecretStr, AfterValidator(camera_url)]
    prompts: Names | None = None
    aspect: AspectRatio | None = None
    rotate: QuarterTurn | None = None
    zones: dict[Name, Polygon] = Field(default_factory=dict)
    sample: SampleConfig = SampleConfig()
    gate: bool = False
    transport: Literal["tcp", "udp"] = "tcp"
    decode: Literal["auto", "cpu", "vaapi", "nvdec"] = "cpu"
    timeout: Seconds = Field(default=5.0, ge=0.5, le=120)
    loop: bool = False

    def same_stream(self, other: "CameraConfig") -> bool:
        """Whether the camera sends the same samples, whatever rules and zones it has."""
        own, others = (
            one.model_copy(update={"prompts": None, "zones": {}}) for one in (self, other)
        )
        return own == others

    def watched_by(self, rule: str) -> bool:
        """Whether the rule of this name watches the camera while it is enabled."""
        return self.prompts is None or rule in self.prompts


class HomeAssistantConfig(ConfigSection):
    """MQTT discovery, by which Home Assistant finds this box (docs/homeassistant.md).

    Attributes:
        discovery: Whether the box publishes its description. Off by default: the topics are outside
            our own, and a broker with access rules may close the connection because of them.
        prefix: The ``discovery_prefix`` of Home Assistant.
        birth: Topic on which Home Assistant reports that it has started.
    """

    discovery: bool = False
    prefix: Topic = "homeassistant"
    birth: Topic = "homeassistant/status"


class LogConfig(ConfigSection):
    """Log of the daemon on stderr. In systemd's journal, records are entries with fields.

    Attributes:
        level: Lowest level that is logged; ``-v`` logs all.
        format: Lines for people (``text``), or one JSON object a line (``json``).
    """

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class Config(ConfigSection):
    """The whole configuration file.

    Attributes:
        device: Identity of this box.
        bundle: Folder of the model bundle.
        bundle_keys: Public keys; one of them must have signed the bundle. Default no check.
        state_dir: Folder of the outbox and other state; it must survive restarts.
        engine: Runtime that computes the embeddings.
        mqtt: Connection to the MQTT broker.
        outbox: Queue on disk.
        embeddings: Publishing of embeddings.
        snapshots: Pictures of alerts.
        index: Index for the search.
        detector: Detector, which adds boxes to alerts.
        clip: Clip model, for rules of ``kind: clip``.
        background: Sentences for "nothing of interest"; they replace the bundle's.
        timezone: Time zone of schedules; default the box's own.
        profile: Profile at the start ("home", "away"), for rules with ``profiles``; default none.
        prompts: Alert rules, by name.
        cameras: Cameras, by name.
        homeassistant: MQTT discovery by Home Assistant.
        log: Log of the daemon.
    """

    device: DeviceConfig
    bundle: LocalPath
    # An empty list is refused: it reads as "nobody may sign", but would mean "anybody may sign".
    bundle_keys: LocalPaths = Field(default=(), min_length=1)
    state_dir: LocalPath = Path("/var/lib/edge")
    engine: EngineConfig = EngineConfig()
    mqtt: MqttConfig
    outbox: OutboxConfig = OutboxConfig()
    embeddings: EmbeddingsConfig = EmbeddingsConfig()
    snapshots: SnapshotsConfig = SnapshotsConfig()
    index: IndexConfig = IndexConfig()
    detector: DetectorConfig = DetectorConfig()
    clip: ClipConfig | None = None
    background: Texts | None = None
    timezone: Timezone | None = None
    profile: Name | None = None
    prompts: dict[Name, PromptConfig] = Field(min_length=1)
    cameras: dict[CameraName, CameraConfig] = Field(min_length=1)
    homeassistant: HomeAssistantConfig = HomeAssistantConfig()
    log: LogConfig = LogConfig()
