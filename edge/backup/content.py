"""Knows what belongs into a backup: the files of a configuration, and those of a state folder."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from edge.alerts.calibration_file import VERSION
from edge.config.document import read_document
from edge.control.announce.record import RETAINED, check_record
from edge.control.desired.file import DESIRED, DesiredFile
from edge.control.learning.feedback import FEEDBACK
from edge.delivery.outbox_file import Damaged, open_file
from edge.errors import SideFileError
from edge.resources import LEARNED, OUTBOX
from edge.system.kept_file import check_file

SECRETS: Final = "secrets.yaml"
CREDENTIALS: Final = "credentials"
_PART: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@=-]{0,99}")
_MOST_PARTS: Final = 4


def _check_outbox(path: Path) -> None:
    try:
        open_file(path).close()
    except Damaged as exc:
        raise SideFileError(f"{path}: {exc}; the daemon repairs it at a start", "damaged") from exc


def _check_desired(path: Path) -> None:
    DesiredFile(path).look()


DATABASES: Final[dict[str, Callable[[Path], None]]] = {
    OUTBOX: _check_outbox,
    LEARNED: lambda path: check_file(path, VERSION),
    FEEDBACK: check_file,
}
"""SQLite files of a state folder, with what checks each of them."""

PAGES: Final[dict[str, Callable[[Path], None]]] = {DESIRED: _check_desired, RETAINED: check_record}
"""Its other files, each of which is replaced as a whole."""


@dataclass(frozen=True, slots=True)
class ConfigContent:
    """What a configuration file says about itself.

    Attributes:
        device: Name of the box; None where the file sets none.
        files: Files in its folder that it needs, itself first, as relative paths.
        elsewhere: Files that it names and that a backup cannot hold.
    """

    device: str | None
    files: tuple[str, ...]
    elsewhere: tuple[str, ...]


def config_content(path: Path, folder: Path | None = None) -> ConfigContent:
    """Read which files belong to a configuration; the rest of it may be wrong.

    Args:
        path: Configuration file.
        folder: Folder that it stands for; None: its own.

    Raises:
        ConfigError: The file cannot be read, or is not YAML.
    """
    values = read_document(path, {}).values
    folder = folder or path.absolute().parent
    files, elsewhere = [path.name, SECRETS], list[str]()
    for written in _named(values):
        name = _inside(folder, written)
        (elsewhere if name is None else files).append(written if name is None else name)
    device = _at(values, "device", "id")
    return ConfigContent(
        device if isinstance(device, str) else None,
        tuple(dict.fromkeys(files)),
        tuple(dict.fromkeys(elsewhere)),
    )


def credentials_in(folder: Path) -> list[str]:
    """Return the files of the folder ``credentials``, which systemd hands to the daemon."""
    found = folder / CREDENTIALS
    if not found.is_dir():
        return []
    return [f"{CREDENTIALS}/{path.name}" for path in sorted(found.iterdir()) if path.is_file()]


def _named(values: Any) -> Iterator[str]:
    for key in ("ca", "cert", "key"):
        if isinstance(written := _at(values, "mqtt", "tls", key), str):
            yield written
    keys = _at(values, "bundle_keys")
    for written in keys if isinstance(keys, list) else [keys]:
        if isinstance(written, str):
            yield written


def _at(values: Any, *keys: str) -> Any:
    for key in keys:
        values = values.get(key) if isinstance(values, dict) else None
    return values


def _inside(folder: Path, written: str) -> str | None:
    """Return a path relative to ``folder``; None where it is elsewhere, or has an odd name."""
    try:
        name = PurePosixPath(folder / written).relative_to(folder)
    except ValueError:
        return None
    plain = all(_PART.fullmatch(part) for part in name.parts)
    return str(name) if plain and 0 < len(name.parts) <= _MOST_PARTS else None
