"""Checks that the daemon will be able to use its side files. Changes none of them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from edge.alerts.calibration_file import VERSION
from edge.cli.checks.result import CheckResult
from edge.control.announce.record import RETAINED, check_record
from edge.control.desired.file import DESIRED, DesiredFile
from edge.control.desired.state import Desired
from edge.control.learning.feedback import FEEDBACK
from edge.errors import SideFileError
from edge.resources import LEARNED
from edge.system.kept_file import check_file

_CHECKS: Final[dict[str, Callable[[Path], None]]] = {
    LEARNED: lambda path: check_file(path, VERSION),
    FEEDBACK: check_file,
    RETAINED: check_record,
}


def check_side_files(state_dir: Path) -> Iterator[CheckResult]:
    """Report each side file in trouble: alerts go on without it. Say what was set over MQTT."""
    for name, check in _CHECKS.items():
        try:
            check(state_dir / name)
        except SideFileError as exc:
            yield _in_trouble(name, exc)
    try:
        desired = DesiredFile(state_dir / DESIRED).look()
    except SideFileError as exc:
        yield _in_trouble(DESIRED, exc)
        return
    if desired != Desired():
        found = "rules, settings or a profile set over MQTT count before the configuration's"
        yield CheckResult(DESIRED, f"{found} (`edge prompts show`)")


def _in_trouble(name: str, error: SideFileError) -> CheckResult:
    return CheckResult(name, str(error), ("the daemon watches and alerts without this file",))
