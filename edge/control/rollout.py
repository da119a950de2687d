"""Turns commands into rules in force, or refuses them; publishes the result of each.

A thread of its own takes one command after the other, with a text graph of its own. It checks and
compiles the rules while the daemon's loop goes on sampling. The loop adopts them between two
samples::

    broker ─▶ publisher's thread ─▶ queue ─▶ this thread ─▶ orders ─▶ the loop
                                                 ◀──────── done, or why not ─┘
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Final

from edge.config.models import Config, PromptConfig
from edge.control.announce import Announcer
from edge.control.commands import (
    Command,
    Feedback,
    GiveFeedback,
    SetFeature,
    TryAlert,
    answer_topic,
    command_filters,
    command_of,
    known_rule,
)
from edge.control.desired import Desired, DesiredFile, TaughtSettings
from edge.control.feedback import FeedbackFile
from edge.control.teacher import Taught, Teacher
from edge.delivery.connection import Received
from edge.delivery.payloads import ANSWER_SCHEMA, AnswerPayload, Message, Topics, utc
from edge.errors import ConfigError, EdgeError, EngineError, ModelError
from edge.rules.bank import PromptBank
from edge.rules.compiler import Compiler
from edge.rules.plan import plan, rules_of

logger = logging.getLogger(__name__)

DESIRED: Final = "desired.json"
FEEDBACK: Final = "feedback.db"
# Commands that wait. Nobody sends so many by hand.
_WAITING: Final = 1000
_TICK_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Adopt:
    """Order to the loop: go on with these rules.

    Attributes:
        prompts: All rules, by name.
        bank: Prompt bank compiled from these rules.
        profile: Profile of the box from now on; None for none.
        adopted: Answer of the loop: a result, or the reason why the rules cannot be used.
    """

    prompts: Mapping[str, PromptConfig]
    bank: PromptBank
    profile: str | None
    adopted: Future[None] = field(default_factory=Future)


@dataclass(frozen=True, slots=True)
class Admit:
    """Order to the loop: this alert was a false alarm, so the level that it reached is ordinary."""

    camera: str
    rule: str
    levels: Mapping[str, float]


Order = Adopt | Admit | TryAlert


class _Ended(Exception):
    """The daemon stops; what is pending is tried again at the next start."""


class Rollout:
    """Keeps the rules as they were told to be.

    Args:
        config: The file's rules, and what they refer to.
        open_compiler: Opens a text graph.
        wake: Called when there is an order for the loop.
        feedback: What is said of alerts.
        teacher: Makes rules better by that; None: nothing does.

    Attributes:
        orders: For the loop to take.
        prompts: In force.
    """

    def __init__(
        self,
        config: Config,
        open_compiler: Callable[[], AbstractContextManager[Compiler]],
        wake: Callable[[], None],
        *,
        feedback: FeedbackFile,
        teacher: Teacher | None = None,
    ) -> None:
        self.orders: queue.SimpleQueue[Order] = queue.SimpleQueue()
        self.prompts: Mapping[str, PromptConfig] = config.prompts
        self._config = config
        self._topics = Topics(config.mqtt.topic_prefix, config.device.id)
        self._open_compiler = open_compiler
        self._wake = wake
        self._file = DesiredFile(config.state_dir / DESIRED)
        self._feedback = feedback
        self._teacher = teacher
        self._desired = Desired()
        self._bank: PromptBank
        self._applied_at = time.time()
        self._error: str | None = None
        self._waiting: queue.Queue[Received | None] = queue.Queue(_WAITING)
        self._stopping = threading.Event()
        self._publish: Callable[[Message], None]
        self._announcer: Announcer
        self._thread = threading.Thread(target=self._run, name="rollout", daemon=True)

    @property
    def profile(self) -> str | None:
        """In force: the one that was set, else the file's."""
        return self._desired.profile or self._config.profile

    @property
    def filters(self) -> list[str]:
        """What to subscribe to."""
        home = self._config.homeassistant
        return command_filters(self._topics) + ([home.birth] if home.discovery else [])

    def restore(
        self, check: Callable[[Mapping[str, PromptConfig], PromptBank], None]
    ) -> PromptBank:
        """The rules to start with: as they were desired, or the file's where that fails.

        Args:
            check: Raises where the rest of the daemon cannot do it.

        Raises:
            ConfigError: The file's rules cannot be used.
            ModelError: The text graph is not usable.
        """
        accepted, pending = self._file.load()
        accepted = accepted.of_model(self._feedback.model)
        pending = pending and pending.of_model(self._feedback.model)
        file = Desired(profile=accepted.profile)
        for desired in (pending, accepted):
            if desired is None:
                continue
            try:
                bank = self._begin(desired, check)
            except ConfigError as exc:
                if desired == file:
                    raise
                logger.error("rules set over MQTT cannot be used: %s", exc)  # noqa: TRY400  expected: no traceback
                self._error = str(exc)
            else:
                if pending is not None:
                    self._keep(desired)
                return bank
        return self._begin(file, check)

    def start(self, publish: Callable[[Message], None]) -> None:
        """Tell what is in force, and begin to take commands."""
        self._publish = publish
        self._announcer = Announcer(self._config, publish)
        self._tell()
        self._thread.start()

    def stop(self) -> None:
        """Take no more commands; one that is under way is tried again at the next start."""
        self._stopping.set()
        self.receive(None)

    def receive(self, received: Received | None) -> None:
        """Take a message of a command topic; returns at once."""
        try:
            self._waiting.put_nowait(received)
        except queue.Full:
            logger.error("%d commands wait already: one more is dropped", _WAITING)  # noqa: TRY400  expected: no traceback

    def _run(self) -> None:
        while not self._stopping.is_set():
            received = self._waiting.get()
            if received is not None:
                try:
                    self._take(received)
                except _Ended:
                    return

    def _take(self, received: Received) -> None:
        if received.topic == self._config.homeassistant.birth:
            if received.payload == b"online" and self._config.homeassistant.discovery:
                self._announcer.describe()
            return
        error: str | None = None
        try:
            command = command_of(self._topics, received)
            if command is None:
                return
            self._follow(command)
        except (ConfigError, ModelError, EngineError) as exc:
            error = str(exc)
            logger.warning("%s refused: %s", received.topic, exc)
        self._error = error
        self._tell()
        self._answer(received, error)

    def _follow(self, command: Command) -> None:
        match command:
            case TryAlert(rule):
                known_rule(rule, list(self.prompts))
                if not any(
                    rule in rules_of(c, self.prompts) for c in self._config.cameras.values()
                ):
                    raise ConfigError(f"no camera watches prompt {rule!r} now")
                self._order(command)
            case GiveFeedback(feedback):
                self._learn(feedback)
            case SetFeature(rule, "sharpened", None):
                self._change(self._desired.after(command, self._config.prompts))
                self._teach(rule)
            case _:
                self._change(self._desired.after(command, self._config.prompts))

    def _learn(self, feedback: Feedback) -> None:
        """An alert was right or wrong: what it reached may be ordinary, its rule may be taught."""
        told = self._feedback.add(feedback)
        if told is None:
            raise ConfigError(f"alert {feedback.alert} is not known (any more): nothing is learned")
        if not feedback.correct and told.correct is not False:  # it may come twice
            self._order(Admit(told.camera, told.rule, told.levels))
        self._teach(told.rule)

    def _teach(self, rule: str) -> None:
        """Go by what was said of a rule's alerts, if that helps.

        A rule that somebody sharpened by examples of their choice stays as they wanted it.
        """
        prompt = self._desired.untaught(rule, self._config.prompts)
        if self._teacher is None or prompt is None or prompt.sharpened is not None:
            return
        shots = self._feedback.shots(rule, plan(rule, prompt).sentences)
        try:
            taught = None if shots is None else self._teacher.teach(rule, prompt, shots)
        except ConfigError as exc:
            logger.info("prompt %s learns by its threshold alone: %s", rule, exc)
            return
        if taught is None:
            return
        _log_lesson(rule, taught)
        settings = None
        if taught.record is not None:
            settings = TaughtSettings(
                record=taught.record,
                lesson=taught.lesson,
                model=self._feedback.model,
                text=prompt.text,
                negatives=prompt.negatives,
            )
        self._change(self._desired.teach(rule, settings))

    def _change(self, desired: Desired) -> None:
        if desired == self._desired:
            return
        self._keep(self._desired, desired)
        try:
            prompts = desired.effective(self._config.prompts)
            profile = desired.profile or self._config.profile
            if (prompts, profile) != (self.prompts, self.profile):
                same = _scored(prompts) == _scored(self.prompts)
                bank = self._bank if same else self._compile(prompts)
                self._adopt(Adopt(prompts, bank, profile))
                self.prompts, self._bank = prompts, bank
                self._applied_at = time.time()
                logger.info(
                    "rules in force: %s; profile: %s", ", ".join(prompts), profile or "none"
                )
        except EdgeError:
            self._keep(self._desired)
            raise
        self._desired = desired
        self._keep(desired)

    def _begin(
        self, desired: Desired, check: Callable[[Mapping[str, PromptConfig], PromptBank], None]
    ) -> PromptBank:
        prompts = desired.effective(self._config.prompts)
        bank = self._compile(prompts)
        check(prompts, bank)
        self._desired, self.prompts, self._bank = desired, prompts, bank
        return bank

    def _compile(self, prompts: Mapping[str, PromptConfig]) -> PromptBank:
        return compile_prompts(self._open_compiler, prompts, self._config.background)

    def _adopt(self, adopt: Adopt) -> None:
        self._order(adopt)
        while True:
            try:
                return adopt.adopted.result(_TICK_S)
            except TimeoutError:
                if self._stopping.is_set():
                    raise _Ended from None

    def _order(self, order: Order) -> None:
        self.orders.put(order)
        self._wake()

    def _keep(self, accepted: Desired, pending: Desired | None = None) -> None:
        try:
            self._file.save(accepted, pending)
        except OSError as exc:
            logger.error("the rules set over MQTT are lost at the next start: %s", exc)  # noqa: TRY400  expected: no traceback

    def _tell(self) -> None:
        """Publish what is in force."""
        self._announcer.announce(
            self.prompts,
            self._bank,
            profile=self.profile or "",
            applied_at=self._applied_at,
            lessons=self._desired.lessons(self._config.prompts),
            error=self._error,
        )

    def _answer(self, received: Received, error: str | None) -> None:
        """Say what became of a command, where its sender wants to hear it."""
        answer = AnswerPayload(
            device=self._config.device.id, topic=received.topic, at=utc(time.time()), error=error
        )
        self._publish(
            Message(
                answer_topic(self._topics, received),
                answer.to_json(),
                "answer",
                None,
                1,
                False,
                "application/json",
                ANSWER_SCHEMA,
                correlation=received.correlation,
            )
        )


def _log_lesson(rule: str, taught: Taught) -> None:
    logger.info("prompt %s: %s%s", rule, taught.lesson.told(),
                "; nothing helps" if taught.record is None else "")  # fmt: skip


def compile_prompts(
    open_compiler: Callable[[], AbstractContextManager[Compiler]],
    prompts: Mapping[str, PromptConfig],
    background: Sequence[str] | None,
) -> PromptBank:
    """Compile rules; what their author should know is logged.

    Raises:
        ConfigError: A prompt cannot be used.
        ModelError: The text graph is not usable.
        InferenceError: The engine failed.
    """
    with open_compiler() as compiler:
        bank = compiler(prompts, background)
    for note in bank.notes:
        logger.warning("%s", note)
    return bank


def _scored(prompts: Mapping[str, PromptConfig]) -> list[tuple[object, ...]]:
    """What of the rules their bank is compiled of."""
    return [
        (name, rule.text, rule.negatives, rule.sharpened, rule.pool)
        for name, rule in prompts.items()
    ]
