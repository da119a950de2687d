"""Defines ``edge-export list`` and ``build``: checkpoints become bundles."""

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from calibration.limits import MIN_FRAMES
from edge.errors import ConfigError
from edge.system.command_line import needing
from export.bundle.targets import TARGETS, Target
from export.checkpoints.catalog import CATALOG
from export.cli.signing import signer_of
from export.cli.tables import NO_WRAP, progress_bars, wide_console

if TYPE_CHECKING:
    from export.build import BuildRequest, Built

app = typer.Typer()
_SIZE = re.compile(r"(\d+)x(\d+)")

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@app.command("list")
def list_(*, as_json: Json = False) -> None:
    """List the checkpoints that are known by name.

    Example: `edge-export list`
    """
    if as_json:
        typer.echo(json.dumps([asdict(row) for row in CATALOG], default=list, ensure_ascii=False))
        return
    table = Table(box=None)
    for title in ("name", "family", "repository", "licence", "notes"):
        table.add_column(title)
    for row in CATALOG:
        table.add_row(row.name, row.family, row.hub, row.licence, row.notes)
    console = wide_console()
    whole = console.measure(table, options=console.options.update(width=NO_WRAP))
    if whole.maximum <= console.width:
        console.print(table)
        return
    for row in CATALOG:  # what must be typed stays whole, however narrow the terminal is
        console.print(row.name, row.hub, sep="  ", soft_wrap=True)
        about = f"{row.family}, {row.licence}: {row.notes}"
        console.print(Padding(Text(about, "dim"), (0, 0, 0, 4)))


@app.command()
def build(  # noqa: PLR0913, PLR0917 its options
    source: Annotated[
        str, typer.Argument(help="A name of `edge-export list`, OWNER/NAME, or a directory.")
    ],
    out: Annotated[Path, typer.Option(help="The bundle's directory.")],
    targets: Annotated[
        str, typer.Option(help="What the bundle is for: onnx, openvino, tensorrt.")
    ] = "onnx",
    calibration: Annotated[
        Path | None,
        typer.Option(help="Pictures and videos of your cameras. [default: a street, photographs]"),
    ] = None,
    frames: Annotated[
        int | None, typer.Option(min=MIN_FRAMES, help="How many of them to use.")
    ] = None,
    size: Annotated[
        str | None, typer.Option(metavar="HxW", help="Of a detector's pictures, 480x640.")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Commit of the hub repository.")] = None,
    random_weights: Annotated[
        int | None,
        typer.Option(metavar="SEED", help="The architecture without its weights: for speed only."),
    ] = None,
    key: Annotated[Path | None, typer.Option(help="Private key to sign the bundle with.")] = None,
    *,
    offline: Annotated[
        bool, typer.Option("--offline", help="Touch no network; use the cache only.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Build a bundle: export, quantize to INT8, prove each variant, pack.

    Examples: `edge-export build clip-vit-b-32 --out bundles/clip`,
    `edge-export build ./my-clip --out bundles/mine --targets onnx,tensorrt --calibration footage/`

    A variant that loses too much against the float original is left out and named. A build that
    was broken off goes on where it was.
    """
    with needing({"torch"}, "takes checkpoints apart", "models"):
        from export.build import BuildRequest, build  # noqa: PLC0415 torch takes seconds
    request = BuildRequest(
        source=source,
        out=out,
        targets=targets_of(targets),
        revision=revision,
        random_weights=random_weights,
        calibration=calibration,
        frames=frames,
        size=size_of(size),
        offline=offline,
    )
    sign = None if key is None else signer_of(key)  # a bad key is reported before the work
    with progress_bars() as progress:
        built = build(request, progress)
    if sign is not None:
        sign(built.bundle.path)
    _report(request, built, as_json=as_json)


def targets_of(text: str) -> tuple[Target, ...]:
    """Parse the value of ``--targets``.

    Raises:
        ConfigError: A target is unknown.
    """
    asked = [part.strip() for part in text.split(",")]
    found = tuple(target for target in TARGETS if target in asked)
    if strange := [target for target in asked if target not in TARGETS]:
        raise ConfigError(
            f"--targets: expected some of {', '.join(TARGETS)}, found {', '.join(strange)}"
        )
    return found


def size_of(text: str | None) -> tuple[int, int] | None:
    """Parse the value of ``--size``: height and width; None where it is not given.

    Raises:
        ConfigError: The text is not a size.
    """
    if text is None:
        return None
    if not (match := _SIZE.fullmatch(text)):
        raise ConfigError(f"--size: expected height x width such as 480x640, found {text!r}")
    return int(match[1]), int(match[2])


def _report(request: "BuildRequest", built: "Built", *, as_json: bool) -> None:
    bundle = built.bundle
    files = [file for file in bundle.manifest.files if file.is_graph]
    if as_json:
        facts = {
            "path": str(bundle.path),
            "hash": bundle.hash,
            "graphs": {file.file: file.size for file in files},
            "left_out": {name: list(reasons) for name, reasons in built.left_out.items()},
            "notes": built.notes,
            "accuracy": json.loads(bundle.read("accuracy"))["variants"],
        }
        typer.echo(json.dumps(facts, ensure_ascii=False))
        return
    size = sum(file.size for file in bundle.manifest.files) / 1e6
    typer.echo(f"{bundle.manifest.name} built: {bundle.path} ({size:.1f} MB)")
    rows = json.loads(bundle.read("accuracy"))["variants"]
    for file in files:
        row = rows.get(file.file, {})
        loss = (
            f", cosine to the float original {row['mean_cosine']:.4f} mean, "
            f"{row['min_cosine']:.4f} worst of {row['inputs']}"
            if "min_cosine" in row
            else ""
        )
        typer.echo(f"  {file.file}: {file.size / 1e6:.1f} MB{loss}")
    for name, reasons in built.left_out.items():
        typer.echo(f"  {name} left out: {'; '.join(reasons)}")
    for note in built.notes:
        typer.echo(f"  {note}")
    if request.random_weights is not None:
        typer.echo("  random weights: it computes, and means nothing")
