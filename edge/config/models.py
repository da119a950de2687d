"""Defines the configuration as frozen records: settings, units, defaults (docs/config.md).

Validators say what they expect; ``edge.config.load`` adds the value found and its place.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    model_validator,
)

from edge.config.fields import (
    CameraName,
    LocalPath,
    LocalPaths,
    Name,
    Names,
    Polygon,
    Seconds,
    Text,
    Texts,
    Topic,
    camera_url,
    digits_as_text,
    sum_to_one,
)
from edge.config.schedule import Schedules, Timezone


class _Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False
    )


class DeviceConfig(_Section):
    """Identity of this box.

    Attributes:
        id: Second level of every MQTT topic; unique among the boxes of one broker.
    """

    id: Name


class EngineConfig(_Section):
    """Runtime that computes the embeddings.

    Attributes:
        kind: Runtime; ``auto`` takes the fastest installed one that gives correct results.
        device: Device name of the runtime. A missing device ends the daemon (exit code 3).
        threads: Inference threads; 0 leaves the choice to the runtime.
        precision: Precision; ``auto`` takes the fastest correct one that the bundle contains.
    """

    kind: Literal["auto", "openvino", "onnxruntime", "tensorrt", "null"] = "auto"
    device: Text = "CPU"
    threads: int = Field(default=1, ge=0, le=256)
    precision: Literal["auto", "int8", "fp16", "fp32"] = "auto"


class TlsConfig(_Section):
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


class MqttConfig(_Section):
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

    host: Text
    port: int = Field(default=1883, ge=1, le=65535)
    topic_prefix: Name = "edge"
    protocol: Annotated[
        Literal["auto", "5", "3.1.1"],
        BeforeValidator(digits_as_text, json_schema_input_type=Literal["auto", "5", "3.1.1", 5]),
    ] = "auto"
    client_id: Text | None = None
    username: Text | None = None
    password: SecretStr | None = None
    keepalive: Seconds = Field(default=30.0, ge=5, le=3600)
    max_inflight: int = Field(default=100, ge=1, le=10_000)
    tls: TlsConfig | None = None

    @model_validator(mode="after")
    def _no_password_alone(self) -> Self:
        if self.password is not None and self.username is None:
            raise ValueError("expected a username beside the password")
        return self


class OutboxConfig(_Section):
    """Queue on disk. When full, it drops embeddings, then snapshots, then alerts; oldest first.

    Attributes:
        max_bytes: Largest size of the messages kept while the broker is unreachable, in bytes.
    """

    max_bytes: int = Field(default=256 * 1024 * 1024, ge=64 * 1024)


class EmbeddingsConfig(_Section):
    """Publishing of embeddings.

    Attributes:
        publish: Which samples are published: all, only those during an alert, or none.
        every: Shortest time between two embeddings of a camera; 0 publishes each sample.
    """

    publish: Literal["all", "alerts", "off"] = "all"
    every: Seconds = 1.0


class SnapshotsConfig(_Section):
    """JPEG pictures of alerts, published as messages of their own.

    Attributes:
        publish: Whether a picture is published when an alert starts.
        max_width: Largest width in pixels; wider frames are scaled down.
    """

    publish: bool = True
    max_width: int = Field(default=640, ge=64, le=3840)


class IndexConfig(_Section):
    """Index of embeddings and small pictures, kept on the box for the search.

    Attributes:
        enabled: Whether the box keeps the index.
        max_age: Largest age of an entry; older entries are removed.
        max_bytes: Largest size of all files in bytes; the oldest entries are removed first.
    """

    enabled: bool = False
    max_age: Seconds = Field(default=30 * 86_400.0, ge=3600)
    max_bytes: int = Field(default=4 * 1024**3, ge=64 * 1024**2)


class OnConfig(_Section):
    """Persistence: ``for: 2``, ``of: 3`` starts an alert at the second hit in three samples.

    Attributes:
        for_: Number of samples that must be above the threshold.
        of: Number of newest samples among which they are counted.
    """

    for_: int = Field(default=2, ge=1, le=100, alias="for")
    of: int = Field(default=3, ge=1, le=100)

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.for_ > self.of:
            raise ValueError(f"expected for <= of, found for: {self.for_} and of: {self.of}")
        return self


class PoolConfig(_Section):
    """Pooling of a rule's cosines over the last samples of a camera.

    Attributes:
        kind: Method of pooling (``edge.rules.temporal.pools``).
        frames: Number of samples pooled, the newest one included.
    """

    kind: Literal["mean", "aosm", "glscl"]
    frames: int = Field(default=12, ge=2, le=64)


Weights = Annotated[tuple[Annotated[float, Field(ge=0, le=1)], ...], AfterValidator(sum_to_one)]


class SharpenedConfig(_Section):
    """Values learned from examples (``edge-calibrate prompt``); remove them to undo this.

    Attributes:
        texts: Weight of each sentence of the rule; without weights the best sentence counts.
        templates: Weight of each template of the bundle.
        negatives: Weight of each negative of the rule.
        threshold: Threshold that replaces the rule's own or the bundle's.
        hysteresis: Hysteresis that replaces the bundle's where the bundle's is larger.
    """

    texts: Weights = ()
    templates: Weights = ()
    negatives: Weights = ()
    threshold: float = Field(ge=-2, le=2)
    hysteresis: float = Field(ge=0, le=2)

    @model_validator(mode="after")
    def _weights_of_all(self) -> Self:
        if bool(self.texts) != bool(self.templates) or (self.negatives and not self.texts):
            raise ValueError("expected weights of texts and templates together")
        return self


class PromptConfig(_Section):
    """One alert rule.

    Attributes:
        text: Sentence, or several with the same meaning (the best one counts). A sentence about
            a sequence ("a car stops then a person gets out") must be the only one.
        negatives: Sentences for similar scenes that must not alert; the margin is relative to them.
        enabled: Whether the cameras watch the rule; if false, the box only knows it.
        false_alarms_per_day: Alerts a day that ordinary scenes may cause on one camera; the
            threshold is learned from this number.
        threshold: Fixed margin above which a sample counts; with it, no threshold is learned.
        kind: ``frame`` uses single frames; ``clip`` also asks the clip model to confirm.
        zones: Zones of the camera; an object that the sentence names must be in one of them.
        crop: Whether the content of a box must match the sentence when seen alone.
        schedule: Days and hours at which the rule is on; with several, any of them. Default always.
        when: Light in which the rule is on, as the camera sees it; default day and night.
        profiles: Profiles of the box in which the rule is on; default all.
        sharpened: Values learned from examples; default none.
        pool: Pooling over the last samples; default each sample by itself.
        on: Persistence before the alert starts.
        off_after: Time that the margin must stay below the threshold before the alert ends.
        cooldown: Shortest time from the end of an alert to the next one of the rule on a camera.
        update_every: Time between two updates of a running alert; 0 sends no updates.
    """

    text: Texts = Field(min_length=1)
    negatives: Texts = ()
    enabled: bool = True
    false_alarms_per_day: float = Field(default=1.0, gt=0, le=100)
    threshold: float | None = Field(default=None, ge=-2, le=2)
    kind: Literal["frame", "clip"] = "frame"
    zones: Names = ()
    crop: bool = False
    schedule: Schedules = ()
    when: Literal["day", "night"] | None = None
    profiles: Names = ()
    sharpened: SharpenedConfig | None = None
    pool: PoolConfig | None = None
    on: OnConfig = OnConfig()
    off_after: Seconds = 2.0
    cooldown: Seconds = 0.0
    update_every: Seconds = 10.0

    @model_validator(mode="after")
    def _learned_or_fixed(self) -> Self:
        if self.threshold is not None and "false_alarms_per_day" in self.model_fields_set:
            raise ValueError("expected threshold or false_alarms_per_day, found both")
        return self

    @model_validator(mode="after")
    def _a_weight_for_each_sentence(self) -> Self:
        if self.sharpened is None or not self.sharpened.texts:
            return self
        for what, sentences, weights in (
            ("text", self.text, self.sharpened.texts),
            ("negatives", self.negatives, self.sharpened.negatives),
        ):
            if len(sentences) != len(weights):
                raise ValueError(
                    f"expected a weight in sharpened for each of {len(sentences)} {what}, found "
                    f"{len(weights)}; the sentences changed since: take sharpened out"
                )
        return self


class SampleConfig(_Section):
    """Sampling of a camera.

    Attributes:
        fps: Samples per second.
    """

    fps: float = Field(default=2.0, gt=0, le=60)


class DetectorConfig(_Section):
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


class ClipConfig(_Section):
    """Clip model, which sees several frames and confirms rules of ``kind: clip``.

    Attributes:
        bundle: Folder of a clip model (X-CLIP).
    """

    bundle: LocalPath


class CameraConfig(_Section):
    """One camera.

    Attributes:
        url: ``rtsp://``, ``rtsps://``, ``file:`` or a path; use the substream where there is one.
        prompts: Rules that watch the camera; default all.
        zones: Polygons by name, corners in 0..1 of the picture's width and height.
        sample: Sampling of the camera.
        transport: Transport of RTSP media: TCP (default) or UDP.
        timeout: Time without data after which the connection counts as dead.
        loop: Whether a file starts again at its end.
    """

    url: Annotated[SecretStr, AfterValidator(camera_url)]
    prompts: Names | None = None
    zones: dict[Name, Polygon] = Field(default_factory=dict)
    sample: SampleConfig = SampleConfig()
    transport: Literal["tcp", "udp"] = "tcp"
    timeout: Seconds = Field(default=5.0, ge=0.5, le=120)
    loop: bool = False

    def watched_by(self, rule: str) -> bool:
        """Whether the rule of this name watches the camera while it is enabled."""
        return self.prompts is None or rule in self.prompts


class HomeAssistantConfig(_Section):
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


class Config(_Section):
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
