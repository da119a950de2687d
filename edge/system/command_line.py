"""Begins and ends every command line: common options, logging, errors as messages."""

import logging
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.logging import RichHandler
from typer.core import TyperGroup

from edge import __version__
from edge.errors import ConfigError, EdgeError
from edge.system.redact import RedactFilter, redact

_VERBOSE = ("--verbose", "-v")


class Group(TyperGroup):
    """A group of commands, each of which takes ``-v`` too, as the tool itself does."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of this name, with ``-v`` among its options; None where there is none."""
        command = super().get_command(ctx, cmd_name)
        if command is None or any(set(_VERBOSE) & set(option.opts) for option in command.params):
            return command
        command.params.append(_verbose_option())
        return command


def _verbose_option() -> Any:
    """The option ``-v`` of a command, made by typer as every other option is."""

    def options(
        *, verbose: Annotated[bool, typer.Option(*_VERBOSE, help="Log details.")] = False
    ) -> None:
        """Declare the option; nothing runs this."""

    single = typer.Typer(add_completion=False)
    single.command()(options)
    (option,) = typer.main.get_command(single).params
    option.expose_value = False
    option.callback = _log_details
    return option


def _log_details(_context: Any, _option: Any, value: Any) -> Any:
    if value:
        set_up_logging(logging.DEBUG)
    return value


def tool(name: str, what: str, daemons: Collection[str] = ()) -> typer.Typer:
    """A command line with ``--version``, and with ``-v`` before and after its subcommand.

    Args:
        name: Name of the console script, which ``--version`` prints.
        what: Sentence at the top of ``--help``.
        daemons: Subcommands that log their normal work; the others log warnings only.
    """
    app = typer.Typer(
        cls=Group,
        help=what,
        no_args_is_help=True,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
    )

    def version(*, wanted: bool) -> None:
        if wanted:
            typer.echo(f"{name} {__version__}")
            raise typer.Exit

    @app.callback(help=what)
    def options(
        context: typer.Context,
        *,
        verbose: Annotated[bool, typer.Option(*_VERBOSE, help="Log details.")] = False,
        _: Annotated[
            bool,
            typer.Option("--version", callback=version, is_eager=True, help="Print the version."),
        ] = False,
    ) -> None:
        usual = logging.INFO if context.invoked_subcommand in daemons else logging.WARNING
        set_up_logging(logging.DEBUG if verbose else usual)

    return app


def set_up_logging(level: int) -> None:
    """Log to stderr with secrets masked: coloured on a terminal, one plain line each elsewhere."""
    handler: logging.Handler
    if sys.stderr.isatty():
        handler = RichHandler(console=Console(stderr=True), show_path=False, markup=False)
        handler.setFormatter(logging.Formatter("%(message)s"))
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    handler.addFilter(RedactFilter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # FFmpeg's own messages say nothing that our errors do not say better.
    logging.getLogger("libav").setLevel(logging.CRITICAL)
    logging.getLogger("matplotlib").setLevel(logging.WARNING)


def run(name: str, app: Callable[[], Any]) -> None:
    """Run a command line; a user's mistake becomes a message and an exit code, no stack trace.

    Args:
        name: Prefix of its messages.
        app: Function that reads the arguments and does what they say.
    """
    try:
        app()
    except EdgeError as exc:
        Console(stderr=True).print(
            f"{name}: {redact(str(exc))}", style="red", markup=False, highlight=False,
            soft_wrap=True,
        )  # fmt: skip
        raise SystemExit(exc.exit_code) from None


def require(packages: Collection[str], what: str, extra: str) -> None:
    """Check before long work that the packages of an extra are installed.

    Args:
        packages: Top-level names of the packages.
        what: What they do, for the message.
        extra: Extra that installs them.

    Raises:
        ConfigError: One of them is not installed.
    """
    with needing(packages, what, extra):
        for package in packages:
            if find_spec(package) is None:
                raise ModuleNotFoundError(name=package)


@contextmanager
def needing(packages: Collection[str], what: str, extra: str) -> Iterator[None]:
    """Report a package of an extra that is imported inside and is not installed.

    Args:
        packages: Top-level names of the packages.
        what: What they do, for the message.
        extra: Extra that installs them.

    Raises:
        ConfigError: One of them is not installed. Any other missing module is a defect of this
            program and stays ``ModuleNotFoundError``.
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
