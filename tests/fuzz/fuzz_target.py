"""Defines a target of the fuzzer, and what several targets need."""

import json
import socket
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from tiny_bundle import tiny_bundle

_TICK_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Target:
    """One reader of bytes.

    Attributes:
        read: Reads the bytes as the product does.
        expected: Errors that the reader's callers handle.
        modules: Modules that the bytes reach, whose lines are counted.
        words: Words that a mutation may write into the bytes.
    """

    read: Callable[[bytes], object]
    expected: tuple[type[Exception], ...]
    modules: Sequence[str]
    words: Sequence[str] = ()


@contextmanager
def folder() -> Iterator[Path]:
    """Make an empty folder for one call."""
    with tempfile.TemporaryDirectory(prefix="fuzz") as made:
        yield Path(made)


@contextmanager
def file_with(data: bytes, name: str) -> Iterator[Path]:
    """Write a file for one call."""
    with folder() as made:
        path = made / name
        path.write_bytes(data)
        yield path


@cache
def bundle_folder() -> Path:
    """Make the tiny bundle, once."""
    path = Path(tempfile.mkdtemp(prefix="fuzz")) / "tiny"
    tiny_bundle(path)
    return path


def database(make: Callable[[Path], object], name: str) -> bytes:
    """Return the SQLite file that ``make`` writes, with its log moved into it."""
    with folder() as made:
        path = made / name
        make(path)
        with closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return path.read_bytes()


def as_json(document: Any) -> bytes:
    """Write a document of JSON."""
    return json.dumps(document).encode()


class Peer:
    """Server on this machine that says the same to everybody: what the fuzzer made up.

    It does not listen to what is asked, because what it says is decided already. It ends its side
    at once, so that nobody waits for more.
    """

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._says = b""
        threading.Thread(target=self._serve, daemon=True).start()

    def say(self, data: bytes) -> int:
        """Say ``data`` to everybody from now on; return the port."""
        self._says = data
        return self.port

    def _serve(self) -> None:
        while True:
            client, _ = self._server.accept()
            with client, suppress(OSError):
                client.settimeout(_TICK_S)
                client.recv(65536)
                client.sendall(self._says)
                client.shutdown(socket.SHUT_WR)
                while client.recv(65536):
                    pass


peer = cache(Peer)
