"""Starts and ends every command line: common options, logging, errors as messages."""

import errno
import logging
import os
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
from edge.system.journal import JournalHandler, journal_is_stderr
from edge.system.log_lines import FORMATS, JsonLines, LogFormat
from edge.system.redact import RedactFilter, redact
from edge.system.visible import printable

_VERBOSE = ("--verbose", "-v")
# What a write says of a disk that takes no more, and the exit code of the disk.
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}
_DISK = 6


class Group(TyperGroup):
    """Group of commands; the tool and each of its commands take ``-v``."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command of this name with ``-v`` added; None where no command matches."""
        command = super().get_command(ctx, cmd_name)
        if command is None or any(set(_VERBOSE) & set(option.opts) for option in command.params):
            return command
        command.params.append(_verbose_option())
        return command


def _verbose_option() -> Any:
    """Make the option ``-v`` of a command, through typer like every other option."""

    def options(
        *, verbose: Annotated[bool, typer.Option(*_VERBOSE, help="Log details.")] = False
    ) -> None:
        """Declare the option. Nobody calls this function."""

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
    """Make a command line with ``--version``, and with ``-v`` before and after its subcommand.

    Args:
        name: Name of the console script, which ``--version`` prints.
        what: Sentence at the top of ``--help``.
        daemons: Subcommands that log at level INFO; all others log warnings only.
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


def set_up_logging(level: int, form: LogFormat | None = None) -> None:
    """Log to stderr with masked secrets: in colour on a terminal, as lines elsewhere.

    Where systemd has connected stderr with its journal, each record is an entry with fields.

    Args:
        level: Lowest level that is logged.
        form: Format of the lines, with their time; ``json`` also on a terminal. None: lines
            without time, for a command that ends soon.
    """
    handler: logging.Handler
    if sys.stderr.isatty() and form != "json":
        handler = RichHandler(console=Console(stderr=True), show_path=False, markup=False)
        handler.setFormatter(logging.Formatter("%(message)s"))
    elif journal_is_stderr():
        handler = JournalHandler()
        handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    else:
        handler = logging.StreamHandler()
        plain = logging.Formatter("%(levelname)s %(name)s: %(message)s")
        handler.setFormatter(plain if form is None else FORMATS[form]())
    handler.addFilter(RedactFilter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # Our own errors already say what FFmpeg's messages say.
    logging.getLogger("libav").setLevel(logging.CRITICAL)
    logging.getLogger("matplotlib").setLevel(logging.WARNING)


def run(name: str, app: Callable[[], Any]) -> None:
    """Run a command line. A mistake of the user ends in a message and an exit code, no traceback.

    Args:
        name: Prefix of the error messages.
        app: Function that parses the arguments and runs the command.
    """
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except EdgeError as exc:
        _say(name, str(exc))
        raise SystemExit(exc.exit_code) from None
    except OSError as exc:
        if exc.errno not in {*_NO_ROOM, errno.EPIPE}:
            raise
        # What is left in the buffer has nowhere to go, and the interpreter would try again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if exc.errno == errno.EPIPE:  # the reader has what it wanted
            raise SystemExit(1) from None
        where = "the output" if exc.filename is None else exc.filename
        _say(name, f"cannot write {where}: {exc.strerror}; make room, or write elsewhere")
        raise SystemExit(_DISK) from None


def _say(name: str, message: str) -> None:
    """Print an error, or log it where the log is JSON. It may quote a broker or a file."""
    if any(isinstance(handler.formatter, JsonLines) for handler in logging.getLogger().handlers):
        logging.getLogger(name).critical("%s", message)
        return
    text = "\n".join(printable(line) for line in redact(message).splitlines())
    Console(stderr=True).print(
        f"{name}: {text}", style="red", markup=False, highlight=False, soft_wrap=True
    )


def refuse_written(context: typer.Context, names: Collection[str], why: str) -> None:
    """Refuse options that have no effect here, so that none is ignored in silence.

    Args:
        context: Context of the command.
        names: Names of the parameters that have no effect.
        why: The reason, and what to write instead.

    Raises:
        ConfigError: The user wrote one of them on the command line.
    """
    written = [
        option.opts[0]
        for option in context.command.params
        if option.name in names and _is_written(context, option.name)
    ]
    if written:
        raise ConfigError(f"{', '.join(written)}: {why}")


def _is_written(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def require(packages: Collection[str], what: str, extra: str) -> None:
    """Check, before long work starts, that the packages of an extra are installed.

    Args:
        packages: Top-level names of the packages.
        what: Purpose of the packages, for the message.
        extra: Name of the extra that installs them.

    Raises:
        ConfigError: A package is not installed.
    """
    with needing(packages, what, extra):
        for package in packages:
            if find_spec(package) is None:
                raise ModuleNotFoundError(name=package)


@contextmanager
def needing(packages: Collection[str], what: str, extra: str) -> Iterator[None]:
    """Turn a failed import of an extra's package inside the block into a ``ConfigError``.

    Args:
        packages: Top-level names of the packages.
        what: Purpose of the packages, for the message.
        extra: Name of the extra that installs them.

    Raises:
        ConfigError: A package is not installed. Any other missing module is a defect of this
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
