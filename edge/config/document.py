"""Turns YAML nodes into plain values with lines, and fills in ``${NAME}`` and ``!secret NAME``.

Keys are text, exactly as written. Duplicate keys and other tags are refused.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import yaml

from edge.config.nodes import compose, line_of
from edge.errors import ConfigError
from edge.system.redact import register_secret

SECRETS: Final = "secrets.yaml"
"""File beside the configuration that ``!secret`` reads."""

Place = tuple[str | int, ...]
"""Where a value is: keys and list positions, from the root."""

_VARIABLE = re.compile(
    r"(?P<escaped>\$\$\{)"
    r"|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::(?P<default>[^}]*))?\}"
    r"|(?P<malformed>\$\{)"
)
_WORD = re.compile(r"[\w.-]+")
# Folder beside the configuration, of which edge.service passes each file, and what it puts before
# their names.
_CREDENTIALS = "credentials"
_PASSED = "edge_"
_BOOLEANS = {"true": True, "false": False}


@dataclass(slots=True)
class Document:
    """Content of a configuration file as plain values.

    Attributes:
        values: Whole content: dict, list, str, int, float, bool or None.
        lines: Line of every value, counted from 1.
        borrowed: Texts that ``${NAME}`` and ``!secret`` filled in, by the place of the value.
        unread: Places whose value is None because of a problem.
        empty: Places where the file has a key and no value, not even ``null``.
        reported: Places of the problems.
        problems: Line and text of each problem.
    """

    path: Path
    values: Any = None
    lines: dict[Place, int] = field(default_factory=dict)
    borrowed: dict[Place, list[str]] = field(default_factory=dict)
    unread: set[Place] = field(default_factory=set)
    empty: set[Place] = field(default_factory=set)
    reported: set[Place] = field(default_factory=set)
    problems: list[tuple[int, str]] = field(default_factory=list)

    def written(self, place: Place) -> Place:
        """Return ``place`` as it is in the file, which may have a single item for a list of one."""
        found: Place = ()
        for step in place:
            if isinstance(step, str) or (*found, step) in self.lines:
                found = (*found, step)
        return found

    def report(self, place: Place, text: str, line: int | None = None) -> None:
        """Add a problem at ``place``; by default its line is that of the nearest known place."""
        known = place = self.written(place)
        while known and known not in self.lines:
            known = known[:-1]
        self.reported.add(place)
        where = f"{dotted(place)}: " if place else ""
        self.problems.append((line or self.lines.get(known, 1), f"{where}{text}"))

    def reported_within(self, place: Place) -> bool:
        """Whether there is a problem at ``place`` or below it."""
        place = self.written(place)
        return any(found[: len(place)] == place for found in self.reported)


def read_document(path: Path, environment: Mapping[str, str]) -> Document:
    """Read a YAML file.

    Raises:
        ConfigError: The file cannot be read, is not YAML, or exceeds the size limits. All other
            problems are in the document's ``problems``.
    """
    document = Document(path)
    root = compose(path)
    if root is not None:
        document.values = _Reader(document, environment).read(root, (), line_of(root))
    return document


def dotted(place: Place) -> str:
    """Return a place as text: ``("prompts", "a", "text", 1)`` as ``prompts.a.text[1]``."""
    return "".join(
        f"[{step}]"
        if isinstance(step, int)
        else f".{step if _WORD.fullmatch(step) else repr(step)}"
        for step in place
    ).removeprefix(".")


def suggestion(word: str, known: list[str]) -> str:
    """Suggest a replacement for ``word``: the most similar known word, or all known words."""
    close = get_close_matches(word, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(known)}"


class _Reader:
    """Reads the nodes of one file."""

    def __init__(self, document: Document, environment: Mapping[str, str]) -> None:
        self._document = document
        self._environment = environment
        self._secrets_path = document.path.with_name(SECRETS)

    def read(self, node: yaml.Node, place: Place, line: int) -> Any:
        self._document.lines[place] = line
        if isinstance(node, yaml.MappingNode):
            items = self._items(node, place)
            return {key: self.read(value, (*place, key), at) for key, (value, at) in items.items()}
        if isinstance(node, yaml.SequenceNode):
            return [self.read(n, (*place, i), line_of(n)) for i, n in enumerate(node.value)]
        try:
            return self._scalar(node, place)
        except ValueError as exc:
            self._document.report(place, str(exc))
            self._document.unread.add(place)
            return None

    def _items(self, node: yaml.MappingNode, place: Place) -> dict[str, tuple[yaml.Node, int]]:
        """Values and the lines of their keys; explicit keys win over keys merged by ``<<``."""
        own: dict[str, tuple[yaml.Node, int]] = {}
        merged: dict[str, tuple[yaml.Node, int]] = {}
        for key, value in node.value:
            line = line_of(key)
            if key.tag == "tag:yaml.org,2002:merge":
                for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    if isinstance(source, yaml.MappingNode):
                        merged = self._items(source, place) | merged
                    else:
                        self._document.report(place, "expected a section to merge with <<", line)
            elif not isinstance(key, yaml.ScalarNode):
                self._document.report(place, "expected a word as key, found a collection", line)
            elif key.value in own:
                first = own[key.value][1]
                self._document.report(
                    place, f"duplicate key {key.value!r}, first given in line {first}", line
                )
            else:
                own[key.value] = (value, line)
        return merged | own

    def _scalar(self, node: yaml.Node, place: Place) -> Any:
        text: str = node.value
        match node.tag.removeprefix("tag:yaml.org,2002:"):
            case "!secret":
                return self._secret(text, place)
            case "null":
                if not text:
                    self._document.empty.add(place)
                return None
            case "bool" if text.lower() in _BOOLEANS:
                return _BOOLEANS[text.lower()]
            case "int":
                return int(text)
            case "float":
                return float(text)
            case "str":
                return unicode_text(_VARIABLE.sub(lambda match: self._variable(match, place), text))
            case tag:
                raise ValueError(f"expected a plain value or !secret NAME, found the tag {tag!r}")

    def _variable(self, match: re.Match[str], place: Place) -> str:
        if match["escaped"]:
            return "${"
        if match["malformed"]:
            raise ValueError(
                "expected ${NAME} or ${NAME:default}, found '${'; a plain '${' is written '$${'"
            )
        name = match["name"]
        if name in self._environment:
            self._document.borrowed.setdefault(place, []).append(self._environment[name])
            return self._environment[name]
        if match["default"] is None:
            raise ValueError(
                f"environment variable {name} is not set: set it, or give a default as "
                f"${{{name}:default}}"
            )
        return match["default"]

    def _secret(self, name: str, place: Place) -> str:
        if (credential := self._credential(name)) is not None:
            secret = credential
        elif name not in self._secrets:
            known = suggestion(name, list(self._secrets))
            raise ValueError(f"no secret {name!r} in {self._secrets_path}; {known}")
        else:
            secret = unicode_text(self._secrets[name])
        register_secret(secret)
        self._document.borrowed.setdefault(place, []).append(secret)
        return secret

    def _credential(self, name: str) -> str | None:
        """Return a credential that systemd passes to the daemon; None where there is none.

        ``LoadCredential=NAME:FILE`` gives it its own name, ``LoadCredential=edge:FOLDER`` puts
        ``edge_`` before the name of each file. Whoever may read that folder needs no systemd. A
        line end at the end is no part of a credential.

        Raises:
            ValueError: It cannot be read, or is not text.
        """
        if "/" in name or name.startswith("."):
            return None
        own = self._document.path.parent / _CREDENTIALS / name
        passed = self._environment.get("CREDENTIALS_DIRECTORY")
        passed_on = [Path(passed) / name, Path(passed) / f"{_PASSED}{name}"] if passed else []
        for path in (*passed_on, own):
            try:
                return unicode_text(path.read_text("utf-8").removesuffix("\n"))
            except (FileNotFoundError, PermissionError):
                continue
            except (OSError, UnicodeError) as exc:
                raise ValueError(f"expected the credential {name!r} as text, found: {exc}") from exc
        return None

    @cached_property
    def _secrets(self) -> dict[str, str]:
        """Secrets by name, as they are written: a secret of digits stays text.

        Raises:
            ValueError: The file of secrets is wrong; the message says how.
        """
        path = self._secrets_path
        try:
            root = compose(path)
        except (ConfigError, OSError) as exc:
            raise ValueError(f"{exc}; expected lines such as 'yard_password: …' there") from exc
        pairs = root.value if isinstance(root, yaml.MappingNode) else []
        secrets = {
            key.value: value.value
            for key, value in pairs
            if isinstance(key, yaml.ScalarNode) and isinstance(value, yaml.ScalarNode)
        }
        if not secrets or len(secrets) < len(pairs):
            raise ValueError(f"expected only lines such as 'yard_password: …' in {path}, each once")
        return secrets


def unicode_text(text: str) -> str:
    """Return ``text`` if it is valid Unicode, which messages, topics and logs require.

    Half a UTF-16 pair comes from an escape or an undecodable environment variable.

    Raises:
        ValueError: The text contains half a UTF-16 pair.
    """
    if re.search("[\0\ud800-\udfff]", text):
        raise ValueError("expected Unicode text, found a NUL or half a character")
    return text
