"""The command ``edge demo``: shows the whole way from a camera to a subscriber."""

import json
import signal
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from edge.cli.commands.picture_options import AspectOption, RotateOption, geometry_of
from edge.cli.demo.scene import CLIP_PROMPTS, OTHER_PROMPTS, URL_VARIABLE
from edge.cli.demo.show import Wish, show
from edge.cli.demo.summary import facts, failure, tell
from edge.config.urls import passwords
from edge.errors import ConfigError, EdgeError
from edge.system import paths
from edge.system.redact import register_secret

# Length of one pass of the built-in clip, plus the time that its last alert needs to end.
_CLIP_S = 11.0
_OTHER_S = 30.0


def demo(  # noqa: PLR0913  options of a command line
    video: Annotated[
        Path | None, typer.Option(help="A recording to play. [default: the street clip]")
    ] = None,
    url: Annotated[
        str | None, typer.Option(envvar=URL_VARIABLE, help="A camera to watch instead.")
    ] = None,
    prompt: Annotated[
        list[str] | None, typer.Option(help="A sentence to alert on. Repeatable.")
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option(help="The model's folder. [default: the user's own]")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for what is written.")] = Path("demo"),
    seconds: Annotated[
        float | None,
        typer.Option(
            help=f"How long to watch. [default: {_CLIP_S:g}; with --video or --url {_OTHER_S:g}]",
            min=1,
            max=3600,
        ),
    ] = None,
    aspect: AspectOption = None,
    rotate: RotateOption = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Only a summary, as JSON.")] = False,
) -> None:
    """Show alerts arriving: a camera, an MQTT broker, the daemon and a subscriber on this machine.

    Examples: `edge demo`, `edge demo --video gate.mp4 --prompt "a person at a gate"`.

    Exit code 1 if no alert arrived. A camera's URL with a password is better given in the
    variable EDGE_DEMO_URL.
    """
    if video and url:
        raise ConfigError("expected --video or --url, found both")
    for password in passwords(url or ""):
        register_secret(password)
    own = bool(video or url)
    wish = Wish(
        url=url,
        video=video or _clip(needed=not own),
        sentences=prompt or (OTHER_PROMPTS if own else CLIP_PROMPTS),
        bundle=bundle or paths.default_bundle(),
        seconds=seconds or (_OTHER_S if own else _CLIP_S),
        out=out,
        shown=_shown(aspect, rotate),
    )
    # SIGINT too, because a shell without job control starts background processes that ignore it.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    console = Console(quiet=as_json, highlight=False, soft_wrap=True)
    outcome = show(wish, console)
    if as_json:
        typer.echo(json.dumps(facts(wish, outcome), ensure_ascii=False))
    if reason := failure(outcome):
        raise EdgeError(reason)
    tell(console, wish, outcome)


def _shown(aspect: str | None, rotate: int | None) -> dict[str, object]:
    """Return the camera's settings for these options, once they are checked."""
    geometry_of(aspect, rotate)
    said = {"aspect": aspect, "rotate": rotate}
    return {name: value for name, value in said.items() if value is not None}


def _clip(*, needed: bool) -> Path:
    clip = paths.default_clip()
    if needed and not clip.is_file():
        raise ConfigError(
            f"{clip}: expected the street clip, found none. Fetch it with `edge-export footage`, "
            "or name your own with --video or --url"
        )
    return clip
