"""Describes the box to Home Assistant: one device, with its rules as entities. Pure.

It uses MQTT device discovery (Home Assistant 2024.11 and later): one retained JSON object names all
entities and our topics for them. A rule has its settings once for the box (switch, number, text,
button), and its alerts on each camera that it watches (binary sensor, picture, margin).

Keys are Home Assistant's abbreviations (its ``components/mqtt/abbreviations.py``), because a box
with many rules has hundreds of entities in one message.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from edge import __version__
from edge.config.models import HomeAssistantConfig
from edge.config.prompt import FEWEST_FALSE_ALARMS, PromptConfig
from edge.control.announce.messages import settings_of
from edge.delivery.message import Message
from edge.delivery.topics import Topics

Component = dict[str, Any]

# Longest state of an entity that Home Assistant keeps, in characters.
_LONGEST_STATE: Final = 255


def discovery_topic(config: HomeAssistantConfig, topics: Topics) -> str:
    """Return the topic of the device's description.

    Home Assistant allows letters, digits, ``_`` and ``-`` in it.
    """
    return f"{config.prefix}/device/{topics.prefix}_{topics.device}/config".replace(".", "_")


def discovery_message(
    config: HomeAssistantConfig,
    topics: Topics,
    components: Mapping[str, Component],
    gone: Mapping[str, str],
) -> Message:
    """Make the message that describes the device.

    Args:
        config: Settings of Home Assistant's topics.
        topics: Topics of the box.
        components: Entities of the box, by key.
        gone: Platforms of earlier entities by key; Home Assistant removes these.
    """
    identity = f"{topics.prefix}_{topics.device}"
    described = {
        "dev": {
            "ids": [identity],
            "name": topics.device,
            "mf": "camera-edge-runtime",
            "mdl": "Camera edge runtime",
            "sw": __version__,
        },
        "o": {"name": "camera-edge-runtime", "sw": __version__},
        "avty": [
            {
                "t": topics.status(),
                "val_tpl": "{{ 'online' if value in ('online', 'degraded') else 'offline' }}",
            }
        ],
        "cmps": {key: {"p": platform} for key, platform in gone.items() if key not in components}
        | {
            key: component
            | {"uniq_id": f"{identity}/{key}", "~": f"{topics.prefix}/{topics.device}"}
            for key, component in components.items()
        },
    }
    payload = json.dumps(described, ensure_ascii=False, separators=(",", ":")).encode()
    topic = discovery_topic(config, topics)
    return Message(topic, payload, "state", None, 1, True, "application/json")


def components_of(
    prompts: Mapping[str, PromptConfig], cameras: Mapping[str, Sequence[str]]
) -> dict[str, Component]:
    """Return all entities of a box, by key.

    Args:
        prompts: Rules in force.
        cameras: Names of each camera's rules.
    """
    return dict(
        [
            ("problem", _problem()),
            *_profile(prompts),
            *(pair for name, prompt in prompts.items() for pair in _rule(name, prompt)),
            *(pair for camera in cameras for pair in _camera(camera)),
            *(
                pair
                for camera, rules in cameras.items()
                for rule in rules
                for pair in _alert(camera, rule)
            ),
        ]
    )


def _problem() -> Component:
    return {
        "p": "binary_sensor",
        "name": "Problem",
        "stat_t": "~/status",
        "val_tpl": "{{ 'ON' if value == 'degraded' else 'OFF' }}",
        "dev_cla": "problem",
        "ent_cat": "diagnostic",
    }


def _profile(prompts: Mapping[str, PromptConfig]) -> Iterator[tuple[str, Component]]:
    """Yield the box's profile, if a rule depends on it."""
    names = sorted({profile for prompt in prompts.values() for profile in prompt.profiles})
    if names:
        yield (
            "profile",
            {
                "p": "select",
                "name": "Profile",
                "cmd_t": "~/profile/set",
                "stat_t": "~/profile/state",
                "ops": names,
                "qos": 1,
                "ent_cat": "config",
            },
        )


def _rule(name: str, prompt: PromptConfig) -> Iterator[tuple[str, Component]]:
    def settable(platform: str, feature: str, words: str) -> Component:
        return {
            "p": platform,
            "name": f"{name} {words}",
            "cmd_t": f"~/prompt/{name}/{feature}/set",
            "stat_t": f"~/prompt/{name}/{feature}/state",
            "qos": 1,
            "ent_cat": "config",
        }

    yield f"prompt/{name}/enabled", settable("switch", "enabled", "enabled")
    number = settable("number", "false_alarms_per_day", "false alarms per day")
    number |= {"min": FEWEST_FALSE_ALARMS, "max": 100, "step": 0.001, "mode": "box"}
    yield f"prompt/{name}/false_alarms_per_day", number
    if len(settings_of(prompt)["text"]) <= _LONGEST_STATE:
        text = settable("text", "text", "sentence") | {"min": 1, "max": _LONGEST_STATE}
        yield f"prompt/{name}/text", text
    button = settable("button", "test", "test") | {"ent_cat": "diagnostic"}
    del button["stat_t"]
    yield f"prompt/{name}/test", button


def _alert(camera: str, rule: str) -> Iterator[tuple[str, Component]]:
    yield (
        f"{camera}/{rule}/alerting",
        {
            "p": "binary_sensor",
            "name": f"{camera} {rule}",
            "stat_t": f"~/{camera}/{rule}/alerting",
            "dev_cla": "motion",
            "qos": 1,
        },
    )
    yield (
        f"{camera}/{rule}/snapshot",
        {
            "p": "image",
            "name": f"{camera} {rule} picture",
            "img_t": f"~/{camera}/{rule}/snapshot",
            "cont_type": "image/jpeg",
        },
    )
    margin = _measured(camera, f"{camera} {rule} margin", f"scores.get('{rule}')")
    yield f"{camera}/{rule}/margin", margin | {"sug_dsp_prc": 3}


def _camera(camera: str) -> Iterator[tuple[str, Component]]:
    yield (
        f"{camera}/state",
        {
            "p": "sensor",
            "name": f"{camera} state",
            "stat_t": f"~/{camera}/state",
            "val_tpl": "{{ value_json.state }}",
            "ent_cat": "diagnostic",
        },
    )
    fps = _measured(camera, f"{camera} samples per second", "fps_sampled")
    yield f"{camera}/fps", fps | {"sug_dsp_prc": 1}
    lag = _measured(camera, f"{camera} delay", "lag_s")
    yield f"{camera}/lag", lag | {"unit_of_meas": "s", "dev_cla": "duration", "sug_dsp_prc": 3}


def _measured(camera: str, name: str, value: str) -> Component:
    """Return a number of the camera's state: off by default, because it changes every second."""
    return {
        "p": "sensor",
        "name": name,
        "stat_t": f"~/{camera}/state",
        "val_tpl": f"{{{{ value_json.{value} }}}}",
        "stat_cla": "measurement",
        "ent_cat": "diagnostic",
        "en": False,
    }
