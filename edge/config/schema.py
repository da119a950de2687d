"""Makes the JSON Schema of the configuration, for editors and for the words of error messages."""

import re
from functools import cache
from typing import Any

from edge.config.document import Place
from edge.config.models import Config

# Matches "    name: text" and its continuation lines, which are indented deeper.
_ATTRIBUTE = re.compile(r"^    (\w+): (.+(?:\n {8}.+)*)", re.MULTILINE)
_VARIABLE = {"type": "string", "pattern": r"^\$\{.+\}$"}
_TYPE_WORDS = ("type", "enum", "pattern", "minimum", "exclusiveMinimum", "maximum")


@cache
def config_schema(record: type[Config] = Config) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the configuration file, or of one that extends it.

    Its descriptions are the docstrings of the records. Where a number or one of several words is
    expected, ``${NAME}`` is allowed too. ``!secret`` is a YAML tag, which editors must be set up to
    accept (docs/config.md).
    """
    schema = record.model_json_schema()
    for section in (schema, *schema["$defs"].values()):
        _describe(section)
        for field in section["properties"].values():
            _allow_variable(field)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "Configuration of the camera edge runtime",
    }


def expected_at(place: Place, record: type[Config] = Config) -> dict[str, Any]:
    """Return the part of the record's schema for ``place``; empty for an unknown place."""
    part = config_schema(record)
    for step in place:
        if isinstance(step, int):
            part = part.get("items", part)  # one value or a list of them
        else:
            by_name = part.get("properties", {})
            others = [*part.get("patternProperties", {}).values(), {}]
            part = by_name.get(step, others[0])
        part = _resolved(part, record)
    return part


def _resolved(part: dict[str, Any], record: type[Config]) -> dict[str, Any]:
    for choice in part.get("anyOf", ()):
        if "$ref" in choice or choice.get("writeOnly"):  # the other choice is null
            part = choice
    if "$ref" in part:
        name = part["$ref"].rpartition("/")[2]
        definition: dict[str, Any] = config_schema(record)["$defs"][name]
        return definition
    return part


def _describe(section: dict[str, Any]) -> None:
    """Copy each entry of the docstring's ``Attributes`` to the description of its field."""
    text, _, attributes = section["description"].replace("``", "`").partition("\n\nAttributes:\n")
    section["description"] = text
    for name, meaning in _ATTRIBUTE.findall(attributes):
        section["properties"][name.rstrip("_")]["description"] = " ".join(meaning.split())
    for field in section["properties"].values():
        field.pop("title", None)  # pydantic's title only repeats the name


def _allow_variable(field: dict[str, Any]) -> None:
    choices = field.get("anyOf") or [{key: field[key] for key in _TYPE_WORDS if key in field}]
    takes_any_text = any(choice == {"type": "string"} for choice in choices)
    if takes_any_text or any("type" not in c or c["type"] in {"array", "object"} for c in choices):
        return
    for key in _TYPE_WORDS:
        field.pop(key, None)
    field["anyOf"] = [*choices, _VARIABLE]
