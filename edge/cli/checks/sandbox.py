"""Checks what keeps hostile video from doing harm on this box."""

from typing import Final

from edge.cli.checks.result import CheckResult
from edge.system.sandbox.confine import Barrier
from edge.system.sandbox.experiment import ACTS, Experiment, try_sandbox

_CHECK: Final = "sandbox"


def check_sandbox() -> CheckResult:
    """Put a process into the sandbox of the cameras, and say what it could do there."""
    return described(try_sandbox())


def described(experiment: Experiment | None) -> CheckResult:
    """Return what an experiment means.

    Only what a process could do is worth a word of advice: the barriers overlap, and an older
    Landlock leaves what the filter of system calls closes.
    """
    if experiment is None:
        advice = "report this: a camera's process would not start either"
        return CheckResult(_CHECK, "no process for it can be started", (advice,))
    words = ", ".join(_words(barrier) for barrier in experiment.barriers)
    refused = [act for act in ACTS if act not in experiment.possible]
    found = words + (f"; a camera's process cannot {_listed(refused)}" if refused else "")
    if not experiment.possible:
        return CheckResult(_CHECK, found)
    advice = (
        f"whoever takes over a camera's process could {_listed(experiment.possible)}: use a kernel"
        " with Landlock and seccomp, and permit both to the service"
    )
    return CheckResult(_CHECK, found, (advice,))


def _words(barrier: Barrier) -> str:
    details = "; ".join(filter(None, (barrier.found, barrier.lacking)))
    return f"{barrier.name} ({details})"


def _listed(acts: list[str] | tuple[str, ...]) -> str:
    return ", ".join(acts)
