"""Adds the key ``sharpened`` to a rule in a configuration file or removes it. Pure.

Every other byte stays: the file belongs to its user, who chose its comments and its order. So the
text is edited in place and not written anew (docs/adr/0020-yaml.md).
"""

import json
from typing import Final

import yaml

from edge.config.nodes import parse
from edge.config.prompt import SharpenedConfig
from edge.errors import ConfigError

_KEY: Final = "sharpened"


def sharpened_line(record: SharpenedConfig) -> str:
    """Return the record as one line of YAML."""
    facts = record.model_dump(exclude_defaults=True, mode="json")
    pairs = ", ".join(f"{key}: {json.dumps(value)}" for key, value in facts.items())
    return f"{_KEY}: {{{pairs}}}"


def put(text: str, name: str, record: SharpenedConfig) -> str:
    """Put the record into rule ``name``; it replaces an existing record.

    Raises:
        ConfigError: The rule is not there, or the file writes it in an unusual form.
    """
    text = take(text, name)
    rule = _rule(text, name)
    line = sharpened_line(record)
    first = rule.value[0][0].start_mark
    if rule.flow_style:
        changed = f"{text[: first.index]}{line}, {text[first.index :]}"
    else:
        end = "\r\n" if "\r\n" in text else "\n"
        at = first.index - first.column
        changed = f"{text[:at]}{' ' * first.column}{line}{end}{text[at:]}"
    _check(changed, text, name)
    return changed


def take(text: str, name: str) -> str:
    """Remove the record from rule ``name``; return the same text if there is none.

    Raises:
        ConfigError: The rule is not there, or the file writes it in an unusual form.
    """
    rule = _rule(text, name)
    found = next(((key, value) for key, value in rule.value if key.value == _KEY), None)
    if found is None:
        return text
    key, value = found
    start, end = key.start_mark.index, value.end_mark.index
    if rule.flow_style:
        changed = text[:start] + text[end:].removeprefix(", ")
    else:
        line_end = text.find("\n", end)
        begin = start - key.start_mark.column
        after = text[end : line_end if line_end >= 0 else len(text)]
        if after.strip() or key.start_mark.line != value.end_mark.line:
            raise _by_hand(name)
        changed = text[:begin] + (text[line_end + 1 :] if line_end >= 0 else "")
    _check(text, changed, name)
    return changed


def _rule(text: str, name: str) -> yaml.MappingNode:
    """Return the node of the rule, with the positions of its keys in ``text``."""
    try:
        node = parse(text)
    except ConfigError as exc:
        raise ConfigError(f"the configuration is not YAML: line {exc}") from exc
    for step in ("prompts", name):
        if not isinstance(node, yaml.MappingNode):
            break
        node = next((value for key, value in node.value if key.value == step), None)
    if not isinstance(node, yaml.MappingNode) or not node.value:
        raise ConfigError(f"expected a prompt {name!r} with keys of its own, found none")
    return node


def _check(longer: str, shorter: str, name: str) -> None:
    """Check that the two texts differ only in the record."""
    try:
        with_it, without = (_tree(text) for text in (longer, shorter))
        del with_it["prompts"][name][_KEY]
    except (ConfigError, KeyError, TypeError) as exc:
        raise _by_hand(name) from exc
    if with_it != without:
        raise _by_hand(name)


def _tree(text: str) -> dict[str, dict[str, dict[str, object]]]:
    """Return the values by key, each as its tag and its text."""
    tree = _plain(parse(text))
    if not isinstance(tree, dict):
        raise TypeError("no mapping")
    return tree


def _plain(node: yaml.Node | None) -> object:
    match node:
        case yaml.MappingNode():
            return {key.value: _plain(value) for key, value in node.value}
        case yaml.SequenceNode():
            return [_plain(value) for value in node.value]
        case _:
            return None if node is None else (node.tag, node.value)


def _by_hand(name: str) -> ConfigError:
    return ConfigError(
        f"prompt {name!r} stands in the file in a way that this tool does not edit: put the line "
        "in, or take it out, by hand"
    )
