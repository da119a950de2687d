"""``edge-calibrate``: errors become a message and an exit code.

Exit codes: 0 done, 1 the answer is no (``prompt`` found nothing that helps), 2 a wrong setting,
argument or label, 3 model or engine, 4 a clip.

The commands are imported only inside, because their packages are an extra that a device lacks.
"""

from importlib import import_module
from typing import Any

from rich.console import Console

from edge.errors import ConfigError, EdgeError
from edge.redact import redact

# What the commands import at their top, beyond the device's own packages.
_EXTRA = {"jinja2", "scipy"}


def main() -> None:
    """Run ``edge-calibrate``; a user's mistake is a message and an exit code, no stack trace."""
    try:
        _commands()()
    except EdgeError as exc:
        Console(stderr=True).print(
            f"edge-calibrate: {redact(str(exc))}",
            style="red",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        raise SystemExit(exc.exit_code) from None


def _commands() -> Any:
    try:
        return import_module("calibration.commands").app
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.partition(".")[0] not in _EXTRA:
            raise  # a slip of ours
        raise ConfigError(
            f"expected the package {exc.name}, found none; install what evaluates with: "
            "pip install 'camera-edge-runtime[calibrate]'"
        ) from exc


if __name__ == "__main__":
    main()
