"""A rollout on its own: the loop and the text graph are doubles, the files are real."""

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from present import present

from edge.alerts.rule_set import RuleSet
from edge.alerts.second_look import Confirm, NoSecondLook
from edge.config.models import CameraConfig, Config
from edge.config.prompt import PromptConfig
from edge.control.announce.record import RETAINED, Place
from edge.control.announce.retained import Retained
from edge.control.desired.file import DESIRED, DesiredFile
from edge.control.desired.restore import restored
from edge.control.learning.feedback import FEEDBACK, FeedbackFile
from edge.control.learning.learner import Learning, RuleTeacher
from edge.control.mailbox import Mailbox
from edge.control.orders import Adopt, Order, Orders
from edge.control.preparation import Preparation
from edge.control.rollout import Rollout
from edge.delivery.message import Message, Received
from edge.errors import ConfigError, SideFileError
from edge.rules.bank import PromptBank
from edge.rules.compiler import Compiler


@dataclass
class ControlBox:
    """A rollout, what it published, what the loop was ordered, and what was compiled."""

    config: Config
    rollout: Rollout | None = None
    published: list[Message] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    compiled: list[list[str]] = field(default_factory=list)
    second_look_refuses: str | None = None
    refused: str | None = None
    waiting: int = 1000
    loop_stands: bool = False
    may_compile: threading.Event = field(default_factory=threading.Event)
    teacher: RuleTeacher | None = None
    model: str = "model"
    # From the first start on.
    rules: RuleSet = field(init=False, repr=False)
    loop: Orders = field(init=False, repr=False)
    mailbox: Mailbox = field(init=False, repr=False)
    feedback: FeedbackFile = field(init=False, repr=False)
    retained: Retained = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.may_compile.set()

    @contextlib.contextmanager
    def open_compiler(self) -> Iterator[Compiler]:
        def compile_all(
            prompts: Mapping[str, PromptConfig], background: Sequence[str] | None = None
        ) -> PromptBank:
            assert self.may_compile.wait(10)
            self.compiled.append(list(prompts))
            for name, prompt in prompts.items():
                if "\N{BUG}" in prompt.text[0]:
                    raise ZeroDivisionError("a defect")
                if "\N{SNOWMAN}" in prompt.text[0]:
                    raise ConfigError(f"prompt {name!r}: cannot be encoded")
            facts = json.dumps({name: prompt.text for name, prompt in prompts.items()})
            rows = np.zeros((0, 1), np.float32)
            return PromptBank((), (), rows, (), hashlib.sha256(facts.encode()).hexdigest())

        yield compile_all

    def start(self, *, refused: str | None = None) -> "ControlBox":
        """A (re)start of the box. ``refused``: the rest of it refuses rules of this name."""
        self.stop()
        self.published.clear()
        self.refused = refused
        config = self.config
        self.feedback = FeedbackFile(config.state_dir / FEEDBACK, self.model)
        file = DesiredFile(config.state_dir / DESIRED)
        prepare = Preparation(self.open_compiler, config.background, RefusingLook(self))
        start = restored(config, file, self.model, prepare)
        self.rules = start.rules
        self.mailbox = Mailbox(waiting=self.waiting)
        self.loop = Orders(self._turn)
        record, place = config.state_dir / RETAINED, Place.of(config)
        self.retained = Retained(record, place, self.published.append)
        self.rollout = Rollout(
            config,
            start,
            self.mailbox,
            file=file,
            prepare=prepare,
            learning=Learning(self.feedback, self.teacher, config.prompts),
            orders=self.loop,
            in_force=lambda: self.rules,
            publish=self.published.append,
            retained=self.retained,
        )
        self.rollout.start()
        return self

    def stop(self) -> None:
        if self.rollout:
            assert self.rollout.stop(10)
            with contextlib.suppress(SideFileError):
                self.retained.flush()  # as the keeper does
            self.rollout = None

    def say(self, topic: str, payload: Any, **words: Any) -> dict[str, Any]:
        """Send a command; its answer."""
        count = len(self.answers())
        self.send(topic, payload, **words)
        deadline = threading.Event()
        for _ in range(2000):
            if len(self.answers()) > count:
                answer: dict[str, Any] = json.loads(self.answers()[-1].payload)
                return answer
            deadline.wait(0.005)
        raise AssertionError(f"no answer to {topic}")

    def send(self, topic: str, payload: Any, **words: Any) -> None:
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self.mailbox.receive(Received(f"edge/box/{topic}", data, **words))

    def adopted(self) -> RuleSet:
        """The rules of the newest order, which is to adopt them."""
        order = self.orders[-1]
        assert isinstance(order, Adopt)
        return order.rules

    def answers(self) -> list[Message]:
        return [message for message in self.published if message.kind == "answer"]

    def last(self, topic: str) -> bytes | None:
        """The newest payload on a topic below the box's."""
        payloads = [m.payload for m in self.published if m.topic == f"edge/box/{topic}"]
        return payloads[-1] if payloads else None

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(present(self.last("prompts/state")))
        return state

    def timeless_state(self) -> dict[str, Any]:
        """The state without its time."""
        return self.state() | {"applied_at": ""}

    def _turn(self) -> None:
        """One turn of the loop."""
        if self.loop_stands:
            return
        for order, future in self.loop.take():
            self.orders.append(order)
            if isinstance(order, Adopt):
                self.rules = order.rules
            future.set_result(None)


class RefusingLook(NoSecondLook):
    """The rest of the box: it makes ready for rules, or refuses them."""

    def __init__(self, box: ControlBox) -> None:
        self.box = box

    def prepare(
        self,
        prompts: Mapping[str, PromptConfig],
        bank: PromptBank,
        cameras: Mapping[str, CameraConfig],
    ) -> Confirm:
        if self.box.refused in prompts:
            raise ConfigError(f"{self.box.refused} is not possible here")
        if self.box.second_look_refuses:
            raise ConfigError(self.box.second_look_refuses)
        return super().prepare(prompts, bank, cameras)
