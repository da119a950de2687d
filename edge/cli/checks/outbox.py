"""Checks that the daemon will get its outbox: nobody holds it, and its user may write it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge.cli.checks.result import CheckResult, failure
from edge.delivery.outbox_file import Damaged, open_file
from edge.errors import OutboxError
from edge.resources import OUTBOX
from edge.system.holder import holder, owner
from edge.system.trouble import SQLITE_ERRORS, trouble_of, words_of

_CHECK: Final = "outbox"


@dataclass(frozen=True, slots=True)
class OutboxFound:
    """What the outbox on this disk says.

    Attributes:
        result: Outcome of the check.
        exists: Whether a daemon has run here.
        held: Whether one runs now.
    """

    result: CheckResult
    exists: bool
    held: bool = False


def check_outbox(state_dir: Path) -> OutboxFound:
    """Open the outbox as the daemon does, if there is one, and close it again."""
    path = state_dir / OUTBOX
    try:
        if not path.exists():
            return OutboxFound(CheckResult(_CHECK, f"{path} (will be made)"), exists=False)
        open_file(path).close()
        return OutboxFound(_owners(path), exists=True)
    except Damaged as exc:
        advice = "at its start the daemon sets it aside and takes over what can be read"
        return OutboxFound(CheckResult(_CHECK, f"{path} is damaged: {exc}", (advice,)), exists=True)
    except OutboxError as exc:
        return OutboxFound(failure(_CHECK, exc), exists=True)
    except (OSError, *SQLITE_ERRORS) as exc:
        if trouble_of(exc) == "locked":
            found = f"{path} is in use by {holder(path)}: a daemon runs here"
            advice = "a second one on this state_dir would end with exit code 6"
            return OutboxFound(CheckResult(_CHECK, found, (advice,)), exists=True, held=True)
        return OutboxFound(failure(_CHECK, _no_access(path, exc)), exists=True)


def _owners(path: Path) -> CheckResult:
    """Say whose the files are: a start as root leaves files that the daemon's user cannot write."""
    folder = owner(path.parent)
    others = sorted(file.name for file in path.parent.iterdir() if owner(file) != folder)
    found = f"{path} is free and belongs to {owner(path)}"
    if not others:
        return CheckResult(_CHECK, found)
    advice = (
        f"give {', '.join(others)} to {folder}, whose the folder is, or run the daemon as"
        f" {owner(path)}"
    )
    return CheckResult(_CHECK, found, (advice,))


def _no_access(path: Path, exc: Exception) -> OutboxError:
    try:
        whose = f"it belongs to {owner(path)}"
    except OSError:
        whose = "its folder cannot be read"
    return OutboxError(
        f"outbox {path}: {words_of(exc)}; {whose}: run this as the user of the daemon, or give it "
        "the file"
    )
