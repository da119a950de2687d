"""Runs the demo: starts camera, broker and daemon, listens, stops all, returns the outcome."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Final

from rich.console import Console

from edge.cli.demo.broker import LocalBroker
from edge.cli.demo.daemon import DaemonProcess
from edge.cli.demo.record import Record
from edge.cli.demo.scene import CAMERA, CONFIG, DEVICE, URL_VARIABLE, config_text, prepare
from edge.cli.demo.view import DemoView
from edge.cli.plot import check_plot, plot_scores
from edge.config.load import load_config
from edge.config.models import Config
from edge.delivery.mqtt.connection import Connection
from edge.delivery.mqtt.dialer import connect
from edge.delivery.payloads import OFF
from edge.model.bundle.read import Bundle, open_bundle
from edge.rules.bank import PromptBank
from edge.scoring.open import open_models
from edge.testing import TestCamera

# Enough for a slow box to open its model and for a camera to send its first keyframe.
_FIRST_SAMPLE_S: Final = 60.0
# Longer than the daemon may take to end; its messages arrive at once after it has ended.
_ENDING_S: Final = 10.0
_ENDED_S: Final = 1.0
_POLL_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Wish:
    """Request of the user.

    Attributes:
        url: URL of a camera; None plays ``video``.
        video: Recording, H.264 or H.265, which the test camera plays over RTSP.
        sentences: Prompts, at least one.
        bundle: Folder of the model.
        seconds: Time to listen after the first picture.
        out: Folder for all written files.
        shown: Settings of the camera that say how its pictures are to be seen.
    """

    url: str | None
    video: Path
    sentences: Sequence[str]
    bundle: Path
    seconds: float
    out: Path
    shown: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of the demo.

    Attributes:
        record: Record of all MQTT messages.
        sentences: Sentences by prompt name.
        threshold: Margin from which a sample counts.
        notes: Notes for the author of the prompts.
        first_alert_s: Seconds from the start of the demo to its first alert over MQTT.
        exit_code: Exit code of the daemon.
        last_words: Last lines of the daemon's log.
    """

    record: Record
    sentences: dict[str, str]
    threshold: float
    notes: tuple[str, ...]
    first_alert_s: float | None
    exit_code: int | None
    last_words: str


def show(wish: Wish, console: Console) -> Outcome:
    """Run the demo. Ctrl-C ends the listening early; the other steps run as usual.

    Raises:
        ConfigError: A prompt or the folder cannot be used, or the ``demo`` extra is missing.
        ModelError: The bundle cannot be used.
        EngineUnavailable: No runtime is installed.
        SourceError: The recording cannot be played.
        PublishError: The broker did not start.
    """
    began = time.monotonic()
    bundle = open_bundle(wish.bundle)
    with ExitStack() as stack:
        broker = LocalBroker()
        prepare(wish.out)
        plot = wish.out / "scores.png"
        check_plot(plot)
        stack.enter_context(broker)
        url, environment = _camera(wish, stack)
        path = wish.out / CONFIG
        path.write_text(
            config_text(wish.bundle, url, broker.port, wish.sentences, **wish.shown),
            encoding="utf-8",
        )
        config = load_config(path, environment)
        topics = f"{config.mqtt.topic_prefix}/{DEVICE}"
        connection = stack.enter_context(connect(config.mqtt, "subscriber"))
        connection.subscribe([f"{topics}/#"])
        daemon = stack.enter_context(DaemonProcess(path, wish.out / "daemon.log", environment))
        console.print(f"started a broker on port {broker.port} and the daemon, pid {daemon.pid}")
        bank = _compile(bundle, config)  # at the same time as the daemon
        record = stack.enter_context(Record(wish.out, topics, bank))
        sentences = {name: prompt.text[0] for name, prompt in config.prompts.items()}
        threshold = bundle.manifest.decision.threshold
        with DemoView(console, record, sentences, threshold) as view:
            _attend(connection, record, view, daemon, wish.seconds)
    if record.times:
        scores = {sentences[name]: column for name, column in record.margins.items()}
        plot_scores(plot, record.times, scores, threshold, "computed from the embeddings received")
    first = next(iter(record.alerts.values()), None)
    return Outcome(
        record=record,
        sentences=sentences,
        threshold=threshold,
        notes=tuple(map(str, bank.notes)),
        first_alert_s=first.received - began if first else None,
        exit_code=daemon.exit_code,
        last_words=daemon.last_words(),
    )


def _camera(wish: Wish, stack: ExitStack) -> tuple[str, dict[str, str]]:
    """Return the camera's URL as the file may hold it, and the environment that it needs."""
    if wish.url is not None:
        return f"${{{URL_VARIABLE}}}", os.environ | {URL_VARIABLE: wish.url}
    camera = stack.enter_context(TestCamera({CAMERA: wish.video}))
    return camera.url(CAMERA), dict(os.environ)


def _compile(bundle: Bundle, config: Config) -> PromptBank:
    with open_models(bundle, config.engine) as models, models.scoring.open_compiler() as compiler:
        return compiler(config.prompts, config.background)


def _attend(
    connection: Connection, record: Record, view: DemoView, daemon: DaemonProcess, seconds: float
) -> None:
    """Listen for ``seconds`` after the first sample, then until the daemon reports its end."""
    patience = time.monotonic() + _FIRST_SAMPLE_S

    def enough() -> bool:
        first = record.first_sample
        end = patience if first is None else first + seconds
        return asked.is_set() or daemon.exit_code is not None or time.monotonic() >= end

    with _asked_to_end() as asked:
        _listen(connection, record, view, enough)
    left = _ENDING_S if daemon.exit_code is None else _ENDED_S
    goodbye = time.monotonic() + left
    daemon.terminate()
    _listen(
        connection,
        record,
        view,
        lambda: record.status in OFF or time.monotonic() >= goodbye,
    )


@contextmanager
def _asked_to_end() -> Iterator[Event]:
    """Yield an event that SIGINT and SIGTERM set.

    An exception instead could interrupt the reading of a packet, and the broker's next bytes could
    not be read.
    """
    asked = Event()
    before = {
        number: signal.signal(number, lambda _number, _frame: asked.set())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _listen(
    connection: Connection, record: Record, view: DemoView, enough: Callable[[], bool]
) -> None:
    while not enough():
        connection.poll(_POLL_S)
        for received in connection.received():
            if alert := record.take(received):
                view.alert(alert)
        view.refresh()
