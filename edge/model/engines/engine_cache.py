"""Keeps built engines on disk: building takes minutes, reading takes a second.

An engine contains code for the GPU. So a file is used only if nobody but this user (or root) could
have written it, if it was written for exactly this key, and if its hash is right. Any other file is
ignored and written again.
"""

import hashlib
import json
import logging
import os
import stat
from pathlib import Path

from edge.system.atomic_file import write_atomically

_log = logging.getLogger(__name__)

_MAGIC = b"edge-engine/1\n"
_HASH_BYTES = 65  # sixty-four hexadecimal digits and a line feed


def engine_key(**facts: str) -> str:
    """Return the key of an engine; different facts give different keys.

    Args:
        facts: Everything that determines the built engine.
    """
    return _sha256(json.dumps(facts, sort_keys=True).encode())


def read_engine(folder: Path, key: str) -> bytes | None:
    """Return the engine that was written for ``key``; None where there is no trusted file."""
    path = _path(folder, key)
    try:
        data = _read(path)
    except FileNotFoundError:
        return None
    except OSError as exc:
        _log.warning("%s: not used, it cannot be read: %s", path, exc)
        return None
    header, engine = data[: len(_MAGIC) + 2 * _HASH_BYTES], data[len(_MAGIC) + 2 * _HASH_BYTES :]
    if header != _header(key, engine):
        _log.warning("%s: not used, it is damaged or of another engine", path)
        return None
    return engine


def write_engine(folder: Path, key: str, engine: bytes) -> None:
    """Write ``engine``, as a whole or not at all. A failure is only logged."""
    path = _path(folder, key)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(path, _header(key, engine), engine, mode=0o600)
    except OSError as exc:
        _log.warning("%s: the engine is built again at the next start: %s", path, exc)


def _path(folder: Path, key: str) -> Path:
    return folder / f"{key}.engine"


def _header(key: str, engine: bytes) -> bytes:
    return _MAGIC + f"{key}\n{_sha256(engine)}\n".encode()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _read(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise PermissionError("expected a file")
        if about.st_uid not in {os.geteuid(), 0} or about.st_mode & 0o022:
            raise PermissionError("expected one that only this user can write")
        return file.read()
