"""Draws choices from a fuzzer's bytes, so that its mutations change structured inputs too."""

import io
import json
import sqlite3
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import cbor2

_T = TypeVar("_T")

# Numbers at which code goes wrong: signs, edges of 8 to 64 bits, beyond a double.
_EDGES: Final = (0, -1, 1, 127, 255, 2**31, -(2**31) - 1, 2**53, 2**62, 2**63 - 1, 2**64, 10**400)
_FLOATS: Final = (0.0, -0.0, 1e308, -1e308, 5e-324, float("inf"), float("nan"), 0.1, 1e18)
_TEXTS: Final = ("", "a", "cat", "\0", "\x1b[2J", "\u2028", "\ufffd", "é", "𐏿", "9" * 5000, "%s{}")
# CBOR's tags that a decoder gives a meaning: times, numbers, sets, shared values, patterns, arrays.
_TAGS: Final = (0, 1, 2, 3, 4, 5, 28, 29, 30, 35, 36, 37, 72, 100, 256, 258, 260, 261, 1004, 55799)
_DEEPEST: Final = 4
_PAGE: Final = 4096


class Draw:
    """Choices, read from ``data``; after its end every choice is the first one."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        """Number of bytes that are left."""
        return len(self._data) - self._at

    def number(self, limit: int) -> int:
        """Draw a whole number from 0 up to, and not including, ``limit``."""
        size = max(1, (limit - 1).bit_length() + 7 >> 3)
        return int.from_bytes(self.take(size)) % limit

    def pick(self, choices: Sequence[_T]) -> _T:
        """Draw one of ``choices``."""
        return choices[self.number(len(choices))]

    def take(self, size: int) -> bytes:
        """Take the next ``size`` bytes, fewer at the end."""
        taken = self._data[self._at : self._at + size]
        self._at += len(taken)
        return taken

    def piece(self) -> bytes:
        """Take up to 255 bytes, their number first."""
        return self.take(self.number(256))

    def rest(self) -> bytes:
        """Take all bytes that are left."""
        return self.take(self.left)

    def value(self, depth: int = 0) -> Any:
        """Draw a value of JSON's kinds, or one that JSON has no kind for."""
        deeper = depth + 1
        plain: list[Callable[[], Any]] = [
            lambda: self.pick(_EDGES),
            lambda: self.pick(_FLOATS),
            lambda: self.pick(_TEXTS),
            lambda: self.piece().decode("utf-8", "replace"),
            self.piece,
            lambda: self.number(256),
            lambda: bool(self.number(2)),
            lambda: None,
        ]
        nested: list[Callable[[], Any]] = [
            lambda: [self.value(deeper) for _ in range(self.number(5))],
            lambda: {str(self.number(9)): self.value(deeper) for _ in range(self.number(5))},
            lambda: cbor2.CBORTag(self.pick(_TAGS), self.value(deeper)),
        ]
        return self.pick(plain + nested if depth < _DEEPEST else plain)()

    def json(self, document: Any) -> bytes:
        """Draw JSON: whatever is left, or ``document`` with up to two changes."""
        form = self.number(4)
        if form == 0:
            return self.rest()
        return json.dumps(self.changes(document, form - 1), ensure_ascii=False).encode()

    def changes(self, document: Any, count: int) -> Any:
        """Return a copy of a JSON document with ``count`` changes."""
        for _ in range(count):
            document = self.changed(document)
        return document

    def changed(self, document: Any) -> Any:
        """Return a copy of a JSON document in which one place has another value, or is gone."""
        if isinstance(document, dict) and document and self.number(8):
            key = self.pick(sorted(document))
            rest = {name: value for name, value in document.items() if name != key}
            return rest if self.number(8) == 7 else {**rest, key: self.changed(document[key])}
        if isinstance(document, list) and document and self.number(4):
            place = self.number(len(document))
            return [*document[:place], self.changed(document[place]), *document[place + 1 :]]
        if isinstance(document, str) and self.number(2):
            place, words = self.number(len(document) + 1), self.piece().decode("utf-8", "replace")
            return document[:place] + words + document[min(len(document), place + self.number(9)) :]
        return _plain(self.value())


def _plain(value: Any) -> Any:
    """Return a value with what JSON cannot write as text."""
    match value:
        case bytes():
            return value.decode("latin-1")
        case cbor2.CBORTag():
            return {str(value.tag): _plain(value.value)}
        case list():
            return [_plain(each) for each in value]
        case dict():
            return {key: _plain(each) for key, each in value.items()}
    return value


def damaged(whole: bytes, draw: Draw, steps: int) -> bytes:
    """Return a file with bytes, words and pages changed, moved or cut off."""
    file = bytearray(whole)
    for _ in range(steps):
        if not draw.left or not file:
            break
        at = draw.number(len(file))
        page = at // _PAGE * _PAGE
        match draw.number(8):
            case 0:
                file[at] ^= 1 << draw.number(8)
            case 1:
                file[page : page + _PAGE] = bytes(len(file[page : page + _PAGE]))
            case 2:
                del file[page if draw.number(2) else at :]
            case 3:  # a page that was written to the wrong place
                other = draw.number(len(file)) // _PAGE * _PAGE
                file[page : page + _PAGE] = file[other : other + _PAGE]
            case 4:
                file += file[page : page + _PAGE]
            case 5:
                file[at : at + 8] = draw.take(8)
            case _:
                file[at] = draw.number(256)
    return bytes(file)


def with_another_member(whole: bytes, draw: Draw) -> bytes:
    """Return a zip file, whole in itself, in which one file is damaged."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(made, "w", 8) as new:
        chosen = draw.pick(old.namelist())
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, damaged(data, draw, 1 + draw.number(6)) if name == chosen else data)
    return made.getvalue()


def with_other_cells(
    path: Path, tables: Mapping[str, Sequence[str]], draw: Draw, steps: int
) -> None:
    """Write other values into some cells of an SQLite file, as a damaged page may have them."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for _ in range(steps):
            table = draw.pick(sorted(tables))
            column = draw.pick(tables[table])
            value = draw.value(_DEEPEST)
            with suppress(sqlite3.Error, OverflowError, UnicodeEncodeError):
                query = f"UPDATE {table} SET {column} = ? WHERE rowid = ?"
                db.execute(query, (value, 1 + draw.number(32)))
