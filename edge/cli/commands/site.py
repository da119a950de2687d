"""The command ``edge site``: what a box makes of the file that an installer edits."""

from pathlib import Path
from typing import Annotated

import typer

from edge.errors import ConfigError
from edge.site.files import QR_BYTES, box_files
from edge.system.atomic_file import write_atomically


def site(
    file: Annotated[Path, typer.Argument(help="The site file, edge-config.yaml.")],
    out: Annotated[
        Path | None, typer.Option(help="Empty or new folder to write the box's files to.")
    ] = None,
) -> None:
    """Check a site file, and with --out write the files that a flashed box makes of it.

    Example: `edge site edge-config.yaml`
    """
    files = box_files(file)
    size = file.stat().st_size
    qr = f", of the {QR_BYTES} that a QR code holds" if size <= QR_BYTES else ""
    typer.echo(f"{file}: no mistakes; {size} bytes{qr}")
    if out is None:
        return
    try:
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise ConfigError(f"expected an empty or new folder, found files in {out}")
        for name, content in files.items():
            write_atomically(out / name, content.content, mode=0o640 if content.secret else 0o644)
    except OSError as exc:
        raise ConfigError(f"cannot write to {out}: {exc.strerror}") from exc
    typer.echo(f"{out}: {len(files)} files")
