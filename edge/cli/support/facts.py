"""Reads what support needs to know of a box, as texts with names. Nothing is masked here."""

import contextlib
import json
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from edge import __version__
from edge.system.clock import clock_synced
from edge.system.trouble import SQLITE_ERRORS

UNIT: Final = "edge.service"
_TAIL_BYTES: Final = 2 << 20
_LINES: Final = "5000"
_PATIENCE_S: Final = 30.0
_CHECK_S: Final = 180.0
_UNIT_FACTS: Final = (
    "ActiveState,SubState,Result,NRestarts,ExecMainStatus,ExecMainStartTimestamp,MemoryCurrent,"
    "CPUUsageNSec,WatchdogUSec,FragmentPath,DropInPaths"
)
_COMMANDS: Final = {
    "journal.txt": [
        "journalctl",
        "--unit",
        UNIT,
        "--lines",
        _LINES,
        "--no-pager",
        "-o",
        "short-iso",
    ],
    "systemd.txt": ["systemctl", "show", UNIT, "--property", _UNIT_FACTS, "--no-pager"],
    "dmesg.txt": ["dmesg", "--ctime", "--level", "emerg,alert,crit,err,warn"],
    "disks.txt": ["df", "-h", "-x", "tmpfs"],
    "updates.txt": ["rauc", "status", "--detailed"],
}
_FILES: Final = {
    "os-release.txt": "/etc/os-release",
    "cpu.txt": "/proc/cpuinfo",
    "memory.txt": "/proc/meminfo",
    "load.txt": "/proc/loadavg",
    "device-model.txt": "/proc/device-tree/model",
}


def facts(
    config: Path, state: Path | None, logs: list[Path], *, check: bool
) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each file.

    Args:
        config: Configuration file of the daemon.
        state: Its state folder; None where the configuration does not say.
        logs: Further files whose ends go in.
        check: Whether to run `edge check`, which asks cameras and broker.
    """
    yield "about.json", _json(_about())
    yield "config.yaml", _text(config)
    if state is not None:
        yield "state.json", _json(list(_state(state)))
    for name, words in _COMMANDS.items():
        yield name, run(words)
    for name, path in _FILES.items():
        yield name, _text(Path(path))
    for number, log in enumerate(logs):
        yield f"log-{number}-{log.name}", _text(log)
    if check:
        words = [sys.executable, "-m", "edge", "check", str(config), "--json"]
        yield "check.json", run(words, _CHECK_S)


def run(words: list[str], patience_s: float = _PATIENCE_S) -> str:
    """Return what a command of the system says; in words why it says nothing."""
    try:
        done = subprocess.run(  # noqa: S603  our own words
            words, capture_output=True, check=False, timeout=patience_s, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError:
        return f"{words[0]} is not installed here\n"
    except subprocess.TimeoutExpired:
        return f"{words[0]} has not answered for {patience_s:g} s\n"
    except OSError as exc:
        return f"{words[0]}: {exc.strerror}\n"
    text = done.stdout[-_TAIL_BYTES:].decode("utf-8", "replace")
    errors = done.stderr[-_TAIL_BYTES:].decode("utf-8", "replace")
    return text if done.returncode == 0 and text else f"{text}{errors}exit code {done.returncode}\n"


def _about() -> dict[str, Any]:
    return {
        "edge": __version__,
        "python": sys.version,
        "machine": platform.machine(),
        "kernel": platform.release(),
        "cores": os.cpu_count(),
        "made_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "clock_synced": clock_synced(),
        "packages": dict(sorted((dist.name, dist.version) for dist in distributions())),
    }


def _state(folder: Path) -> Iterator[dict[str, Any]]:
    """Describe the files of the state folder, and what waits in the outbox if nobody holds it."""
    try:
        paths = sorted(folder.iterdir())
        free = shutil.disk_usage(folder).free
    except OSError as exc:
        yield {"folder": str(folder), "error": str(exc)}
        return
    yield {"folder": str(folder), "free_bytes": free}
    for path in paths:
        with contextlib.suppress(OSError):
            stat = path.stat()
            found: dict[str, Any] = {
                "name": path.name,
                "bytes": stat.st_size,
                "changed": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(stat.st_mtime)),
                "user": stat.st_uid,
                "mode": oct(stat.st_mode & 0o7777),
            }
            if path.suffix == ".db":
                found |= _database(path)
            yield found


def _database(path: Path) -> dict[str, Any]:
    try:
        address = f"file:{quote(str(path))}?mode=ro"
        with contextlib.closing(sqlite3.connect(address, timeout=0.5, uri=True)) as db:
            (version,) = db.execute("PRAGMA user_version").fetchone()
            tables = [row[0] for row in db.execute("SELECT name FROM sqlite_schema")]
            rows = db.execute("SELECT * FROM totals").fetchall() if "totals" in tables else []
    except SQLITE_ERRORS as exc:
        return {"error": str(exc)}
    return {"version": version, "tables": tables, "totals": rows}


def _text(path: Path) -> str:
    """Return the end of a file; in words why it cannot be read."""
    try:
        with path.open("rb") as file:
            if path.stat().st_size > _TAIL_BYTES:
                file.seek(-_TAIL_BYTES, os.SEEK_END)
            return file.read(_TAIL_BYTES).decode("utf-8", "replace").replace("\0", "")
    except OSError as exc:
        return f"{path}: {exc.strerror}\n"


def _json(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n"
