"""Keeps the files of finished steps on disk, each step under its key (``export.cache.key``).

The value of a step is a few files in ``<folder>/<key>/``. One rename makes the folder appear, so
half a step never counts and interrupting is harmless. Files are checked by SHA-256 when they are
read; a damaged entry is made again. The cache is a convenience: where it cannot be read or written,
the step is computed and the build continues.
"""

import contextlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import platformdirs

from export.cache.key import digest

_log = logging.getLogger(__name__)

_INDEX: Final = "index.json"
_PARTIAL: Final = ".partial-"
# Longer than any step takes: an older partial folder was left by a killed process.
_STALE_S: Final = 24 * 3600


@dataclass(frozen=True, slots=True)
class StepCache:
    """Place of the kept steps.

    Attributes:
        folder: Folder of the steps; made when missing.
        limit: Largest size of all steps in bytes; beyond it, the steps used longest ago are
            removed. The default has room for a few large models.
    """

    folder: Path
    limit: int = 20 * 10**9


def default_cache() -> StepCache:
    """Return the cache of this user."""
    return StepCache(Path(platformdirs.user_cache_dir("edge")) / "steps")


def cached(
    cache: StepCache, key: str, compute: Callable[[], Mapping[str, bytes]]
) -> dict[str, bytes]:
    """Return the files of a step by plain name; compute and keep them where they are not kept.

    An error of ``compute`` is passed on, and nothing is kept.
    """
    files = load(cache, key)
    if files is None:
        files = dict(compute())
        store(cache, key, files)
    return files


def load(cache: StepCache, key: str) -> dict[str, bytes] | None:
    """Return the files of a step by plain name; None where it is not kept or is damaged."""
    home = cache.folder / key
    try:
        index = json.loads((home / _INDEX).read_bytes())
        files = {name: _checked(home, name, sha256) for name, sha256 in index.items()}
        os.utime(home)  # used just now: the last to go
    except FileNotFoundError:
        if not home.exists():
            return None
        damage = "a file is missing"
    except (OSError, ValueError, AttributeError, TypeError, RecursionError) as exc:
        damage = str(exc)
    else:
        return files
    _log.warning("cached step %s is damaged (%s); it is made again", key[:12], damage)
    _remove(home)
    return None


def store(cache: StepCache, key: str, files: Mapping[str, bytes]) -> None:
    """Keep the files of a step; do not where they alone exceed the limit or the disk refuses."""
    size = sum(map(len, files.values()))
    if size > cache.limit:
        _log.warning("step %s is not kept: its %d bytes exceed the limit", key[:12], size)
        return
    try:
        cache.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=_PARTIAL, dir=cache.folder, ignore_cleanup_errors=True
        ) as partial:
            new = Path(partial) / key
            new.mkdir()
            for name, data in files.items():
                (new / name).write_bytes(data)
            index = {name: digest(data) for name, data in files.items()}
            (new / _INDEX).write_text(json.dumps(index))
            if not (cache.folder / key).exists():  # else another process was faster
                new.rename(cache.folder / key)
    except OSError as exc:
        _log.warning(
            "step %s is not kept (%s); the build goes on, but could not be resumed from here",
            key[:12],
            exc,
        )
    else:
        # An entry that cannot be removed now is removed after a later step.
        with contextlib.suppress(OSError):
            _tidy(cache, key)


def _checked(home: Path, name: str, sha256: str) -> bytes:
    """Read a file of an entry.

    Raises:
        OSError: The file cannot be read.
        ValueError: The name is not a plain name, or the file differs from the stored one.
    """
    if Path(name).name != name:
        raise ValueError(f"no plain name: {name!r}")
    data = (home / name).read_bytes()
    if digest(data) != sha256:
        raise ValueError(f"{name} is not what was stored")
    return data


def _tidy(cache: StepCache, newest: str) -> None:
    """Remove partial folders of killed processes, and the oldest steps beyond the limit."""
    entries = []
    for path in cache.folder.iterdir():
        used = path.stat().st_mtime
        if not path.is_dir():
            continue  # not ours
        if not path.name.startswith(_PARTIAL):
            entries.append((path.name != newest, -used, path))
        elif time.time() - used > _STALE_S:
            _remove(path)
    total = 0
    for _, _, path in sorted(entries):
        total += sum(file.stat().st_size for file in path.iterdir())
        if total > cache.limit:
            _remove(path)


def _remove(path: Path) -> None:
    """Rename an entry, so that other processes no longer see it, then remove its files."""
    gone = path.with_name(f"{_PARTIAL}{path.name}-{os.getpid()}")
    try:
        path.rename(gone)
    except OSError:
        return  # another process was faster, or the folder cannot be written
    shutil.rmtree(gone, ignore_errors=True)
