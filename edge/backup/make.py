"""Makes the backup of a box, also while its daemon runs."""

import contextlib
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from edge import __version__
from edge.backup.archive import (
    BackupFile,
    BackupManifest,
    disk_error,
    measure,
    staging_folder,
    write_archive,
)
from edge.backup.content import DATABASES, PAGES, config_content, credentials_in
from edge.config.load import read_state_dir
from edge.delivery.outbox_copy import COPY, WANTED
from edge.delivery.payloads import utc
from edge.errors import ConfigError, SideFileError
from edge.resources import OUTBOX
from edge.search.index.store import INDEX
from edge.system.trouble import SQLITE_ERRORS, is_there, trouble_of

# A disk full of messages is copied in this time; usually there are none, and it takes a second.
_PATIENCE_S: Final = 120.0
_BUSY_S: Final = 1.0
_LOOK_AGAIN_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class BackedUp:
    """A backup that was made.

    Attributes:
        manifest: What it holds.
        size: Its bytes.
        elsewhere: Files that the configuration names and that are not in it.
    """

    manifest: BackupManifest
    size: int
    elsewhere: tuple[str, ...]


def back_up(config: Path, target: Path, *, index: bool = False) -> BackedUp:
    """Back up the configuration and the state of this box.

    Args:
        config: Configuration file of the daemon, which may run.
        target: File to write; a former one is replaced when the new one is whole.
        index: Whether the index for the search goes in as well.

    Raises:
        ConfigError: The configuration cannot be read, or names no box.
        SideFileError: A file of the state cannot be read, or the disk refuses the backup.
    """
    state = read_state_dir(config)
    content = config_content(config)
    if content.device is None:
        raise ConfigError(f"{config}: expected device.id, found none: there is no box to back up")
    folder = config.absolute().parent
    try:
        with staging_folder(target.absolute().with_name(f".{target.name}.parts")) as staging:
            files = [
                *_plain(staging, "config", folder, [*content.files, *credentials_in(folder)]),
                *_databases(staging, state),
                *_plain(staging, "state", state, PAGES),
                *(_plain(staging, "state", state, _index_of(state)) if index else ()),
            ]
            manifest = BackupManifest(
                edge=__version__,
                device=content.device,
                made_at=utc(time.time()),
                config=config.name,
                files=tuple(files),
            )
            write_archive(target.absolute(), manifest, staging)
            return BackedUp(manifest, target.stat().st_size, content.elsewhere)
    except OSError as exc:
        raise disk_error(Path(exc.filename or target), exc) from exc


def _plain(staging: Path, kind: str, folder: Path, names: Iterable[str]) -> Iterator[BackupFile]:
    """Copy the files of these names that exist."""
    for name in names:
        source, staged = folder / name, staging / kind / name
        staged.parent.mkdir(parents=True, exist_ok=True)
        if not is_there(source):
            continue
        with contextlib.suppress(FileNotFoundError):  # the index removes what is too old
            shutil.copyfile(source, staged)
            yield _described(source, staged, f"{kind}/{name}")


def _described(source: Path, staged: Path, name: str) -> BackupFile:
    stat = source.stat()
    return measure(staged, name).model_copy(
        update={
            "mode": stat.st_mode & 0o777,
            "owner": _name_of(source.owner),
            "group": _name_of(source.group),
        }
    )


def _name_of(ask: Callable[[], str]) -> str | None:
    try:
        return ask()
    except KeyError:  # a number without a name
        return None


def _index_of(state: Path) -> Iterator[str]:
    root = state / INDEX
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield str(path.relative_to(state))


def _databases(staging: Path, state: Path) -> Iterator[BackupFile]:
    for name, check in DATABASES.items():
        source, staged = state / name, staging / "state" / name
        if not is_there(source):
            continue
        staged.parent.mkdir(parents=True, exist_ok=True)
        try:
            _copy(source, staged)
            check(staged)
        except SQLITE_ERRORS as exc:
            if name != OUTBOX or trouble_of(exc) != "locked":
                raise _unread(source, exc) from exc
            _ask_daemon(state, staged)
            check(staged)
        yield _described(source, staged, f"state/{name}")


def _unread(path: Path, exc: Exception) -> SideFileError:
    trouble = trouble_of(exc)
    advice = {
        "damaged": "start the daemon once: it repairs the file or sets it aside",
        "locked": "another process holds it: try again",
    }.get(trouble, "run this as root or as the user of the daemon")
    return SideFileError(f"{path}: {exc}; {advice}", trouble)


def _copy(source: Path, target: Path) -> None:
    """Copy an SQLite file as of one moment, with what its log holds."""
    address = f"file:{quote(str(source))}?mode=rw"
    with (
        contextlib.closing(
            sqlite3.connect(address, timeout=_BUSY_S, uri=True, isolation_level=None)
        ) as db,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        # A file that is locked ends this here; the backup itself would wait for ever.
        db.execute("BEGIN")
        db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        db.backup(copy)


def _ask_daemon(state: Path, target: Path) -> None:
    """Have the daemon copy its outbox, which it alone can read, and take the copy.

    Raises:
        SideFileError: It makes none.
    """
    wanted, copy = state / WANTED, state / COPY
    copy.unlink(missing_ok=True)
    try:
        os.close(os.open(wanted, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError as exc:
        text = f"{wanted} is there: another backup runs; if none does, remove that file"
        raise SideFileError(text, "locked") from exc
    try:
        deadline = time.monotonic() + _PATIENCE_S
        while is_there(wanted):
            if time.monotonic() > deadline:
                text = f"the daemon has not copied its outbox for {_PATIENCE_S:.0f} s"
                raise SideFileError(f"{text}: see `edge health`, or stop it", "locked")
            time.sleep(_LOOK_AGAIN_S)
        if not copy.exists():
            text = "the daemon could not copy its outbox: its log says why"
            raise SideFileError(text, "failing")
        shutil.copyfile(copy, target)
    finally:
        wanted.unlink(missing_ok=True)
        copy.unlink(missing_ok=True)
