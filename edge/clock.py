"""Whether this box's clock can be believed."""

from pathlib import Path

# systemd-timesyncd makes the directory when it runs and the file when it has synchronised once;
# other time services leave no such mark.
_TIMESYNC = Path("/run/systemd/timesync")


def clock_synced(timesync: Path = _TIMESYNC) -> bool | None:
    """Whether the clock was synchronised since boot; None where nobody can say."""
    if not timesync.is_dir():
        return None
    return (timesync / "synchronized").exists()
