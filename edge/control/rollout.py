"""Rolls out commands: each becomes rules in force and an answer, or a refusal in words.

A thread of its own does it, one command after the other. The daemon's loop goes on sampling
meanwhile, and adopts what is ready between two samples::

    broker -> publisher's thread -> mailbox -> this thread -> orders -> the loop
                                                   ^---------- future ----'
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Final

from edge.alerts.rule_set import RuleSet
from edge.config.models import Config
from edge.control.announce.announcer import Announcer
from edge.control.announce.retained import Retained
from edge.control.answers import AnswerRoute
from edge.control.commands import (
    Command,
    GiveFeedback,
    SetFeature,
    TryRule,
    command_of,
    known_rule,
)
from edge.control.desired.file import DesiredFile
from edge.control.desired.restore import Restored, load_of_model
from edge.control.desired.state import Desired
from edge.control.learning.learner import Learning
from edge.control.mailbox import Mailbox
from edge.control.orders import Adopt, Orders, RateAlert, TryAlert
from edge.control.preparation import Preparation
from edge.control.reload import Reload, live_part, waiting_for_restart
from edge.delivery.message import Message, Received
from edge.delivery.payloads import ANSWER_SCHEMA, AnswerPayload, utc
from edge.delivery.topics import Topics
from edge.errors import ConfigError, EngineError, ModelError, SideFileError
from edge.system import systemd
from edge.system.ending import Ended
from edge.system.pulse import Pulse
from edge.system.workers import WorkerThread

logger = logging.getLogger(__name__)

# How often a wait for the loop looks whether the daemon stops.
_TICK_S: Final = 0.1
# Stands among the commands for the wish to read the configuration again: no topic is empty.
_RELOAD: Final = Received("", b"")


class Rollout:
    """Takes commands and puts them into force.

    Args:
        config: Configuration of the box.
        start: Rules at the start and the state that they follow from (``restored``).
        mailbox: Received commands.
        file: Keeps the desired state.
        prepare: Makes rule sets.
        learning: Learns from feedback.
        orders: Orders to the loop.
        in_force: Gives the rules in force.
        publish: Sends a message.
        retained: What lies at the broker.
        former: Status topics of earlier names of the box.
        reload: Asks for the configuration to be read again.

    Attributes:
        file_error: What of the configuration file is not in force, and why; None where all is.
    """

    def __init__(  # noqa: PLR0913  the parts that it is put together of
        self,
        config: Config,
        start: Restored,
        mailbox: Mailbox,
        *,
        file: DesiredFile,
        prepare: Preparation,
        learning: Learning,
        orders: Orders,
        in_force: Callable[[], RuleSet],
        publish: Callable[[Message], None],
        retained: Retained,
        former: Iterable[str] = (),
        reload: Reload | None = None,
    ) -> None:
        self.file_error: str | None = None
        self._config = config
        self._watched = config.cameras  # in force
        self._topics = Topics(config.mqtt.topic_prefix, config.device.id)
        self._route = AnswerRoute(self._topics, config.homeassistant)
        self._desired = start.desired
        self._model = start.model
        self._error = start.error
        self._mailbox = mailbox
        self._file = file
        self._prepare = prepare
        self._learning = learning
        self._orders = orders
        self._in_force = in_force
        self._publish = publish
        self._announcer = Announcer(config, publish, retained)
        self._former = frozenset(former)
        self._stopping = threading.Event()
        self._reload = reload
        if reload is not None:
            reload.listen(lambda: mailbox.receive(_RELOAD))
        self._thread = WorkerThread("rollout", self._run)

    def start(self) -> None:
        """Announce what is in force, and begin to take commands."""
        if not self.failed:
            self._announce()
        self._thread.start()

    @property
    def failed(self) -> bool:
        """Whether an error that nobody expected has ended the thread."""
        return self._thread.failed

    def stop(self, timeout_s: float) -> bool:
        """Take no more commands; one that is under way is tried again at the next start."""
        if not self._stopping.is_set():
            self._stopping.set()
            self._mailbox.close()
        return self._thread.join(timeout_s)

    def removed(self, topic: str) -> None:
        """Note that the broker has removed what was retained on a topic."""
        self._announcer.removed(topic)

    @property
    def pulse(self) -> Pulse:
        """Says whether the thread goes on."""
        return self._mailbox.pulse

    def _run(self) -> None:
        for received in self._mailbox:
            if self._stopping.is_set():
                return
            self._take(received)

    def _take(self, received: Received) -> None:
        if received is _RELOAD and self._reload is not None:
            self._reread(self._reload)
            return
        if received.topic == self._config.homeassistant.birth:
            if received.payload == b"online" and self._config.homeassistant.discovery:
                self._announcer.describe()
            return
        if received.topic in self._former:
            self._announcer.hear_former(received.topic, received.payload)
            return
        error: str | None = None
        try:
            command = command_of(self._topics, received)
            if command is None:
                return
            self._catch_up()
            self._follow(command)
        except (ConfigError, ModelError, EngineError, SideFileError) as exc:
            error = str(exc)
            logger.warning("%.200s refused: %s", received.topic, exc)
        except Ended:
            raise
        except Exception as exc:  # this thread's owner: one command is lost
            error = f"{type(exc).__name__}: {exc}"
            logger.exception("%.200s failed", received.topic)
        self._error = error
        self._announce()
        self._answer(received, error)

    def _reread(self, reload: Reload) -> None:
        """Read the configuration again, and put into force what can change while the box runs."""
        systemd.notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            config = reload.read()
            self._use(config)
            self.file_error = waiting_for_restart(self._config, config)
        except (ConfigError, ModelError, EngineError, SideFileError) as exc:
            self.file_error = f"{exc}; the configuration is that of before"
        except Ended:
            raise
        except Exception as exc:  # this thread's owner: the daemon goes on as before
            self.file_error = f"{type(exc).__name__}: {exc}; the configuration is that of before"
            logger.exception("the configuration could not be read again")
        finally:
            systemd.notify("READY=1")
        if self.file_error is not None:
            logger.error("%s", self.file_error)
        self._announce()

    def _use(self, config: Config) -> None:
        before, now = self._config, live_part(self._config, config)
        if now == before:
            logger.info("the configuration was read again: nothing to change")
            return
        self._configure(now)
        try:
            self._put_in_force(self._desired)
        except BaseException:
            self._configure(before)
            raise

    def _configure(self, config: Config) -> None:
        self._config = self._announcer.config = config
        self._learning.prompts = config.prompts

    def _follow(self, command: Command) -> None:
        match command:
            case TryRule(rule):
                rules = self._in_force()
                known_rule(rule, list(rules.prompts))
                cameras = self._config.cameras.values()
                if not any(rule in rules.watching(camera) for camera in cameras):
                    raise ConfigError(f"no camera watches prompt {rule!r} now")
                self._orders.give(TryAlert(rule))
            case GiveFeedback(feedback):
                alert = self._learning.note(feedback)
                if alert.correct is not feedback.correct:  # it may come twice
                    self._orders.give(RateAlert(alert, feedback.correct))
                self._change(self._learning.after(self._desired, alert.rule))
            case SetFeature(rule, "sharpened", None):
                self._change(self._desired.after(command, self._config.prompts))
                self._change(self._learning.after(self._desired, rule))
            case _:
                self._change(self._desired.after(command, self._config.prompts))

    def _catch_up(self) -> None:
        """Put into force what a file has that could not be read at the start, once it can be."""
        if self._file.unread() is None:
            return
        accepted, pending = load_of_model(self._file, self._model)
        if self._file.unread() is None:
            logger.info("the rules set over MQTT are back")
            self._file.keep_old()  # they may turn out not to be usable
            self._change(pending or accepted)

    def _change(self, desired: Desired) -> None:
        if desired == self._desired:
            return
        if (unread := self._file.unread()) is not None:
            raise unread
        self._file.keep(self._desired, desired)
        try:
            self._put_in_force(desired)
        except Ended:
            raise  # what is pending is tried again at the next start
        except Exception:
            self._file.keep(self._desired)
            raise
        self._desired = desired
        self._file.keep(desired)

    def _put_in_force(self, desired: Desired) -> None:
        """Make the rules and the cameras that follow from a state, and have the loop adopt them."""
        prompts, cameras = desired.effective(self._config.prompts), self._config.cameras
        profile = desired.profile or self._config.profile
        before, watched = self._in_force(), self._watched
        if (prompts, profile, cameras) == (before.prompts, before.profile, watched):
            return
        rules = self._prepare(prompts, profile, cameras, before)
        self._announcer.expect(rules)
        self._await(self._orders.give(Adopt(rules, None if cameras == watched else cameras)))
        self._watched = cameras
        self._announcer.applied_at = time.time()
        logger.info(
            "rules in force: %s; profile: %s; cameras: %s",
            ", ".join(prompts), profile or "none", ", ".join(cameras),
        )  # fmt: skip

    def _await(self, done: "Future[None]") -> None:
        """Wait for the loop.

        Raises:
            Ended: The daemon stops first; what is pending is tried again at the next start.
        """
        while True:
            try:
                return done.result(_TICK_S)
            except TimeoutError:
                if done.done():  # meanwhile, or the error is the order's own
                    return done.result()
                if self._stopping.is_set():
                    raise Ended from None

    def _announce(self) -> None:
        lessons = self._desired.lessons(self._config.prompts)
        self._announcer.announce(self._in_force(), lessons, self._error)

    def _answer(self, received: Received, error: str | None) -> None:
        """Publish the result of a command where its sender wants to read it."""
        answer = AnswerPayload(
            device=self._config.device.id, topic=received.topic, at=utc(time.time()), error=error
        )
        self._publish(self._route.message(received, answer.to_json(), ANSWER_SCHEMA))
