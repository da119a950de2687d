"""Checks that no other user of this machine can read what the cameras saw."""

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
        entries = sorted(state_dir.iterdir())
        modes = {path: path.stat().st_mode for path in (state_dir, *entries)}
    except OSError:
        return None  # it is not there yet, or the check of the disk says why
    if not modes[state_dir] & stat.S_IXOTH:  # what is below cannot be reached
        return CheckResult("privacy", f"only {owner(state_dir)} reads {state_dir}")
    exposed = [path.name for path in entries if modes[path] & _OTHERS]
    if not exposed:
        return CheckResult("privacy", f"only {owner(state_dir)} reads the files in {state_dir}")
    named = ", ".join(exposed[:_NAMED])
    more = f" and {len(exposed) - _NAMED} more" if len(exposed) > _NAMED else ""
    advice = f"chmod 700 {state_dir}: every user of this machine can read {named}{more} there"
    return CheckResult("privacy", f"{state_dir} holds what the cameras saw", (advice,))
