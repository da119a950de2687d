"""Says whether the clock of this box is synchronised."""

from pathlib import Path

# systemd-timesyncd creates the directory when it runs, and the file after its first
# synchronisation. Other time services leave no such mark.
_TIMESYNC = Path("/run/systemd/timesync")


def clock_synced(timesync: Path = _TIMESYNC) -> bool | None:
    """Whether the clock was synchronised since boot; None without systemd-timesyncd."""
    if not timesync.is_dir():
        return None
    return (timesync / "synchronized").exists()
