"""The configuration as frozen records: what may be set, its unit, its default (docs/config.md).

Validators say what they expect; ``edge.config.load`` adds what was found, and where.
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
    """Who this box is.

    Attributes:
        id: Second level of every MQTT topic; unique among the boxes of one broker.
    """

    id: Name


class EngineConfig(_Section):
    """Which runtime computes embeddings.

    Attributes:
        kind: ``auto`` measures the installed ones and takes the fastest that answers right.
        device: The runtime's device word. Not there: exit 3, never a silent fall-back.
        threads: Inference threads; 0 leaves the choice to the runtime.
        precision: ``auto`` likewise, among those that the bundle has.
    """

    kind: Literal["auto", "openvino", "onnxruntime", "tensorrt", "null"] = "auto"
    device: Text = "CPU"
    threads: int = Field(default=1, ge=0, le=256)
    precision: Literal["auto", "int8", "fp16", "fp32"] = "auto"


class TlsConfig(_Section):
    """TLS towards the broker; ``{}`` is enough where its certificate is publicly signed.

    Attributes:
        ca: Certificate authority of the broker; default the system's.
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
    """Where messages go.

    Attributes:
        host: Name or address of the broker.
        port: 1883 without TLS and 8883 with it are usual.
        topic_prefix: First level of every topic.
        protocol: ``auto`` speaks MQTT 5 and falls back to 3.1.1 where the broker cannot.
        client_id: Default ``edge-<device id>``; must be stable, the session hangs on it.
        username: User name at the broker.
        password: Password at the broker.
        keepalive: Broker declares us offline after 1.5 times this.
        max_inflight: QoS 1 messages on the wire without their PUBACK.
        tls: Encrypt; without this section nothing is encrypted.
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


class IndexConfig(_Section):
    """Embeddings and small pictures kept on the box, to be searched.

    Attributes:
        enabled: Whether they are.
        max_age: Older ones are removed.
        max_bytes: Of all files; the oldest are removed first.
    """

    enabled: bool = False
    max_age: Seconds = Field(default=30 * 86_400.0, ge=3600)
    max_bytes: int = Field(default=4 * 1024**3, ge=64 * 1024**2)


class OnConfig(_Section):
    """Persistence: ``for: 2`` with ``of: 3`` starts an alert at the second hit among three.

    Attributes:
        for_: Samples that must be above the threshold.
        of: Samples looked back at.
    """

    for_: int = Field(default=2, ge=1, le=100, alias="for")
    of: int = Field(default=3, ge=1, le=100)

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.for_ > self.of:
            raise ValueError(f"expected for <= of, found for: {self.for_} and of: {self.of}")
        return self


class PoolConfig(_Section):
    """Over which of a camera's last samples a rule's cosines are taken together.

    Attributes:
        kind: How (``edge.rules.temporal.pools``).
        frames: Samples looked back at, the newest one included.
    """

    kind: Literal["mean", "aosm", "glscl"]
    frames: int = Field(default=12, ge=2, le=64)


Weights = Annotated[tuple[Annotated[float, Field(ge=0, le=1)], ...], AfterValidator(sum_to_one)]


class SharpenedConfig(_Section):
    """What examples taught a rule (``edge-calibrate prompt``); taken out, all is as before.

    Attributes:
        texts: How much each of the rule's sentences counts; left out, the best one does.
        templates: How much each of the bundle's templates counts.
        negatives: How much each of the rule's negatives counts.
        threshold: Instead of the rule's own, or the bundle's.
        hysteresis: Instead of the bundle's, where that is larger.
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
        text: The sentence, or several that mean the same (the best one counts). One with time in it
            ("a car stops then a person gets out") stands alone.
        negatives: Sentences that look alike but must not alert; the margin is taken against them.
        enabled: False: the rule is known, and not watched.
        false_alarms_per_day: How many alerts a day of ordinary scenes may cause on one camera; the
            threshold is learned from it.
        threshold: Margin above which a sample counts, fixed; nothing is learned then.
        kind: ``clip``: what the frames say is confirmed by the clip model.
        zones: Something that the sentence means must stand in one of these of the camera's zones.
        crop: What a box shows must fit the sentence by itself.
        schedule: When it is on (``edge.config.schedule``); of several, in any. Default always.
        when: Whether it is on by day or by night only, as the camera sees it.
        profiles: The box's profiles in which it is on; default all.
        sharpened: What examples taught it; default nothing.
        pool: Take the samples of the last seconds together; default each by itself.
        on: Persistence before the alert starts.
        off_after: The alert ends when the margin stayed below for this long.
        cooldown: No new alert of this prompt and camera within this time after one ended.
        update_every: A running alert reports itself this often; 0 never.
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
    """How often a camera is looked at.

    Attributes:
        fps: Frames per second that are embedded.
    """

    fps: float = Field(default=2.0, gt=0, le=60)


class DetectorConfig(_Section):
    """What puts boxes on alerts.

    Attributes:
        boxes: Whether alerts carry boxes; rules with zones or crops have them looked for anyway.
        bundle: Folder of a detector (Grounding DINO); default the main bundle's own regions.
        threshold: Smallest score of a box; default the detector's.
        cooldown: At most one look per camera in this time; default 1 s by regions, 5 s else.
    """

    boxes: bool = True
    bundle: LocalPath | None = None
    threshold: float | None = Field(default=None, ge=0, le=1)
    cooldown: Seconds | None = None


class ClipConfig(_Section):
    """The model of several frames that rules of ``kind: clip`` are confirmed by.

    Attributes:
        bundle: Folder of a clip model (X-CLIP).
    """

    bundle: LocalPath


class CameraConfig(_Section):
    """One camera.

    Attributes:
        url: ``rtsp://``, ``rtsps://``, ``file:`` or a path; give the substream where there is one.
        prompts: Which rules watch it; default all.
        zones: Polygons by name, corners in 0..1 of the picture's width and height.
        sample: How often it is looked at.
        transport: RTSP media over TCP (default) or UDP.
        timeout: Silence after which the connection counts as dead.
        loop: For files: start again at the end.
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
    """Showing this box to Home Assistant, by its MQTT discovery (docs/homeassistant.md).

    Attributes:
        discovery: Publish what the box has. Off unless asked for: it is published outside our own
            topics, and a broker with access rules may hang up over it.
        prefix: Home Assistant's own ``discovery_prefix``.
        birth: Where Home Assistant says that it has started.
    """

    discovery: bool = False
    prefix: Topic = "homeassistant"
    birth: Topic = "homeassistant/status"


class Config(_Section):
    """The whole file.

    Attributes:
        device: Who this box is.
        bundle: Folder of the model.
        bundle_keys: Public keys; the bundle must be signed by one of them. Left out, any will do.
        state_dir: Where the outbox lives; survives restarts.
        engine: Which runtime computes embeddings.
        mqtt: Where messages go.
        outbox: The queue on disk.
        embeddings: Which embeddings are published.
        snapshots: Pictures of alerts.
        index: What is kept to be searched.
        detector: What puts boxes on alerts.
        clip: The clip model, for rules of ``kind: clip``.
        background: Sentences for "nothing of interest"; replaces the bundle's.
        timezone: Whose clock schedules go by; default the box's own.
        profile: What rules with ``profiles`` depend on ("home", "away"); default none of them.
        prompts: Alert rules, by name.
        cameras: Cameras, by name.
        homeassistant: Showing the box to Home Assistant.
    """

    device: DeviceConfig
    bundle: LocalPath
    # Given and empty is refused: it would be taken for "none" and mean "anybody".
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
