"""How each command line begins and ends: a user's mistake is a message and an exit code."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from importlib import import_module  # noqa: TID251  the commands of one tool
from typing import Any

from rich.console import Console

from edge.errors import ConfigError, EdgeError
from edge.system.redact import redact


def run(name: str, app: Callable[[], Any]) -> None:
    """Run a command line; no stack trace for what its user can mend.

    Args:
        name: Before its messages.
        app: Reads the arguments, and does what they say.
    """
    try:
        app()
    except EdgeError as exc:
        Console(stderr=True).print(
            f"{name}: {redact(str(exc))}", style="red", markup=False, highlight=False,
            soft_wrap=True,
        )  # fmt: skip
        raise SystemExit(exc.exit_code) from None


def app_of(module: str, packages: Collection[str], what: str, extra: str) -> Callable[[], Any]:
    """The ``app`` of a module whose packages a device lacks; imported when it is run.

    Args:
        module: Holds the ``app``.
        packages: That it imports beyond the device's own.
        what: They do, for the message where one is not there (``ConfigError``).
        extra: That installs them.
    """

    def app() -> Any:
        with needing(packages, what, extra):
            imported = import_module(module)
        return imported.app()

    return app


@contextmanager
def needing(packages: Collection[str], what: str, extra: str) -> Iterator[None]:
    """What is imported here wants packages of an extra.

    Args:
        packages: Their top-level names.
        what: They do, for the message.
        extra: That installs them.

    Raises:
        ConfigError: One of them is not there; what else is missing is a slip of ours.
    """
    try:
        yield
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.partition(".")[0] not in packages:
            raise
        raise ConfigError(
            f"expected the package {exc.name}, found none; install what {what} with: "
            f"pip install 'camera-edge-runtime[{extra}]'"
        ) from exc
