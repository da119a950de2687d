"""Says whether the clock of this box is synchronised, and gives the time zone of the box."""

import os
from datetime import UTC, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

# systemd-timesyncd creates the directory when it runs, and the file after its first
# synchronisation. Other time services leave no such mark.
_TIMESYNC = Path("/run/systemd/timesync")

_LOCALTIME = Path("/etc/localtime")


def clock_synced(timesync: Path = _TIMESYNC) -> bool | None:
    """Whether the clock was synchronised since boot; None without systemd-timesyncd."""
    if not timesync.is_dir():
        return None
    return (timesync / "synchronized").exists()


def zone_of(name: str | None, localtime: Path = _LOCALTIME) -> tzinfo:
    """Return the time zone ``name``; without a name, the time zone of the box.

    The zone of the box is ``TZ`` (as containers set it), else the system's zone, else UTC. It
    includes the rules for summer time.
    """
    try:
        if name := name or os.environ.get("TZ"):
            return ZoneInfo(name)
        with localtime.open("rb") as file:
            return ZoneInfo.from_file(file)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC
