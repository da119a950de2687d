"""Opens the resources of the daemon, in order. The caller's stack closes them in reverse."""

import logging
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from edge.alerts.calibration_file import CalibrationFile
from edge.alerts.learned import Calibrations
from edge.alerts.pipeline import Pipeline
from edge.alerts.second_look.open import clip_spec, open_looks
from edge.config.models import CameraConfig, Config
from edge.control.announce.record import RETAINED, Place, former_statuses
from edge.control.announce.retained import Retained
from edge.control.answers import AnswerRoute
from edge.control.desired.file import DESIRED, DesiredFile
from edge.control.desired.restore import restored
from edge.control.learning.feedback import FEEDBACK, FeedbackFile
from edge.control.learning.learner import Learning
from edge.control.learning.teacher import FeedbackTeacher
from edge.control.mailbox import Mailbox, listeners
from edge.control.orders import Orders, TakeOver
from edge.control.preparation import Preparation
from edge.control.reload import Reload
from edge.control.rollout import Rollout
from edge.delivery.inbox import Inbox
from edge.delivery.message import Message
from edge.delivery.outbox import Outbox
from edge.delivery.outbox_copy import OutboxCopy
from edge.delivery.payloads import ModelRef
from edge.delivery.publisher import Publisher
from edge.delivery.topics import Topics
from edge.errors import OutboxError
from edge.model.bundle.read import open_bundle
from edge.model.bundle.signature import read_keys, signature_in_words
from edge.model.variants import built_later
from edge.scoring.engine_build import EngineBuild
from edge.scoring.open import CHOICES, Models, open_models
from edge.search.desk import WAITING, SearchDesk
from edge.search.index.recorder import PICTURE_WIDTH
from edge.search.index.writer import IndexWriter
from edge.search.open import open_index
from edge.search.request import MOST_REQUEST_BYTES
from edge.system.attempts import ATTEMPTS, Attempts
from edge.system.cache_file import CacheFile
from edge.system.ending import Stop
from edge.system.health import SOCKET, HealthSocket, open_socket
from edge.system.keeper import Keeper
from edge.system.trouble import is_there
from edge.video.process.beginning import Beginning
from edge.video.process.camera import ProcessCamera
from edge.video.process.supervisor import Supervisor
from edge.video.worker import CameraWorker

logger = logging.getLogger(__name__)

OUTBOX: Final = "outbox.db"
LEARNED: Final = "learned.db"
SENTENCES: Final = "sentences.db"
RESTORING: Final = "restore.unfinished"
"""Name of the file in the state folder that is there while a backup is being restored."""
# Golden section, whose multiples modulo 1 lie evenly for any number of cameras. Measured with 16
# cameras at 1 fps, from arrival to subscriber: 264 ms median and 619 ms p95 when all are sampled at
# the same moment, 47 ms and 102 ms with this spread.
_SPREAD: Final = 0.618034


@dataclass(frozen=True, slots=True, eq=False)
class Resources:
    """Everything that the daemon is made of.

    Attributes:
        topics: Topics of the device.
        cameras: Cameras by name; the loop exchanges them when the configuration is read again.
        models: Graphs of the bundle.
        pipeline: State of every camera between its samples and its messages.
        outbox: Queue on disk of messages to publish.
        publisher: Empties the outbox, and subscribes to commands and searches.
        rollout: Carries out commands.
        orders: Queue of what the rollout asks the loop to do.
        open_camera: Makes a camera of its name and settings.
        index: Writes the index; None where nothing is kept for the search.
        desk: Answers searches; None where nothing is kept.
        keeper: Writes the side files.
        supervisor: Owns the processes of the cameras.
        build: Builds engines that take minutes; None where there are none to build.
        health: Answers `edge health`; None where the file system has no sockets.
    """

    topics: Topics
    cameras: dict[str, CameraWorker]
    models: Models
    pipeline: Pipeline
    outbox: Outbox
    publisher: Publisher
    rollout: Rollout
    orders: Orders
    open_camera: Callable[[str, CameraConfig], CameraWorker]
    index: IndexWriter | None = None
    desk: SearchDesk | None = None
    keeper: Keeper = field(default_factory=lambda: Keeper(()))
    supervisor: Supervisor = field(default_factory=Supervisor)
    build: EngineBuild | None = None
    health: HealthSocket | None = None


def open_resources(
    config: Config,
    stack: ExitStack,
    stop: Stop,
    wake: Callable[[], None],
    on_delivered: Callable[[Message, float], None] | None = None,
    reload: Reload | None = None,
) -> Resources:
    """Open all resources; none of their threads runs yet.

    Args:
        config: Checked configuration.
        stack: Closes the resources.
        stop: Asks the daemon to end.
        wake: Called when there is something for the loop to do.
        on_delivered: Called with each acknowledged message, as by ``Publisher``.
        reload: Asks for the configuration to be read again; by default nobody does.

    Raises:
        Ended: The daemon is asked to end.
        ModelError: The bundle is not usable, or not signed by one of ``bundle_keys``.
        EngineUnavailable: The runtime or device is not there.
        ConfigError: A prompt cannot be compiled, or a key of ``bundle_keys`` cannot be read.
        OutboxError: There is no disk for the outbox (a full one would do), or a backup was
            restored by half.
    """
    topics = Topics(config.mqtt.topic_prefix, config.device.id)
    attempts = Attempts(config.state_dir / ATTEMPTS)
    stop.listen(attempts.forgive)
    bundle = open_bundle(config.bundle, read_keys(config.bundle_keys))
    logger.info("bundle %s, %s", bundle.hash[:12], signature_in_words(bundle.signed))
    sentences = CacheFile(config.state_dir / SENTENCES)
    models = stack.enter_context(
        open_models(
            bundle,
            config.engine,
            config.state_dir / CHOICES,
            stop=stop,
            sentences=sentences,
            attempts=attempts,
        )
    )
    outbox = stack.enter_context(
        closing(Outbox(config.state_dir / OUTBOX, config.outbox.max_bytes, attempts))
    )
    # After the outbox is locked: a restore looks at its lock after it has made the file.
    if is_there(config.state_dir / RESTORING):
        raise OutboxError(
            f"{config.state_dir}: a backup was restored by half, because that was interrupted:"
            " run the same `edge restore` again"
        )
    clip = clip_spec(config)
    number = count()
    supervisor = Supervisor()

    def open_camera(name: str, camera: CameraConfig) -> CameraWorker:
        phase = next(number) * _SPREAD % 1
        beginning = Beginning(name, camera, bundle.manifest.image, clip, phase)
        return ProcessCamera(beginning, wake, supervisor.attend, snapshots=config.snapshots)

    def snapshot(camera: str, sequence: int, max_width: int | None = None) -> bytes | None:
        worker = cameras.get(camera)  # it may be gone meanwhile
        return None if worker is None else worker.snapshot(sequence, max_width)

    cameras = {name: open_camera(name, camera) for name, camera in config.cameras.items()}
    looks = stack.enter_context(
        open_looks(config, models, lambda camera, *what: cameras[camera].pixels(*what))
    )
    feedback = FeedbackFile(config.state_dir / FEEDBACK, bundle.hash)
    desired = DesiredFile(config.state_dir / DESIRED)
    prepare = Preparation(models.scoring.open_compiler, config.background, looks)
    start = restored(config, desired, bundle.hash, prepare)
    reference = model_ref(models)
    index = open_index(
        config,
        bundle,
        start.rules.bank.rows.shape[1],
        models.open_text_engine,
        lambda camera, sequence: snapshot(camera, sequence, PICTURE_WIDTH),
        lambda: pipeline.camera_settings,
        attempts,
    )
    learned = CalibrationFile(config.state_dir / LEARNED)
    pipeline = Pipeline(
        config,
        reference,
        bundle.manifest.decision,
        models.scoring.scorer,
        start.rules,
        calibrations=Calibrations(learned, reference, config.background),
        snapshot_of=snapshot,
        see=looks.see,
        recorder=None if index is None else index.recorder,
        on_start=feedback.expect,
    )
    commands = Mailbox()
    searches = None if index is None else Mailbox("searches", WAITING, MOST_REQUEST_BYTES)
    place = Place.of(config)
    former = former_statuses(config.state_dir / RETAINED, place)
    inbox = Inbox(
        *listeners(topics, config.homeassistant, commands, searches, former), optional=former
    )
    publisher = Publisher(config.mqtt, config.device.id, outbox, on_delivered, inbox=inbox)
    desk = None
    if index is not None and searches is not None:
        route = AnswerRoute(topics, config.homeassistant)
        desk = SearchDesk(route, index.answerer, searches, publisher.publish_now)
    retained = Retained(config.state_dir / RETAINED, place, publisher.publish_now)
    orders = Orders(wake)
    rollout = Rollout(
        config,
        start,
        commands,
        file=desired,
        prepare=prepare,
        learning=Learning(feedback, FeedbackTeacher(models, config.background), config.prompts),
        orders=orders,
        in_force=lambda: pipeline.rules,
        publish=publisher.publish_now,
        retained=retained,
        former=former,
        reload=reload,
    )
    copies = OutboxCopy(outbox, config.state_dir)
    publisher.listen(rollout.removed)
    # The outbox is ours alone, so a socket that is there belongs to a daemon that has ended.
    health = open_socket(config.state_dir / SOCKET)
    if health is not None:
        stack.callback(health.close)
    return Resources(
        topics,
        cameras,
        models,
        pipeline,
        outbox,
        publisher,
        rollout,
        orders,
        open_camera,
        None if index is None else index.writer,
        desk,
        Keeper((outbox, copies, learned, feedback, desired, retained, sentences)),
        supervisor,
        _build(models, config, orders),
        health,
    )


def model_ref(models: Models) -> ModelRef:
    """Return the model as payloads name it."""
    bundle = models.bundle
    return ModelRef(id=bundle.manifest.model.id, hash=bundle.hash, precision=models.precision)


def _build(models: Models, config: Config, orders: Orders) -> EngineBuild | None:
    later = built_later(models.bundle, config.engine, models.main.variant)
    if later is None:
        return None
    return EngineBuild(models, later, lambda graphs: orders.give(TakeOver(graphs)))
