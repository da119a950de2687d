"""Checks that not every user of this machine can read what the cameras saw."""

import contextlib
import stat
from pathlib import Path
from typing import Final

from edge.cli.checks.result import CheckResult
from edge.system.holder import owner

_OTHERS: Final = stat.S_IROTH | stat.S_IXOTH
_NAMED: Final = 4


def check_privacy(state_dir: Path) -> CheckResult | None:
    """Check the modes of ``state_dir`` and of what is in it; None where it cannot be looked at.

    The daemon makes files of mode 600 and folders of mode 700. Others come from an earlier version,
    or from somebody's copy.
    """
    try:
        entries, mode = sorted(state_dir.iterdir()), state_dir.stat().st_mode
    except OSError:
        return None  # it is not there yet, or the check of the disk says why
    fine = CheckResult("privacy", f"closed to other users: {state_dir}, of {owner(state_dir)}")
    if not mode & stat.S_IXOTH:  # what is below cannot be reached
        return fine
    exposed = list[str]()
    for path in entries:
        with contextlib.suppress(FileNotFoundError):  # a file that the daemon has just replaced
            if path.lstat().st_mode & _OTHERS and not path.is_symlink():
                exposed.append(path.name)
    if not exposed:
        return fine
    named = ", ".join(exposed[:_NAMED])
    more = f" and {len(exposed) - _NAMED} more" if len(exposed) > _NAMED else ""
    advice = f"chmod 700 {state_dir}: every user of this machine can read {named}{more} there"
    return CheckResult("privacy", f"{state_dir} holds what the cameras saw", (advice,))
