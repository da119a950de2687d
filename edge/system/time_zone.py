"""Finds the time zone of schedules: a name, or what the box itself is set to.

What somebody wrote and nobody understands is an error: a silent UTC would move every schedule.
"""

import contextlib
import io
import os
import re
import struct
from datetime import UTC, datetime, tzinfo
from difflib import get_close_matches
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from edge.errors import ConfigError

_LOCALTIME: Final = Path("/etc/localtime")
# Files of the database that say of no place what time it is there, or count leap seconds.
_NO_ZONES: Final = {"Factory", "posixrules"}
_LEAP: Final = "right/"
# POSIX's form, "std offset [dst [offset] [,rules]]": KST-9, <+09>-9, CET-1CEST,M3.5.0,M10.5.0/3.
_ABBREVIATION: Final = r"(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]{3,}>)"
_OFFSET: Final = r"[+-]?(?:2[0-4]|[01]?[0-9])(?::[0-5][0-9]){0,2}"
_POSIX: Final = re.compile(
    rf"{_ABBREVIATION}{_OFFSET}(?P<summer>{_ABBREVIATION}(?:{_OFFSET})?(?P<rules>,.+)?)?", re.ASCII
)


def named_zone(name: str) -> ZoneInfo:
    """Return the time zone of this name in the IANA database.

    Raises:
        ValueError: There is none; the message suggests one.
    """
    if name not in _NO_ZONES and not name.startswith(_LEAP):
        with contextlib.suppress(ZoneInfoNotFoundError, ValueError, OSError):
            return ZoneInfo(name)
    raise ValueError(f"expected a time zone such as Europe/Berlin{_hint(name)}")


def zone_of(name: str | None, localtime: Path = _LOCALTIME) -> tzinfo:
    """Return the time zone ``name``; without a name, the time zone of the box.

    The zone of the box is ``TZ`` (as containers set it), else the system's zone, else UTC. It
    includes the rules for summer time.

    Raises:
        ConfigError: The variable or the system's zone means no time zone.
    """
    if name is not None:
        return named_zone(name)
    if variable := os.environ.get("TZ"):
        try:
            return _zone_of_variable(variable.removeprefix(":"))
        except ValueError as exc:
            raise ConfigError(
                f"the environment variable TZ: {exc}, found {variable!r}; set it right, or set "
                "timezone in the configuration"
            ) from None
    return _zone_of_system(localtime)


def _zone_of_variable(text: str) -> ZoneInfo:
    if text.startswith("/"):
        return _zone_of_file(Path(text))
    form = _POSIX.fullmatch(text)
    try:
        return named_zone(text)  # first, because EST5EDT is a name too
    except ValueError:
        if form is None:
            raise
    if form["summer"] and not form["rules"]:
        raise ValueError(f"expected the rules of summer time, such as {text},M3.5.0,M10.5.0/3")
    try:
        zone = ZoneInfo.from_file(io.BytesIO(_compiled(text)), key=text)
        datetime.now(zone)  # an offset of more than a day is found only here
    except ValueError as exc:
        raise ValueError(f"expected a time zone such as KST-9 ({exc})") from None
    return zone


def _zone_of_system(localtime: Path) -> tzinfo:
    """Return the system's zone; UTC only where nobody has set one.

    A link to a missing file is common in small containers, but its name says which zone is meant.
    """
    try:
        if localtime.is_symlink() and not localtime.exists():
            return named_zone(str(localtime.readlink()).rpartition("zoneinfo/")[2])
        return _zone_of_file(localtime) if localtime.exists() else UTC
    except ValueError as exc:
        raise ConfigError(
            f"{localtime}: {exc}; set timezone in the configuration, or the environment variable TZ"
        ) from None


def _zone_of_file(path: Path) -> ZoneInfo:
    try:
        with path.open("rb") as file:
            return ZoneInfo.from_file(file, key=str(path))
    except (OSError, ValueError, struct.error) as exc:
        raise ValueError(f"expected a readable file of a time zone ({exc})") from None


def _compiled(rule: str) -> bytes:
    """Return a time zone file (RFC 8536) that says nothing but POSIX's form of a zone."""
    header = b"TZif2" + bytes(15) + struct.pack(">6l", 0, 0, 0, 0, 1, 4)
    body = struct.pack(">lbB", 0, 0, 0) + b"UTC\0"
    return 2 * (header + body) + f"\n{rule}\n".encode("ascii")


def _hint(name: str) -> str:
    bare = name.strip(" \t\"'").removeprefix(_LEAP)
    # Abbreviations are alike by chance: CEST and EST.
    known = [zone for zone in available_timezones() if "/" in zone or zone == "UTC"]
    close = get_close_matches(bare, known, n=1)
    if not close:
        return ""
    quoted = " without quotes or blanks" if bare == close[0] and bare in name[1:-1] else ""
    return f" (did you mean {close[0]}{quoted}?)"
