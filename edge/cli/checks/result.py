"""Defines the outcome of one check, and the exit code of all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edge.errors import EdgeError
from edge.system.redact import redact


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The outcome of one check.

    Attributes:
        check: Name of what was checked.
        found: Result in words; after a failure also what to do.
        advice: Improvements that would help, one sentence each.
        exit_code: Exit code of the failure (``edge.errors``); 0 without a failure.
    """

    check: str
    found: str
    advice: tuple[str, ...] = ()
    exit_code: int = 0

    @property
    def verdict(self) -> Literal["ok", "warn", "FAIL"]:
        if self.exit_code:
            return "FAIL"
        return "warn" if self.advice else "ok"


def failure(check: str, error: EdgeError) -> CheckResult:
    """Return the result that ``error`` means for ``check``."""
    return CheckResult(check, redact(str(error)), exit_code=error.exit_code)


def exit_code(results: Sequence[CheckResult]) -> int:
    """Return the exit code of the failure that the daemon would meet first; 0 without failures."""
    return min((result.exit_code for result in results if result.exit_code), default=0)
