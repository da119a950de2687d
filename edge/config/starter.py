"""Writes a first configuration of the few things that a box must know. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edge.config.models import CameraConfig, DeviceConfig, MqttConfig
from edge.config.nodes import SecretName, yaml_text
from edge.config.urls import passwords

_ARTICLE = re.compile(r"^(?:an?|the) ")
_LONGEST_NAME = 40
_HEAD: Final = """\
# Settings of this box. docs/config.md explains every key, and what stands here has many more.
#
#     edge check {file}              tries all of it, and says what to do about what fails
#     edge run {file}                watches the cameras
#     edge alerts --config {file}    prints the alerts, in another terminal
"""
_ABOUT: Final[Mapping[str, str]] = {
    "device": "The box's name is a level of its MQTT topics, so no other box of the broker has it.",
    "bundle": "The model: `edge-export default` builds it.",
    "state_dir": "What must survive a restart: messages that wait, thresholds that were learned.",
    "mqtt": "Where alerts go to. `tls: {}` encrypts; `tls: {ca: FILE}`: by an authority of yours.",
    "prompts": (
        "Each rule is a sentence that says what is to be seen. The threshold comes from the number"
        " of\n# false alarms that you accept; `edge score VIDEO SENTENCE` shows how well one fits."
    ),
    "cameras": "Take the camera's substream: 640x360 is enough, and costs less than the full one.",
}


@dataclass(frozen=True, slots=True)
class Starter:
    """What a first configuration is made of; its parts have been checked.

    Attributes:
        device: Identity of the box.
        bundle: Folder of the model.
        mqtt: Connection to the broker.
        camera_name: Name of the first camera.
        camera: The first camera.
        sentences: Sentences of the rules, at least one.
    """

    device: DeviceConfig
    bundle: Path
    mqtt: MqttConfig
    camera_name: str
    camera: CameraConfig
    sentences: Sequence[str]


def rule_names(sentences: Sequence[str]) -> dict[str, str]:
    """Return the sentences by short names for MQTT payloads, such as ``taxi`` for "a taxi"."""
    names: dict[str, str] = {}
    for sentence in sentences:
        words = re.sub(r"[^a-z0-9]+", "-", _ARTICLE.sub("", sentence.strip().lower()))
        name = words.strip("-")[:_LONGEST_NAME].strip("-") or "prompt"
        count = 2
        unique = name
        while unique in names:
            unique, count = f"{name}-{count}", count + 1
        names[unique] = sentence
    return names


def plain(text: str) -> str:
    """Return a text as a configuration writes it: ``${`` stands for a variable there."""
    return text.replace("${", "$${")


def starter_files(starter: Starter, name: str) -> tuple[str, str | None]:
    """Return the text of the configuration, and that of ``secrets.yaml``; None without secrets.

    Args:
        starter: Parts of the configuration.
        name: Name of the configuration file, which its head mentions.
    """
    secrets: dict[str, str] = {}
    values: dict[str, Any] = {
        "device": {"id": starter.device.id},
        "bundle": plain(str(starter.bundle)),
        "state_dir": "state",
        "mqtt": _mqtt(starter.mqtt, secrets),
        "prompts": {
            rule: {"text": plain(sentence), "false_alarms_per_day": 1}
            for rule, sentence in rule_names(starter.sentences).items()
        },
        "cameras": {starter.camera_name: {"url": _url(starter, secrets)}},
    }
    parts = [_HEAD.format(file=name)]
    parts += [f"# {_ABOUT[key]}\n{yaml_text({key: value})}" for key, value in values.items()]
    return "\n".join(parts), yaml_text(secrets) if secrets else None


def _mqtt(mqtt: MqttConfig, secrets: dict[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {"host": mqtt.host, "port": mqtt.port}
    if mqtt.username is not None:
        values["username"] = plain(mqtt.username)
    if mqtt.password is not None:
        secrets["broker_password"] = mqtt.password.get_secret_value()
        values["password"] = SecretName("broker_password")
    if mqtt.tls is not None:
        values["tls"] = {} if mqtt.tls.ca is None else {"ca": plain(str(mqtt.tls.ca))}
    return values


def _url(starter: Starter, secrets: dict[str, str]) -> str:
    url = starter.camera.url.get_secret_value()
    if not passwords(url):
        return plain(url)
    secret = f"{starter.camera_name}_url"
    secrets[secret] = url
    return SecretName(secret)
