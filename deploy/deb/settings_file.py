"""Writes ``edge.yaml`` with every key as a comment, from the schema, so that none is missing. Pure.

A line that begins with ``##`` explains; one that begins with ``#`` is a setting.
"""

import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, Final

from edge.config.schema import config_schema

_HEAD: Final = """\
## Settings of the camera edge runtime: every key, with its default or an example.
##
## Take the # from the lines that your box needs, a section's own line too. A box needs at least
## device.id, bundle, mqtt.host, one prompt and one camera. Then:
##
##     edge check /etc/edge/edge.yaml       tries everything, and says what is wrong
##     systemctl restart edge               starts the daemon
##     systemctl reload edge                later: other prompts and cameras, without a restart
##
## A password is a file in /etc/edge/credentials, which only root can read: write it with
##     install -m 600 /dev/stdin /etc/edge/credentials/broker_password
## and name it here as: !secret broker_password. So is the URL of a camera, where it has a password:
##     url: !secret yard_url
"""
# Where the default says nothing: what stands in the file, by place. "*" is a name of the user's.
_EXAMPLES: Final[Mapping[str, str]] = {
    "device.id": "nvr-01",
    "bundle": "/var/lib/edge/bundle",
    "bundle_keys": "[/etc/edge/site.key.pub]",
    "mqtt.host": "broker.example",
    "mqtt.username": "nvr-01",
    "mqtt.password": "!secret broker_password",
    "mqtt.tls.ca": "/etc/edge/ca.pem",
    "clip.bundle": "/var/lib/edge/clip",
    "prompts.*.text": "a person",
    "prompts.*.schedule": "22:00-06:00",
    "prompts.*.pool.kind": "mean",
    "prompts.*.sharpened.threshold": "0.1",
    "prompts.*.sharpened.hysteresis": "0.02",
    "cameras.*.url": "rtsp://192.0.2.10/stream2",
    "cameras.*.zones.*": "[[0, 0.5], [1, 0.5], [1, 1], [0, 1]]",
}
_NAMES: Final = {"prompts": "person", "cameras": "yard", "zones": "gate"}
_WIDTH: Final = 98
_WORD: Final = re.compile(r'^"([\w./-]+)"$')  # needs no quotes


def settings_file() -> str:
    """Return the text of the file."""
    schema = config_schema()
    lines = [_HEAD]
    for key, part in schema["properties"].items():
        lines += [*_key(schema, key, part, (), required=key in schema["required"]), ""]
    return "\n".join(lines)


def _key(
    schema: Mapping[str, Any],
    key: str,
    part: Mapping[str, Any],
    above: tuple[str, ...],
    *,
    required: bool,
) -> Iterator[str]:
    place = (*above, key)
    indent = "  " * len(above)
    must = " Required." if required else ""
    for line in textwrap.wrap(f"{part.get('description', '')}{must}", _WIDTH - 4 - len(indent)):
        yield f"## {indent}{line}"
    example = _EXAMPLES.get(".".join(place))
    section = None if example else _section(schema, part)
    if section is not None:
        yield f"#{indent}{_shown(key, above)}:"
        wanted = section.get("required", ())
        for child, below in section["properties"].items():
            yield from _key(schema, child, below, place, required=child in wanted)
        return
    named = next(iter(part.get("patternProperties", {}).values()), None)
    if example is None and named is not None:
        yield f"#{indent}{key}:"
        yield from _key(schema, "*", named, place, required=False)
        return
    value = example or _WORD.sub(r"\1", json.dumps(part["default"]))
    yield f"#{indent}{_shown(key, above)}: {value}"


def _shown(key: str, above: tuple[str, ...]) -> str:
    return _NAMES[above[-1]] if key == "*" else key


def _section(schema: Mapping[str, Any], part: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the section that a key holds; None where it holds a value."""
    for choice in (part, *part.get("anyOf", ())):
        if "$ref" in choice:
            section: Mapping[str, Any] = schema["$defs"][choice["$ref"].rpartition("/")[2]]
            return section
    return None
