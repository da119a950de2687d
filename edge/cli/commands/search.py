"""The command ``edge search``: finds the moments of the local index that match a sentence."""

import time
from collections.abc import Collection, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edge.config.fields import Seconds
from edge.config.load import load_config
from edge.config.models import EngineConfig
from edge.config.prompt import PromptConfig
from edge.errors import ConfigError
from edge.model.bundle.read import Bundle, open_bundle
from edge.model.bundle.signature import read_keys
from edge.model.engines import EngineSettings
from edge.model.graphs import open_text_engine
from edge.model.variants import variants
from edge.rules.bank import PromptBank
from edge.rules.compiler import compiler_of
from edge.rules.text import TextEncoder
from edge.search.index.store import INDEX, Reader
from edge.search.query import Page, Query
from edge.search.query import search as find
from edge.search.request import answer_of, cursor_after, known_camera, position
from edge.system import paths


def search(  # noqa: PLR0913  options of a command line
    text: Annotated[str, typer.Argument(help="A sentence about what was seen.")],
    since: Annotated[str, typer.Option(help="How far back: 24h, 7d, 90m.")] = "24h",
    camera: Annotated[str | None, typer.Option(help="Only this camera. [default: all]")] = None,
    limit: Annotated[int, typer.Option(help="Moments to show.", min=1, max=1000)] = 20,
    cursor: Annotated[
        str | None, typer.Option(help="The cursor of the page after which to go on.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Take index, model and background from this configuration.")
    ] = None,
    index: Annotated[Path | None, typer.Option(help="The index's folder.")] = None,
    bundle: Annotated[
        Path | None, typer.Option(help="The model's folder. [default: the user's own]")
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Find when something was seen, best first; the daemon may run meanwhile.

    Examples: `edge search "a person with a red jacket" --config edge.yaml --since 24h`,
    `edge search "a white van" --index /var/lib/edge/index --camera gate --json`

    The score is the margin that alerts are decided by; green from the model's threshold on.
    """
    folder, model, engine, background, cameras = _sources(config, index, bundle)
    folder /= model.hash
    if not folder.is_dir():
        raise ConfigError(
            f"{folder.parent}: expected an index of the model {model.manifest.name} "
            f"({model.hash[:12]}), found none: set index.enabled, and let the daemon run with it"
        )
    bank = _compile(model, engine, text, background)
    offset, until = position(cursor, time.time())
    query = Query(until - _seconds(since), until, camera, limit, offset)
    reader = Reader(folder, bank.rows.shape[1])
    known_camera(camera, {*reader.cameras(), *cameras})
    page = find(reader, bank, query)
    for note in bank.notes:
        typer.echo(f"note: {note}", err=True)
    if as_json:
        typer.echo(answer_of(query, page, str).to_json().decode())
        return
    console = Console(highlight=False)
    console.print(f"{page.samples} samples looked through in {page.took_s:.2f} s", markup=False)
    if not page.hits:
        of = "any camera" if camera is None else camera
        console.print(f"nothing of {of} in the last {since} is like {text!r}", markup=False)
        return
    console.print(_table(page, model.manifest.decision.threshold, folder))
    if any(hit.picture for hit in page.hits):
        console.print(f"pictures in {folder}", markup=False, soft_wrap=True)
    if page.more:
        console.print(f"more: --cursor {cursor_after(query, page)}", markup=False)


def _sources(
    config: Path | None, index: Path | None, bundle: Path | None
) -> tuple[Path, Bundle, EngineConfig, Sequence[str] | None, Collection[str]]:
    """Return the index folder, the bundle, its engine settings, the background, the cameras.

    A background of None leaves the bundle's own in force.
    """
    if config is None:
        if index is None:
            raise ConfigError("expected --config or --index, found neither: where is the index?")
        return index, open_bundle(bundle or paths.default_bundle()), EngineConfig(), None, ()
    settings = load_config(config)
    model = open_bundle(bundle or settings.bundle, read_keys(settings.bundle_keys))
    folder = index or settings.state_dir / INDEX
    return folder, model, settings.engine, settings.background, settings.cameras


def _seconds(duration: str) -> float:
    try:
        return TypeAdapter(Seconds).validate_python(duration)
    except ValidationError:
        raise ConfigError(f"--since: expected a duration such as 24h, found {duration!r}") from None


def _compile(
    model: Bundle, engine: EngineConfig, text: str, background: Sequence[str] | None
) -> PromptBank:
    """Compile the sentence; only the text graph is opened, because no picture is scored."""
    try:
        prompts = {"search": PromptConfig(text=(text,))}
    except ValidationError:
        raise ConfigError("expected a sentence, found none; describe what was seen") from None
    kind = variants(model, engine)[0].kind
    with open_text_engine(
        model, kind, EngineSettings(engine.device, engine.threads)
    ) as text_engine:
        return compiler_of(model, TextEncoder.of(model, text_engine))(prompts, background)


def _table(page: Page, threshold: float, folder: Path) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("from", "to", "camera"):
        table.add_column(name)
    table.add_column("score", justify="right")
    table.add_column("picture", overflow="fold")
    for hit in page.hits:
        start = datetime.fromtimestamp(hit.moment.start).astimezone()
        end = datetime.fromtimestamp(hit.moment.end).astimezone()
        score = Text(
            f"{hit.moment.score:+.3f}", "bold green" if hit.moment.score >= threshold else ""
        )
        picture = "" if hit.picture is None else str(hit.picture.relative_to(folder))
        table.add_row(
            f"{start:%Y-%m-%d %H:%M:%S}", f"{end:%H:%M:%S}", Text(hit.camera), score, picture
        )
    return table
