"""Defines ``edge-export compare``: what a smaller model saves, and what it loses."""

import json
from pathlib import Path
from typing import Annotated, Final

import typer

from calibration.footage import files_of
from edge.cli.plot import check_plot
from edge.errors import ConfigError
from edge.model.bundle.read import open_bundle
from edge.system.command_line import needing
from export.cli.extra import EXTRA
from export.cli.tables import progress_bars, wide_console
from export.compare.settings import Settings
from export.default_bundle.frames import FPS, default_files
from export.packages.fetch import default_cache
from export.proof.sentences import SENTENCES

app = typer.Typer()

_DEFAULTS: Final = Settings()


@app.command("compare")
def compare_(  # noqa: PLR0913 its options
    one: Annotated[Path, typer.Argument(metavar="A", help="The reference, such as a teacher.")],
    other: Annotated[Path, typer.Argument(metavar="B", help="What is to take its place.")],
    footage: Annotated[
        Path | None,
        typer.Option(help="A picture, a video or a folder. [default: a street, photographs]"),
    ] = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option(help="A sentence to choose among; repeat it. [default: two dozen]"),
    ] = None,
    pictures: Annotated[
        int, typer.Option(min=2, help="The most pictures that are compared.")
    ] = _DEFAULTS.pictures,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each variant.")] = _DEFAULTS.rounds,
    seconds: Annotated[float, typer.Option(min=0.001, help="Of each turn.")] = _DEFAULTS.turn_s,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw time against agreement.")
    ] = None,
    *,
    offline: Annotated[
        bool, typer.Option("--offline", help="Touch no network; use the cache only.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Show what bundle B saves against A and how often it says the same, as of a student.

    Examples: `edge-export compare bundles/teacher bundles/student`,
    `edge-export compare bundles/teacher bundles/student --footage yard/ --prompt "a person"
    --prompt "an empty yard" --plot cost.png`

    Work, size and time on one thread, in turns; then cosines, the first choice among the
    sentences, retrieval and alerts on the same pictures. Both bundles are of class F.
    """
    with needing(EXTRA, "builds models", "export"):
        from export.cli.compare_text import show  # noqa: PLC0415  an extra, which --help does without
        from export.compare.plot import plot_compared  # noqa: PLC0415
        from export.compare.two_bundles import compare, costs_only, document  # noqa: PLC0415
    a, b = open_bundle(one), open_bundle(other)
    reason = costs_only(a, b)
    if plot is not None:
        if reason is not None:
            raise ConfigError(f"--plot: expected embeddings that compare, found {reason}")
        check_plot(plot)
    settings = Settings(
        sentences=tuple(prompt or SENTENCES),
        rounds=rounds,
        turn_s=seconds,
        fps=_DEFAULTS.fps if footage else FPS,
        pictures=pictures,
    )
    with progress_bars() as progress:
        files: list[Path] = []
        if footage is not None:
            files = files_of(footage)
        elif reason is None:
            files = default_files(default_cache(), offline=offline, progress=progress)
        compared = compare(a, b, files, settings, progress)
    if plot is not None and compared.agreed is not None:
        plot_compared(plot, compared, compared.agreed)
    if as_json:
        typer.echo(json.dumps(document(compared), ensure_ascii=False))
    else:
        show(wide_console(), compared)
