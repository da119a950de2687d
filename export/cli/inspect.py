"""Defines ``edge-export inspect`` and ``diff``: what a bundle is, and how two bundles differ."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edge.model.bundle.read import Bundle, open_bundle
from edge.model.bundle.signature import signature_in_words
from export.bundle.describe import Difference, Row, compare, facts, flat
from export.cli.tables import megabytes, plain_table, safe_text, wide_console

app = typer.Typer()

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]

_CLASSES = {
    "F": "one frame at a time",
    "C": "a clip of frames together",
    "P": "a frame and a sentence together",
}
# Keys of a row of accuracy.json that are not printed with the losses: the table of files has them,
# or only --json shows them.
_SHOWN_ELSEWHERE = {"role", "precision", "outputs", "checks"}
_NONE = "-"
_HASH_DIGITS = 12


@app.command()
def inspect(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle's directory.")],
    *,
    as_json: Json = False,
) -> None:
    """Show what a bundle is: model, graphs, sizes, gates, what each variant lost, who signed it.

    Example: `edge-export inspect /var/lib/edge/bundles/current`

    Only the manifest and accuracy.json are read: `edge-export verify` checks the rest.
    """
    opened = open_bundle(bundle)
    document = facts(opened)
    if as_json:
        typer.echo(json.dumps(document, ensure_ascii=False))
        return
    console = wide_console()
    console.print(_about(opened, document))
    console.print(_files(document["files"]))
    losses = Table.grid(padding=(0, 2, 0, 0))
    for file in document["files"]:
        if "accuracy" in file:
            losses.add_row(safe_text(file["file"]), safe_text(_numbers(file["accuracy"])))
    for name, row in document["left_out"].items():
        losses.add_row(safe_text(f"{name} left out"), safe_text(_numbers(row)))
    if losses.rows:
        console.print("\nagainst the float original:")
        console.print(losses)


@app.command()
def diff(
    one: Annotated[Path, typer.Argument(metavar="A", help="A bundle's directory.")],
    other: Annotated[Path, typer.Argument(metavar="B", help="Another one's.")],
    *,
    as_json: Json = False,
) -> None:
    """Show how two bundles differ, and whether embeddings of one compare with the other's.

    Example: `edge-export diff bundles/old bundles/new`

    Exit code 0 if they are equal, 1 if anything differs, be it the signature.
    """
    a, b = open_bundle(one), open_bundle(other)
    found = compare(a, b)
    if as_json:
        typer.echo(json.dumps(_document(a, b, found), ensure_ascii=False))
    else:
        _tell(wide_console(), a, b, found)
    raise typer.Exit(0 if found.equal else 1)


def _about(bundle: Bundle, document: Mapping[str, Any]) -> Table:
    manifest, model = bundle.manifest, bundle.manifest.model
    image, text, decision = manifest.image, manifest.text, manifest.decision
    frames = _CLASSES[manifest.frame_class]
    rows = {
        "bundle": f"{manifest.name}, {document['schema']}, in {bundle.path}",
        "model": f"{model.id}, family {model.family}, revision {model.revision}",
        "licence": model.licence,
        "class": f"{manifest.frame_class}, {frames}"
        + (f", {manifest.frames} a clip" if manifest.frames > 1 else ""),
        "picture": f"{image.width}x{image.height}, {image.resize}, {image.interpolation}",
        "sentence": f"at most {text.context_length} tokens, templates: {len(text.templates)}, "
        f"background {', '.join(map(repr, text.background))}",
        "embedding": f"{document['embedding']['dim']} numbers"
        if "embedding" in document
        else "none: pictures and sentences share no space",
        "decision": f"threshold {decision.threshold:g}, hysteresis {decision.hysteresis:g}",
        "size": megabytes(sum(file.size for file in manifest.files)),
        "hash": bundle.hash,
        "signature": signature_in_words(bundle.signed),
    }
    table = Table.grid(padding=(0, 2, 0, 0))
    for name, value in rows.items():
        table.add_row(Text(name, "dim"), safe_text(value))
    for origin in model.origins:
        found = f"{origin.package} {origin.version} from {origin.registry}, {origin.licence}"
        table.add_row(Text("origin", "dim"), safe_text(found))
    return table


def _files(files: list[dict[str, Any]]) -> Table:
    table = plain_table("role", "precision", "format", "file", "size", "gate", "SHA-256")
    for file in files:
        cells = [str(file.get(key, _NONE)) for key in ("role", "precision", "format", "file")]
        gate = str(file.get("min_cosine", _NONE))
        cells += [megabytes(file["size"]), gate, file["sha256"][:_HASH_DIGITS]]
        table.add_row(*map(safe_text, cells))
    return table


def _tell(console: Console, a: Bundle, b: Bundle, found: Difference) -> None:
    if found.equal:
        console.print(safe_text(f"equal: both have the hash {a.hash}"))
    if found.facts:
        table = plain_table("fact", "A", "B")
        for key, values in found.facts.items():
            table.add_row(*map(safe_text, (key, *map(_shown, values))))
        console.print(table)
    if found.differing_files:
        table = plain_table("file", "", "A", "B")
        for label in found.differing_files:
            for index, cells in enumerate(_differences(*found.files[label])):
                table.add_row(*map(safe_text, (label if index == 0 else "", *cells)))
        console.print(table)
    same = len(found.files) - len(found.differing_files)
    console.print(safe_text(f"files: {same} the same, {len(found.differing_files)} differ"))
    console.print(safe_text(f"embeddings: {_embeddings(a, b, found)}"))


def _embeddings(a: Bundle, b: Bundle, found: Difference) -> str:
    if found.embeddings_compare:
        return "those of A and B compare: family, id and revision agree"
    if a.manifest.embedding is None or b.manifest.embedding is None:
        return "none to compare"
    return "those of A and B must not be compared: family, id or revision differ"


def _differences(one: Row | None, other: Row | None) -> list[tuple[str, str, str]]:
    """Return a row for each value of a file that differs; one row for a file on one side only."""
    if one is None or other is None:
        here = [_NONE if row is None else f"only here: {row['file']}" for row in (one, other)]
        return [("", here[0], here[1])]
    a, b = dict(flat(dict(one))), dict(flat(dict(other)))
    keys = [key for key in a | b if a.get(key) != b.get(key)]
    return [(key, _shown(a.get(key), key), _shown(b.get(key), key)) for key in keys]


def _shown(value: Any, key: str = "") -> str:
    if value is None:
        return _NONE
    if key == "sha256":
        return str(value)[:_HASH_DIGITS]
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "; ".join(value)
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return f"{len(value)} entries"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _document(a: Bundle, b: Bundle, found: Difference) -> dict[str, Any]:
    return {
        "equal": found.equal,
        "embeddings_compare": found.embeddings_compare,
        "a": {"path": str(a.path), "hash": a.hash},
        "b": {"path": str(b.path), "hash": b.hash},
        "facts": {key: {"a": one, "b": other} for key, (one, other) in found.facts.items()},
        "files": {
            key: {"same": one == other, "a": one, "b": other}
            for key, (one, other) in found.files.items()
        },
    }


def _numbers(row: Row) -> str:
    """Return the numbers of a row of accuracy.json that matter to people, as one line."""
    numbers = {}
    for key, value in row.items():
        match value:
            case _ if key in _SHOWN_ELSEWHERE:
                continue
            case {"count": count, "total": total}:
                numbers[key] = f"{_shown(count)} of {_shown(total)}"
            case _:
                numbers |= {inner: _shown(found) for inner, found in flat(value, key)}
    return ", ".join(f"{key} {value}" for key, value in numbers.items())
