"""Whatever value is wrong at whatever place: our words, never the library's, and never none."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from edge.config.load import checked
from edge.config.models import Config
from edge.config.schema import config_schema
from edge.errors import ConfigError

GOOD = {
    "device": {"id": "b"}, "bundle": "b", "mqtt": {"host": "h"},
    "prompts": {"name": {"text": "a"}}, "cameras": {"name": {"url": "rtsp://h/x"}},
}  # fmt: skip
WRONG: tuple[Any, ...] = (
    *(None, True, 1, -1, 1.5, 1e300, float("nan"), float("inf"), 10**30, "", "a", "1", "\u200b"),
    *("2020-01-01", [], ["a"], [1, 2, 3], [[1, 2], [3, 4]], [[0.1, 0.2], [0.3, 0.4], [0.1]]),
    *([[0.1, 0.2], [0.3, 0.4]], [[0.1, 0.2], [0.3, 0.4], [0.1, 0.2, 0.3]], {}, {"a": 1}, b"x"),
)  # fmt: skip
# Words of pydantic's own messages.
THEIRS = re.compile(r"\b(Input|should|valid|validation|Tuple|Field|required|dictionary)\b")


def places(part: dict[str, Any], at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """All places of a configuration, one of each name and one item of each list."""
    while "$ref" in part:
        part = config_schema()["$defs"][part["$ref"].rpartition("/")[2]]
    yield at
    for choice in part.get("anyOf", ()):
        yield from places(choice, at)
    for key, below in part.get("properties", {}).items():
        yield from places(below, (*at, key))
    for below in (*part.get("patternProperties", {}).values(), part.get("additionalProperties")):
        if isinstance(below, dict):
            yield from places(below, (*at, "name"))
    for below in (part.get("items"), *part.get("prefixItems", ())):
        if isinstance(below, dict):
            yield from places(below, (*at, 0))


def put(tree: Any, at: tuple[str | int, ...], value: Any) -> Any:
    if not at:
        return value
    step, *rest = at
    if isinstance(step, int):
        return [put(None, tuple(rest), value)]
    tree = tree if isinstance(tree, dict) else {}
    return tree | {step: put(tree.get(step), tuple(rest), value)}


def message(values: Any) -> str | None:
    """What is wrong with values; None of good ones."""
    try:
        checked(Config, values)
    except ConfigError as error:
        return str(error)
    return None


def test_every_wrong_value_has_our_words() -> None:
    found = {
        (at, str(value)): message(put(GOOD, at, value))
        for at in set(places(config_schema()))
        for value in WRONG
    }
    refused = {case: text for case, text in found.items() if text is not None}
    assert len(refused) > 1000, "the control: the places and the wrong values meet"
    assert not [case for case, text in refused.items() if not text.strip()]
    assert not [(case, text) for case, text in refused.items() if THEIRS.search(text)]


@pytest.mark.parametrize(
    ("polygon", "expected"),
    [
        ([[0.1, 0.2], [0.3, 0.4]], "gate: expected at least 3 values, found 2"),
        ([[0.1, 0.2], [0.3, 0.4], [0.5]], "gate[2]: expected 2 values, found 1"),
        ([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6, 0.7]], "gate[2]: expected at most 2 values, found 3"),
        ([[0.1, 0.2], [0.3, 0.4], 0.5], "gate[2]: expected a list, found 0.5"),
        ([[0.1, 0.2], [0.3]], "gate[1]: expected 2 values, found 1"),
        ([], "gate: expected at least 3, found an empty list"),
    ],
)
def test_a_polygon_says_what_is_wrong_with_it(polygon: Any, expected: str) -> None:
    values = put(GOOD, ("cameras", "name", "zones", "gate"), polygon)
    with pytest.raises(ConfigError) as caught:
        checked(Config, values)
    assert str(caught.value) == f"cameras.name.zones.{expected}"
