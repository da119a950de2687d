"""A rollout on its own: the loop and the text graph are doubles, the files are real."""

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge.alerts.rule_set import RuleSet
from edge.alerts.second_look import confirm_all
from edge.config.models import Config
from edge.control.desired.file import DESIRED, DesiredFile
from edge.control.desired.restore import restored
from edge.control.learning.feedback import FEEDBACK, FeedbackFile
from edge.control.learning.learner import Learning
from edge.control.mailbox import Mailbox
from edge.control.orders import Adopt, Orders
from edge.control.preparation import Preparation
from edge.control.rollout import Rollout
from edge.delivery.message import Message, Received
from edge.errors import ConfigError


@dataclass
class Box:
    """A rollout, what it published, what the loop was ordered, and what was compiled."""

    config: Config
    rollout: Rollout | None = None
    published: list[Message] = field(default_factory=list)
    orders: list[Any] = field(default_factory=list)
    compiled: list[list[str]] = field(default_factory=list)
    second_look_refuses: str | None = None
    refused: str | None = None
    rules: RuleSet | None = None
    loop: Orders | None = None
    mailbox: Mailbox | None = None
    waiting: int = 1000
    loop_stands: bool = False
    may_compile: threading.Event = field(default_factory=threading.Event)
    teacher: Any = None
    model: str = "model"
    feedback: FeedbackFile | None = None

    def __post_init__(self) -> None:
        self.may_compile.set()

    @contextlib.contextmanager
    def open_compiler(self) -> Iterator[Any]:
        def compile_all(prompts: Any, background: Any = None) -> Any:
            assert self.may_compile.wait(10)
            self.compiled.append(list(prompts))
            for name, prompt in prompts.items():
                if "\N{SNOWMAN}" in prompt.text[0]:
                    raise ConfigError(f"prompt {name!r}: cannot be encoded")
            facts = json.dumps({name: prompt.text for name, prompt in prompts.items()})
            return SimpleNamespace(hash=hashlib.sha256(facts.encode()).hexdigest(), notes=())

        yield compile_all

    def prepare(self, prompts: Any, _bank: Any) -> Any:
        """The rest of the box makes ready for rules, or refuses them."""
        if self.refused in prompts:
            raise ConfigError(f"{self.refused} is not possible here")
        if self.second_look_refuses:
            raise ConfigError(self.second_look_refuses)
        return confirm_all

    def start(self, *, refused: str | None = None) -> "Box":
        """A (re)start of the box. ``refused``: the rest of it refuses rules of this name."""
        self.stop()
        self.published.clear()
        self.refused = refused
        config = self.config
        self.feedback = FeedbackFile(config.state_dir / FEEDBACK, self.model)
        file = DesiredFile(config.state_dir / DESIRED)
        looks: Any = SimpleNamespace(prepare=self.prepare)
        prepare = Preparation(self.open_compiler, config.background, looks)
        start = restored(config, file, self.model, prepare)
        self.rules = start.rules
        self.mailbox = Mailbox(waiting=self.waiting)
        self.loop = Orders(self._turn)
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
        )
        self.rollout.start()
        return self

    def stop(self) -> None:
        if self.rollout:
            assert self.rollout.stop(10)
            self.rollout = None

    def say(self, topic: str, payload: Any, **words: Any) -> dict[str, Any]:
        """Send a command; its answer."""
        count = len(self.answers())
        self.send(topic, payload, **words)
        deadline = threading.Event()
        for _ in range(2000):
            if len(self.answers()) > count:
                return json.loads(self.answers()[-1].payload)
            deadline.wait(0.005)
        raise AssertionError(f"no answer to {topic}")

    def send(self, topic: str, payload: Any, **words: Any) -> None:
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self.mailbox.receive(Received(f"edge/box/{topic}", data, **words))

    def answers(self) -> list[Message]:
        return [message for message in self.published if message.kind == "answer"]

    def last(self, topic: str) -> bytes | None:
        """The newest payload on a topic below the box's."""
        payloads = [m.payload for m in self.published if m.topic == f"edge/box/{topic}"]
        return payloads[-1] if payloads else None

    def state(self) -> dict[str, Any]:
        return json.loads(self.last("prompts/state"))

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


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    return {
        "device": {"id": "box"},
        "bundle": "unused",
        "state_dir": str(tmp_path / "state"),
        "mqtt": {"host": "127.0.0.1"},
        "prompts": {"cat": {"text": "a cat"}, "van": {"text": "a van", "threshold": 0.2}},
        "cameras": {"yard": {"url": "file:x"}, "gate": {"url": "file:x", "prompts": ["cat"]}},
    }


@pytest.fixture
def box(settings: dict[str, Any]) -> Iterator[Box]:
    box = Box(Config.model_validate(settings))
    yield box
    box.stop()
