"""``edge``: the command line. Only here and in ``commands`` does anything print or exit.

Exit codes: 0 done, 1 the answer is no (``demo`` saw no alert), 2 a wrong setting or argument,
3 model or engine, 4 camera or file, 5 broker, 6 disk.
"""

import logging
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.logging import RichHandler

from edge import __version__
from edge.cli.commands import alerts, check, demo, detect, prompts, run, score, search
from edge.system import command_line
from edge.system.redact import RedactFilter

app = typer.Typer(
    help="Camera video in, zero-shot alerts over MQTT out.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
app.command("run")(run.run)
app.command("check")(check.check)
app.command("score")(score.score)
app.command("detect")(detect.detect)
app.command("search")(search.search)
app.command("alerts")(alerts.alerts)
app.add_typer(prompts.prompts, name="prompts")
app.command("demo")(demo.demo)


def _version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(f"edge {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    *,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log details.")] = False,
    _: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Camera video in, zero-shot alerts over MQTT out."""
    # Tools print their result; only the daemon has something to tell on the way.
    usual = logging.INFO if context.invoked_subcommand == "run" else logging.WARNING
    set_up_logging(logging.DEBUG if verbose else usual)


def set_up_logging(level: int) -> None:
    """Log to stderr, for people on a terminal, a line each elsewhere; secrets masked."""
    handler: logging.Handler
    if sys.stderr.isatty():
        handler = RichHandler(console=Console(stderr=True), show_path=False, markup=False)
        handler.setFormatter(logging.Formatter("%(message)s"))
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    handler.addFilter(RedactFilter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # FFmpeg's own chatter says nothing that our errors do not say better.
    logging.getLogger("libav").setLevel(logging.CRITICAL)
    logging.getLogger("matplotlib").setLevel(logging.WARNING)


def main() -> None:
    """Run ``edge``; a user's mistake is a message and an exit code, no stack trace."""
    command_line.run("edge", app)
