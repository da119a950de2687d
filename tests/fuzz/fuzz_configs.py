"""Targets: what people write and say, in files, commands and searches."""

from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from typing import Final

import numpy as np
from fuzz_draw import Draw
from fuzz_target import Target, bundle_folder, file_with

from calibration.edit import put, take
from calibration.labels import read_labels
from edge.config.load import load_config
from edge.config.models import HomeAssistantConfig
from edge.config.prompt import PromptConfig, SharpenedConfig
from edge.control.answers import AnswerRoute
from edge.control.commands import command_of
from edge.control.desired.state import Desired
from edge.delivery.message import Received
from edge.delivery.topics import Topics
from edge.errors import ConfigError
from edge.model.bundle.read import open_bundle
from edge.rules.caption import split_phrases
from edge.rules.plan import plan
from edge.rules.temporal.clauses import meaning
from edge.rules.text import Tokenizer
from edge.system import redact

_TOPICS: Final = Topics("edge", "box")
_ROUTE: Final = AnswerRoute(_TOPICS, HomeAssistantConfig())
_SHARPENED: Final = SharpenedConfig(threshold=0.1, hysteresis=0.01)
_FILE: Final = {"cat": PromptConfig(text=("a cat",))}
_COMMANDS: Final = (
    "prompts/set", "prompt/cat/threshold/set", "prompt/cat/enabled/set", "prompt/cat/text/set",
    "prompt/cat/test/set", "profile/set", "feedback/set", "prompt/cat/sharpened/set",
    "prompt/cat/false_alarms_per_day/set", "prompt/dog/enabled/set", "prompt/cat/colour/set",
)  # fmt: skip
_DESIRED: Final = {
    "schema": "edge-prompts/1",
    "base": "none",
    "prompts": {
        "cat": {
            "text": ["a cat"], "negatives": ["a dog"], "threshold": 0.1, "cameras": ["yard"],
            "on": {"for": 2, "of": 3}, "cooldown": 60, "schedule": ["Mo-Fr 22:00-06:00"],
            "pool": {"kind": "mean", "frames": 4},
            "sharpened": {"texts": [1.0], "threshold": 0.1, "hysteresis": 0.01},
        }
    },
}  # fmt: skip
_FEEDBACK: Final = {
    "schema": "edge-feedback/1", "alert": "01JX7ZK4Q8V5R2M9T6B3N0C1DE", "correct": True,
}  # fmt: skip
_WHOLE: Final = {
    "device": {"id": "box"},
    "cameras": {
        "yard": {
            "url": "rtsp://user:${PASSWORD}@192.0.2.1:554/s", "transport": "tcp", "timeout": "5s",
            "sample": {"fps": 2}, "aspect": "16:9", "rotate": 90, "prompts": ["cat"],
        },
        "door": {"url": "file:door.mp4", "loop": True},
    },
    "prompts": {
        "cat": {
            "text": ["a cat"], "negatives": ["a dog"], "false_alarms_per_day": 1, "cooldown": "60s",
            "schedule": [
                "mon-fri 22:00-06:00",
                {
                    "days": ["sat"], "hours": ["08:00-17:30"], "except": ["2026-12-24"],
                    "timezone": "Asia/Seoul",
                },
            ],
        },
        "dog": {"text": "a dog", "threshold": 0.1, "on": {"for": 2, "of": 3}},
    },
    "mqtt": {
        "host": "broker.example", "port": 1883, "username": "box", "password": "${PASSWORD}",
        "topic_prefix": "edge", "keepalive": "30s", "client_id": "box",
    },
    "homeassistant": {"discovery": True, "prefix": "homeassistant"},
    "bundle": "bundles/concepts", "state_dir": "/var/lib/edge",
    "index": {"enabled": True, "max_age": "7d"},
    "engine": {"kind": "auto", "device": "CPU", "threads": 2},
}  # fmt: skip
_YAML: Final = (
    "device:", "id: box", "cameras:", "yard:", "url: rtsp://u:p@h/s", "file:", "transport: tcp",
    "sample:", "fps: 2", "zones:", "polygon:", "aspect: 16:9", "rotate: 90", "prompts:", "cat:",
    "text:", "negatives:", "threshold:", "cameras:", "on:", "for: 2", "of: 3", "cooldown:",
    "schedule:", "Mo-Fr 22:00-06:00", "profiles:", "profile:", "mqtt:", "host:", "port:", "tls:",
    "ca:", "username:", "password:", "!secret x", "${HOME}", "keepalive:", "homeassistant:",
    "discovery:", "bundle:", "engine:", "kind: null", "state_dir:", "index:", "max_age: 7d",
    "snapshots:", "pool:", "second_look:", "<<: *a", "&a", "*a", "? ", "- ", "{", "}", "[", "]",
    "| ", "> ", "!!binary", "!!float", "0x10", "1_000", "null", "true", ".inf", ".nan", "2026-01-01",
)  # fmt: skip
_SENTENCES: Final = (
    " then ", " before ", " after ", " while ", " within 5 s", " for 10 minutes", "no ", "nobody ",
    " without ", " is gone", " no longer ", "after ", "once ", ", ", " followed by ", "a car",
    "a person", " stops", " gets out", ". ", "[SEP]", "not ", "n't ", "no parking", "24 h", "0 s",
)  # fmt: skip


def _config(data: bytes) -> None:
    """A file as it comes, or a whole configuration with changes: JSON is YAML."""
    redact._secrets.clear()  # each text registers its own
    with file_with(Draw(data).json(_WHOLE), "edge.yaml") as path:
        (path.parent / "secrets.yaml").write_text("yard: secret\n")
        config = load_config(path, {"PASSWORD": "pw"})
        at = datetime(2026, 3, 28, 12, tzinfo=UTC)
        for prompt in config.prompts.values():
            if prompt.schedule is not None:
                for schedule in prompt.schedule:
                    schedule.active(at)
                    schedule.next_change(at)


def _edit(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    assert take(put(text, "cat", _SHARPENED), "cat") is not None


def _labels(data: bytes) -> None:
    with file_with(data, "labels.json") as path:
        read_labels(path, path.parent)


def _command(data: bytes) -> None:
    """Topic and MQTT 5 properties; then the payload."""
    draw = Draw(data)
    topic = draw.pick(_COMMANDS)
    response = draw.piece().decode("utf-8", "replace") or None
    correlation = draw.piece() or None
    payload = draw.json(_FEEDBACK if topic == "feedback/set" else _DESIRED)
    received = Received(f"edge/box/{topic}", payload, False, None, response, correlation)
    answer = _ROUTE.message(received, b"", "edge-answer/1").topic
    own = answer == "edge/box/answer" or answer.startswith("edge/box/answer/")
    assert own or not answer.startswith(("edge/", "homeassistant/")), answer
    command = command_of(_TOPICS, received)
    if command is not None:
        after = Desired().after(command, _FILE)
        for name, prompt in after.effective(_FILE).items():
            plan(name, prompt)


def _sentence(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    with suppress(ConfigError):
        made = plan("cat", PromptConfig.model_construct(text=(text,), negatives=()))
        meaning(made.expression)
        assert all(sentence.strip() for sentence in made.sentences) or not text.strip()
    tokenizer = _tokenizer()
    for phrase in split_phrases(text)[:8]:
        with suppress(ConfigError):
            assert tokenizer.encode([phrase]).dtype == np.int64


@cache
def _tokenizer() -> Tokenizer:
    bundle = open_bundle(bundle_folder())
    return Tokenizer(bundle.tokenizer(), bundle.manifest.text)


TARGETS: Final = {
    "config": Target(
        _config, (ConfigError,), ("edge.config.load", "edge.config.document", "edge.config.nodes",
        "edge.config.fields", "edge.config.schedule", "edge.config.urls", "edge.config.hosts"),
        _YAML,
    ),
    "edit": Target(_edit, (ConfigError,), ("calibration.edit",), _YAML),
    "labels": Target(_labels, (ConfigError,), ("calibration.labels",), ('"events"', '"from"')),
    "command": Target(
        _command, (ConfigError,),
        ("edge.control.commands", "edge.control.answers", "edge.control.desired.state"),
    ),
    "sentence": Target(
        _sentence, (ConfigError,), ("edge.rules.plan", "edge.rules.temporal.clauses",
        "edge.rules.temporal.words"), _SENTENCES,
    ),
}  # fmt: skip
