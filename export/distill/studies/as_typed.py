"""The project's own commands as a user would type them, each a process of its own."""

import subprocess
import sys


def command(*words: object, module: str = "export.cli.main") -> list[str]:
    """What starts a command line of ours with these words, whether it is installed or not."""
    return [sys.executable, "-c", f"from {module} import main; main()", *map(str, words)]


def run(*words: object, module: str = "export.cli.main", told: bool = False) -> bytes:
    """Run a command to its end; where it fails, this ends as it did, for it has said why.

    Args:
        words: Its arguments.
        module: Whose ``main``.
        told: Whether its standard output comes back, instead of being shown.
    """
    piped = subprocess.PIPE if told else None
    done = subprocess.run(command(*words, module=module), check=False, stdout=piped)  # noqa: S603
    if done.returncode:
        raise SystemExit(done.returncode)
    return done.stdout or b""
