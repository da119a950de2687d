"""Runs the project's own commands as a user types them, each in its own process."""

import subprocess
import sys


def command(*words: object, module: str = "export.cli.main") -> list[str]:
    """Command that runs ``main`` of a module with these arguments, installed or not."""
    return [sys.executable, "-c", f"from {module} import main; main()", *map(str, words)]


def run(*words: object, module: str = "export.cli.main", captured: bool = False) -> bytes:
    """Run a command to its end, and return its standard output if it is captured.

    Args:
        words: Arguments of the command.
        module: Module that has the command's ``main``.
        captured: Whether standard output is returned instead of shown.

    Raises:
        SystemExit: The command failed, with its exit code; it has printed the reason.
    """
    piped = subprocess.PIPE if captured else None
    done = subprocess.run(command(*words, module=module), check=False, stdout=piped)  # noqa: S603
    if done.returncode:
        raise SystemExit(done.returncode)
    return done.stdout or b""
