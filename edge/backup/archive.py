"""Reads and writes the file of a backup: a tar of plain files, whose first one is the manifest.

A reader must take a file from anywhere: only plain files are accepted, under names that the
manifest lists, with its sizes and hashes. So there are no links, no paths that lead elsewhere, and
nothing larger than the file itself.
"""

import hashlib
import os
import secrets
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge.delivery.payloads import Instant
from edge.errors import SideFileError, SourceError
from edge.system.atomic_file import sync_folder
from edge.system.trouble import ADVICE, trouble_of, trouble_of_json, words_of

SCHEMA: Final = "edge-backup/1"
MANIFEST: Final = "manifest.json"
_BLOCK: Final = tarfile.BLOCKSIZE
_MOST_MANIFEST: Final = 4 << 20
_MOST_FILES: Final = 50_000
_CHUNK: Final = 1 << 20

# Folders and a file, none of which begins with a dot.
_NAME: Final = r"^(config|state)(/[A-Za-z0-9_][A-Za-z0-9_.@=-]{0,99}){1,5}$"


class BackupFile(BaseModel):
    """One file of a backup.

    Attributes:
        name: ``config/…`` or ``state/…``.
        size: Bytes.
        sha256: Hash of its content.
        mode: Permission bits.
        owner: Name of its user; None where it has none.
        group: Name of its group; None where it has none.
    """

    model_config = ConfigDict(frozen=True)

    name: Annotated[str, Field(pattern=_NAME, max_length=250)]
    size: Annotated[int, Field(ge=0, lt=1 << 33)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    mode: Annotated[int, Field(ge=0, le=0o777)]
    owner: str | None = None
    group: str | None = None


class BackupManifest(BaseModel):
    """What a backup holds.

    Attributes:
        edge: Version that made it.
        device: Name of the box.
        made_at: Time of the backup.
        config: Name of the configuration file.
        files: The files.
    """

    model_config = ConfigDict(frozen=True, serialize_by_alias=True)

    schema_: Literal["edge-backup/1"] = Field(default=SCHEMA, alias="schema")
    edge: str
    device: str
    made_at: Instant
    config: str
    files: Annotated[tuple[BackupFile, ...], Field(max_length=_MOST_FILES)]


def measure(path: Path, name: str) -> BackupFile:
    """Describe a file of the box, as a backup's file of this name; size and hash are its own."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
        stat = os.fstat(file.fileno())
    return BackupFile(name=name, size=stat.st_size, sha256=digest.hexdigest(), mode=0o600)


def write_archive(target: Path, manifest: BackupManifest, folder: Path) -> None:
    """Write a backup whose files are staged in ``folder``; the file is there as a whole or not.

    Raises:
        OSError: The disk refuses it; a former file of this name is unchanged.
    """
    new = target.with_name(f"{target.name}.{secrets.token_hex(4)}.new")
    try:
        # Passwords and keys: for nobody else, on a file system that knows users.
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            content = manifest.model_dump_json(indent=1).encode()
            file.write(_header(MANIFEST, len(content)) + content + _padding(len(content)))
            for entry in manifest.files:
                file.write(_header(entry.name, entry.size))
                with (folder / entry.name).open("rb") as source:
                    shutil.copyfileobj(source, file, _CHUNK)
                file.write(_padding(entry.size))
            file.write(bytes(2 * _BLOCK))
            file.flush()
            os.fsync(file.fileno())
        new.replace(target)
    finally:
        new.unlink(missing_ok=True)
    sync_folder(target.parent)


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    return info.tobuf(tarfile.USTAR_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % _BLOCK)


class Archive:
    """An opened backup.

    Attributes:
        manifest: What it holds.
    """

    def __init__(self, path: Path, file: BinaryIO) -> None:
        """Read the manifest; errors as ``open_archive``."""
        self._path = path
        self._file = file
        self._left = os.fstat(file.fileno()).st_size
        name, size = self._next() or ("", 0)
        if name != MANIFEST or size > _MOST_MANIFEST:
            raise self._refused("it is no backup: make one with `edge backup`")
        content = self._read(size)
        try:
            self.manifest = BackupManifest.model_validate_json(content)
        except ValidationError as exc:
            if trouble_of_json(content, "schema", SCHEMA) == "newer":
                raise self._refused("a newer version made it: update this box first") from exc
            first = exc.errors()[0]
            where = ".".join(str(step) for step in first["loc"])
            raise self._refused(f"its manifest is wrong: {where}: {first['msg']}") from exc
        self._skip_padding(size)
        names = [entry.name for entry in self.manifest.files]
        if len(set(names)) != len(names):
            raise self._refused("its manifest lists a file twice")

    def unpack(self, folder: Path) -> None:
        """Write all files into an empty folder of ours, each checked.

        Raises:
            SourceError: The backup is damaged, or not what its manifest says.
            OSError: The disk refuses a file.
        """
        for entry in self.manifest.files:
            found = self._next()
            if found != (entry.name, entry.size):
                raise self._refused(f"expected {entry.name} of {entry.size} bytes, found {found}")
            target = folder / entry.name
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            digest = hashlib.sha256()
            with os.fdopen(
                os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb"
            ) as out:
                left = entry.size
                while left:
                    chunk = self._read(min(left, _CHUNK))
                    digest.update(chunk)
                    out.write(chunk)
                    left -= len(chunk)
                out.flush()
                os.fsync(out.fileno())
            if digest.hexdigest() != entry.sha256:
                raise self._refused(f"{entry.name} is not what was backed up: the file is damaged")
            self._skip_padding(entry.size)
        if self._next() is not None:
            raise self._refused("it holds more than its manifest lists")

    def _next(self) -> tuple[str, int] | None:
        """Read the header of the next file; None at the end."""
        block = self._read(_BLOCK)
        if not any(block):
            return None
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        except (tarfile.HeaderError, UnicodeDecodeError) as exc:
            raise self._refused("it is damaged, or no backup") from exc
        if info.type not in {tarfile.REGTYPE, tarfile.AREGTYPE}:
            raise self._refused("it holds something else than plain files")
        if not 0 <= info.size <= self._left:
            raise self._refused(f"it is cut off: {info.size} bytes follow by its own words")
        return info.name, info.size

    def _read(self, size: int) -> bytes:
        content = self._file.read(size)
        self._left -= len(content)
        if len(content) < size:
            raise self._refused("it is cut off")
        return content

    def _skip_padding(self, size: int) -> None:
        self._read(len(_padding(size)))

    def _refused(self, why: str) -> SourceError:
        return SourceError(f"{self._path}: {why}; nothing was changed")


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open a backup.

    Raises:
        SourceError: There is none, or it is damaged, of a newer version, or no backup at all.
    """
    try:
        file = path.open("rb")
    except OSError as exc:
        raise SourceError(f"{path}: expected a backup, found: {exc.strerror}") from exc
    with file:
        yield Archive(path, file)


@contextmanager
def staging_folder(path: Path) -> Iterator[Path]:
    """Make a folder for the time of the block, instead of what an interrupted attempt left."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(mode=0o700)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def disk_error(path: Path, exc: OSError) -> SideFileError:
    """Return what a disk's refusal means for the user."""
    trouble = trouble_of(exc)
    advice = ADVICE[trouble].partition(":")[0]
    return SideFileError(f"{path}: {words_of(exc)}; {advice}", trouble)
