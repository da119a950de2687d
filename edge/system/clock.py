"""Whether this box's clock can be believed, and in which time zone it is."""

import os
from datetime import UTC, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

# systemd-timesyncd makes the directory when it runs and the file when it has synchronised once;
# other time services leave no such mark.
_TIMESYNC = Path("/run/systemd/timesync")

_LOCALTIME = Path("/etc/localtime")


def clock_synced(timesync: Path = _TIMESYNC) -> bool | None:
    """Whether the clock was synchronised since boot; None where nobody can say."""
    if not timesync.is_dir():
        return None
    return (timesync / "synchronized").exists()


def zone_of(name: str | None, localtime: Path = _LOCALTIME) -> tzinfo:
    """The time zone called ``name``; without a name that of the box, with its rules.

    The box's is ``TZ``, as containers set it, else the system's, and UTC where there is neither.
    """
    try:
        if name := name or os.environ.get("TZ"):
            return ZoneInfo(name)
        with localtime.open("rb") as file:
            return ZoneInfo.from_file(file)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC
