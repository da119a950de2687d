"""What ``edge check`` says of the sandbox of the cameras."""

import pytest

from edge.cli.checks.sandbox import check_sandbox, described
from edge.system.sandbox.confine import Barrier, known_machine
from edge.system.sandbox.experiment import ACTS, Experiment
from edge.system.sandbox.landlock import version

HOLDS = (
    Barrier("limits", "268 MB more memory, 64 files"),
    Barrier("no new privileges", "yes"),
    Barrier("Landlock", "version 7"),
    Barrier("system calls", "165 closed"),
)


@pytest.mark.skipif(known_machine() is None, reason="no filter for this processor")
def test_on_this_kernel_it_is_tried_and_holds() -> None:
    result = check_sandbox()
    assert result.verdict == "ok"
    assert f"Landlock (version {version()}" in result.found
    assert result.found.endswith(f"; a camera's process cannot {', '.join(ACTS)}")


def test_an_older_landlock_is_said_and_is_no_trouble_where_the_filter_holds() -> None:
    old = Barrier("Landlock", "version 2", "not closed: TCP ports")
    result = described(Experiment((*HOLDS[:2], old, HOLDS[3]), ()))
    assert result.verdict == "ok"
    assert "Landlock (version 2; not closed: TCP ports)" in result.found


def test_what_is_possible_is_said_with_what_to_do() -> None:
    none = Barrier("Landlock", lacking="this kernel has it not, or not switched on")
    result = described(Experiment((*HOLDS[:2], none, HOLDS[3]), ("write a file",)))
    assert result.verdict == "warn"
    assert "Landlock (this kernel has it not, or not switched on)" in result.found
    assert "a camera's process cannot read a file" in result.found
    assert "could write a file: use a kernel with Landlock" in result.advice[0]
    assert result.exit_code == 0  # nothing to keep the daemon from starting


def test_where_nothing_can_be_tried_it_is_no_end_of_the_check() -> None:
    result = described(None)
    assert (result.verdict, result.exit_code) == ("warn", 0)
