"""Restores a backup on a box whose daemon does not run.

Everything is unpacked and checked beside its place first. Then a mark says that the box is between
two states; while it is there no daemon starts. The former files are moved aside, the new ones into
their places, and the mark goes. What interrupts this is completed by the same command.
"""

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from edge.backup.archive import (
    Archive,
    BackupFile,
    BackupManifest,
    disk_error,
    open_archive,
    staging_folder,
)
from edge.backup.content import CREDENTIALS, DATABASES, PAGES, config_content
from edge.config.load import read_state_dir
from edge.config.models import Config
from edge.errors import ConfigError, OutboxError, SideFileError, SourceError
from edge.resources import OUTBOX, RESTORING
from edge.search.index.store import INDEX
from edge.system.atomic_file import sync_folder, write_atomically
from edge.system.holder import holder
from edge.system.trouble import SQLITE_ERRORS, is_there, trouble_of

_LOGS: Final = ("", "-wal", "-shm", "-journal")
_STATE: Final = (*DATABASES, *PAGES)
_STAGING: Final = ".edge-restore"


class _Mark(BaseModel):
    """Content of the mark: what the box was before.

    Attributes:
        device: Box that is being restored.
        aside: Name of the folders that take the former files.
        config: Former files beside the configuration, by relative path.
        state: Former files of the state folder.
    """

    device: str
    aside: str
    config: tuple[str, ...]
    state: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RestoredBox:
    """A backup that was restored.

    Attributes:
        manifest: What it held.
        aside: Folders with the former files.
    """

    manifest: BackupManifest
    aside: tuple[Path, ...]


def restore(path: Path, config: Path, *, become: str | None = None) -> RestoredBox:
    """Restore a backup.

    Args:
        path: The backup.
        config: Where the configuration file shall be.
        become: Name of the box in the backup, where this box has another one.

    Raises:
        SourceError: The backup is damaged, of a newer version, or none at all.
        ConfigError: The daemon runs, this is another box, or its state is elsewhere.
        SideFileError: The disk refuses it. No daemon starts before it is completed.
    """
    folder = config.absolute().parent.resolve()
    config = folder / config.name
    with open_archive(path) as archive:
        _refuse_other_box(config, archive.manifest, become)
        try:
            with contextlib.ExitStack() as stack:
                folder.mkdir(parents=True, exist_ok=True)
                work = stack.enter_context(staging_folder(folder / _STAGING))
                archive.unpack(work)
                _check(path, work, config, archive)
                state = _state_dir(path, work / "config" / archive.manifest.config, config)
                _refuse_running(state)
                _refuse_links(state)
                state.mkdir(parents=True, exist_ok=True, mode=0o700)
                staging = stack.enter_context(staging_folder(state / _STAGING))
                _settle(work, staging, archive.manifest, config, state)
                return _replace(work / "config", staging, archive.manifest, config, state)
        except OSError as exc:
            raise disk_error(Path(exc.filename or folder), exc) from exc


def _refuse_other_box(config: Path, manifest: BackupManifest, become: str | None) -> None:
    present = config_content(config).device if is_there(config) else None
    named = become or present
    if named not in {None, manifest.device}:
        whose = "--become names" if become else "this box is"
        raise ConfigError(
            f"expected a backup of {named!r}, as {whose} {named!r}, found one of"
            f" {manifest.device!r}; if this box shall be that one: --become {manifest.device}"
        )


def _state_dir(path: Path, staged: Path, config: Path) -> Path:
    """Return the state folder, which the backup must not choose."""
    wanted = read_state_dir(staged, folder=config.parent)
    if is_there(config):
        present = read_state_dir(config)
    else:
        present = Config.model_fields["state_dir"].default
    if wanted != present:
        raise ConfigError(
            f"{path} keeps the state in {wanted}, and this box in {present}: if the former is"
            f" right, write state_dir: {wanted} into {config} first"
        )
    return present.resolve()


def _refuse_links(state: Path) -> None:
    """Refuse links: the new file would lie here, and a relative link would lead nowhere aside."""
    for name in (*_STATE, INDEX):
        path = state / name
        if path.is_symlink():
            raise ConfigError(
                f"{path} is a link to {path.readlink()}: restore without it, and move the file"
                " there afterwards"
            )


def _refuse_running(state: Path) -> None:
    outbox = state / OUTBOX
    if not is_there(outbox):
        return
    address = f"file:{quote(str(outbox))}?mode=rw"
    try:
        with contextlib.closing(sqlite3.connect(address, timeout=0, uri=True)) as db:
            db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except SQLITE_ERRORS as exc:
        if trouble_of(exc) == "locked":
            raise ConfigError(
                f"the daemon runs here ({holder(outbox)}): stop it first, such as by"
                " systemctl stop edge"
            ) from exc


def _check(path: Path, work: Path, config: Path, archive: Archive) -> None:
    """Check that the backup has only what a box has, and that this version can use it."""
    manifest = archive.manifest
    staged = work / "config" / manifest.config
    if "/" in manifest.config or not staged.is_file():
        raise SourceError(f"{path}: it has no configuration; nothing was changed")
    allowed = {f"config/{name}" for name in config_content(staged, config.parent).files}
    allowed |= {f"state/{name}" for name in _STATE}
    for entry in manifest.files:
        kind, top, *rest = entry.name.split("/")
        deep = (kind, top) == ("state", INDEX) or ((kind, top) == ("config", CREDENTIALS) and rest)
        if entry.name not in allowed and not deep:
            raise SourceError(
                f"{path}: its configuration does not name {entry.name}; nothing was changed"
            )
    for name, check in (*DATABASES.items(), *PAGES.items()):
        if (work / "state" / name).is_file():
            try:
                check(work / "state" / name)
            except (OutboxError, SideFileError) as exc:
                raise SourceError(f"{path}: {exc}; nothing was changed") from exc


def _settle(work: Path, staging: Path, manifest: BackupManifest, config: Path, state: Path) -> None:
    """Bring the files of the state beside their places, and give all of them to their users."""
    if (work / "state").is_dir():
        for part in (work / "state").iterdir():
            shutil.move(part, staging / part.name)
    for entry in manifest.files:
        kind, _, name = entry.name.partition("/")
        staged = (work / "config" if kind == "config" else staging) / name
        staged.chmod(entry.mode & 0o770 if kind == "state" else entry.mode & 0o775)
        if os.geteuid() == 0:
            for path in (staged, *staged.parents):
                if path in {staging, work / "config"}:
                    break
                _give(path, entry, config.parent if kind == "config" else state)
        with staged.open("rb") as file:
            os.fsync(file.fileno())


def _give(path: Path, entry: BackupFile, like: Path) -> None:
    """Give a file to the user and group of these names; without them here, to the folder's."""
    if entry.owner and entry.group:
        with contextlib.suppress(LookupError):
            shutil.chown(path, entry.owner, entry.group)
            return
    stat = like.stat()
    os.chown(path, stat.st_uid, stat.st_gid)


def _replace(
    new_config: Path, new_state: Path, manifest: BackupManifest, config: Path, state: Path
) -> RestoredBox:
    """Put the new files in the places of the former ones, which are kept."""
    names = [entry.name.partition("/")[2] for entry in manifest.files if "config/" in entry.name]
    state_names = [*(f"{name}{log}" for name in _STATE for log in _LOGS), INDEX]
    mark = _begin(manifest, config, state, names, state_names)
    try:
        _refuse_running(state)
    except ConfigError:
        (state / RESTORING).unlink()
        raise
    aside_config, aside_state = config.parent / mark.aside, state / mark.aside
    # Copied, so that there is a configuration at each moment.
    _keep(mark.config, config.parent, aside_config, _copy)
    _keep(mark.state, state, aside_state, Path.replace)
    for name in names:
        target = config if name == manifest.config else config.parent / name
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        (new_config / name).replace(target)
    if (state / INDEX).is_dir() and (new_state / INDEX).is_dir():  # of an interrupted attempt
        shutil.rmtree(state / INDEX)
    for part in sorted(new_state.iterdir()):
        part.replace(state / part.name)
    for folder in (config.parent, state):
        sync_folder(folder)
    (state / RESTORING).unlink()
    sync_folder(state)
    kept = [(mark.config, aside_config), (mark.state, aside_state)]
    return RestoredBox(manifest, tuple(folder for former, folder in kept if former))


def _begin(
    manifest: BackupManifest, config: Path, state: Path, names: Iterable[str], states: Iterable[str]
) -> _Mark:
    """Write the mark, or go on where an interrupted attempt has left one."""
    path = state / RESTORING
    if is_there(path):
        try:
            mark = _Mark.model_validate_json(path.read_bytes())
        except ValidationError as exc:
            raise SideFileError(
                f"{path} is damaged: remove it, and restore again", "damaged"
            ) from exc
        if mark.device == manifest.device:
            return mark
        raise ConfigError(
            f"a restore of {mark.device!r} was interrupted here: complete it first, by its backup"
        )
    number = 1
    while is_there(state / f"before-restore-{number}"):
        number += 1
    present = {config.name if name == manifest.config else name for name in names}
    mark = _Mark(
        device=manifest.device,
        aside=f"before-restore-{number}",
        config=tuple(sorted(name for name in present if is_there(config.parent / name))),
        state=tuple(name for name in states if is_there(state / name)),
    )
    write_atomically(path, mark.model_dump_json().encode(), mode=0o644)
    return mark


def _copy(source: Path, target: Path) -> None:
    write_atomically(target, source.read_bytes(), mode=source.stat().st_mode & 0o777)


def _keep(
    names: Iterable[str], folder: Path, aside: Path, keep: Callable[[Path, Path], object]
) -> None:
    """Set former files aside that an earlier attempt has not set aside yet."""
    for name in names:
        kept = aside / name
        if is_there(kept):
            continue
        kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(FileNotFoundError):
            keep(folder / name, kept)
    if aside.is_dir():
        sync_folder(aside)
