"""Parses a YAML file into nodes with lines, and writes values as YAML text. Syntax only.

Plain words follow YAML 1.2: ``on`` and ``off`` are words, not booleans, and 12:30 is text, not the
number 750.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from edge.errors import ConfigError

_MAX_DEPTH = 20  # the configuration has six levels
_MAX_BYTES = 1024 * 1024  # a hundred cameras need 30 KB
_MAX_VALUES = 100_000  # aliases can make a small file very large

# The core schema of YAML 1.2 without octal, hexadecimal, infinity and NaN: for each tag, the
# pattern of its words and their possible first characters.
_PLAIN_WORDS = {
    "null": (r"~|null|Null|NULL|", "~nN\0"),
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?[0-9]+", "-+0123456789"),
    "float": (r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    "merge": (r"<<", "<"),
}


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers = {}  # noqa: RUF012 - PyYAML copies it per class

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        # PyYAML recurses: without a limit, '[[[[…' ends in a RecursionError.
        if self._depth > _MAX_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "nested too deeply", mark)
        self._depth += 1
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node


for _tag, (_words, _begin) in _PLAIN_WORDS.items():
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}",
        re.compile(f"(?:{_words})$"),
        ["" if c == "\0" else c for c in _begin],
    )


class _Dumper(yaml.SafeDumper):
    """Quotes text that the loader would read as another type, such as 0E0 (text to PyYAML)."""

    yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers


class SecretName(str):
    """Name of a secret, which the file has as ``!secret NAME``."""

    __slots__ = ()


_Dumper.add_representer(
    SecretName, lambda dumper, name: dumper.represent_scalar("!secret", str(name))
)


def yaml_text(values: Any) -> str:
    """Return plain values as YAML text, which ``compose`` reads back as the same values."""
    text: str = yaml.dump(values, None, _Dumper, sort_keys=False, allow_unicode=True, width=1000)
    return text


def compose(path: Path) -> yaml.Node | None:
    """Read a file with one YAML document; None for an empty file.

    Raises:
        ConfigError: The file does not exist, is not text, is not YAML, or exceeds a limit; the
            message has path and line.
    """
    text = _read(path)
    try:
        return parse(text)
    except ConfigError as exc:
        raise ConfigError(f"{path}:{exc}") from exc


def parse(text: str) -> yaml.Node | None:
    """Parse one YAML document; None for an empty text. A walk through all aliases ends soon.

    Raises:
        ConfigError: The text is not YAML or exceeds a limit; the message begins with the line.
    """
    try:
        loader = _Loader(text)
        node: yaml.Node | None = loader.get_single_node()
    except yaml.reader.ReaderError as exc:
        line = text.count("\n", 0, exc.position) + 1
        raise ConfigError(f"{line}: expected text, found a control character") from exc
    except yaml.MarkedYAMLError as exc:
        raise ConfigError(_syntax_error(text, exc)) from exc
    except (ValueError, OverflowError) as exc:  # PyYAML on "\UFFFFFFFF": chr() out of range
        raise ConfigError(f"{loader.line + 1}: not valid YAML: {exc}") from exc
    if node is not None:
        _limit(node)
    return node


def line_of(node: yaml.Node) -> int:
    """Line on which the node starts, counted from 1."""
    return int(node.start_mark.line) + 1


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as exc:
        raise ConfigError(f"cannot read {path}: {exc.strerror}") from exc
    if len(content) > _MAX_BYTES:
        raise ConfigError(f"{path}: expected at most {_MAX_BYTES >> 20} MiB of YAML, found more")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        raise ConfigError(f"{path}:{line}: expected YAML in UTF-8, found other bytes") from exc


def _limit(root: yaml.Node) -> None:
    """Limit the values below ``root``, counted once for each alias that leads to them."""
    count = 0
    left = [(root, 0)]
    while left:
        node, depth = left.pop()
        count += 1
        if depth > _MAX_DEPTH or count > _MAX_VALUES:
            raise ConfigError(
                f"{line_of(node)}: expected a few levels and at most {_MAX_VALUES} values, "
                "found more: does an alias contain itself?"
            )
        if isinstance(node, yaml.MappingNode):
            left += [(value, depth + 1) for _, value in reversed(node.value)]
        elif isinstance(node, yaml.SequenceNode):
            left += [(value, depth + 1) for value in reversed(node.value)]


def _syntax_error(text: str, error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return f"1: not valid YAML: {error.problem}"
    line = text[: mark.index].rpartition("\n")[2] + text[mark.index :].partition("\n")[0]
    hint = '; inside { } and [ ] write "${NAME}" with quotes' if "${" in line else ""
    return f"{mark.line + 1}:{mark.column + 1}: not valid YAML: {error.problem}{hint}"
