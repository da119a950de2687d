"""Checks that the outbox and the index have room on the disk."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from edge.cli.checks.result import CheckResult, failure
from edge.config.models import Config
from edge.errors import ConfigError, ModelError, OutboxError
from edge.model.bundle.read import open_bundle
from edge.search.index.store import INDEX
from edge.search.open import check_searchable
from edge.system.trouble import is_there


def check_disk(state_dir: Path, outbox_bytes: int) -> CheckResult:
    """Check that the outbox fits into ``state_dir``, which need not exist yet."""
    try:
        folder = next(path for path in (state_dir, *state_dir.parents) if is_there(path))
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as exc:
        problem = f"{state_dir}: expected a folder to write to, found: {exc.strerror}"
        return failure("disk", OutboxError(f"{problem}; set state_dir, or make it this user's own"))
    remarks = []
    if free < outbox_bytes:
        remarks.append(
            f"make room, or lower outbox.max_bytes: it may grow to {_megabytes(outbox_bytes)}"
        )
    made = "" if folder == state_dir else " (will be made)"
    return CheckResult(
        "disk", f"{state_dir}{made} writable, {_megabytes(free)} free", tuple(remarks)
    )


def check_index(config: Config) -> Iterator[CheckResult]:
    """Check that the index has room on the disk, and that the model can search it."""
    if not config.index.enabled:
        return
    root, limit = config.state_dir / INDEX, config.index.max_bytes
    try:
        check_searchable(open_bundle(config.bundle))
        held = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
        folder = next(path for path in (root, *root.parents) if path.exists())
        free = shutil.disk_usage(folder).free
    except ModelError:
        return  # reported already
    except ConfigError as exc:
        yield failure("index", exc)
        return
    except OSError as exc:
        yield CheckResult("index", f"{root}: {exc.strerror}", ("alerts go on, nothing is kept",))
        return
    found = f"{root} holds {_megabytes(held)}, may grow to {_megabytes(limit)}"
    short = held + free < limit
    yield CheckResult("index", found, ("make room, or lower index.max_bytes",) if short else ())


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
