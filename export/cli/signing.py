"""Defines ``edge-export keygen``, ``sign`` and ``verify``: who made a bundle, and is it whole."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer
from rich.console import Console

from edge.errors import ConfigError
from edge.model.bundle.read import Bundle, open_bundle
from edge.model.bundle.signature import missing_library, read_keys, signature_in_words

app = typer.Typer()
_err = Console(stderr=True)

BundleFolder = Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle's directory.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@app.command()
def keygen(
    key: Annotated[
        Path, typer.Argument(metavar="KEY", help="The private key to be; KEY.pub goes beside it.")
    ],
    *,
    as_json: Json = False,
) -> None:
    """Make a key pair to sign bundles with; nothing is overwritten.

    Example: `edge-export keygen site.key`

    Keep KEY where bundles are signed, and copy KEY.pub to the devices (`bundle_keys`). With a
    passphrase in the variable EDGE_SIGNING_PASSPHRASE the private key is encrypted.
    """
    signing = _signing()
    public = signing.generate(key, _passphrase(signing))
    if as_json:
        facts = {"id": public.id, "private": str(key), "public": str(public.path)}
        typer.echo(json.dumps(facts))
        return
    typer.echo(f"key {public.id}: {key}, to be kept secret; {public.path}, for the devices")


@app.command()
def sign(
    bundle: BundleFolder,
    key: Annotated[Path, typer.Option(help="Private key, made by `keygen`.")],
    *,
    as_json: Json = False,
) -> None:
    """Sign a bundle after every file of it was verified; an earlier signature is replaced.

    Example: `edge-export sign bundles/gate --key site.key`

    The passphrase, if any, comes from the variable EDGE_SIGNING_PASSPHRASE.
    """
    signer = signer_of(key)
    with _err.status(f"verifying {bundle}"):
        signed = signer(bundle)
    if as_json:
        by = signed.signed.key_id if signed.signed else None
        facts = {"path": str(signed.path), "hash": signed.hash, "signed": by}
        typer.echo(json.dumps(facts))
        return
    typer.echo(f"{signed.path}: {signature_in_words(signed.signed)}, hash {signed.hash[:12]}")


@app.command()
def verify(
    bundle: BundleFolder,
    key: Annotated[
        Path | None,
        typer.Option(help="Public key that must have signed it. [default: any or none]"),
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Check every file against the manifest, every graph to be self-contained, and the signature.

    Example: `edge-export verify bundles/gate --key site.key.pub`

    Exit code 3 if anything is not as it should be.
    """
    opened = open_bundle(bundle, read_keys([key] if key else []))
    with _err.status(f"verifying {bundle}"):
        opened.verify()
    manifest, by = opened.manifest, opened.signed
    size = sum(file.size for file in manifest.files)
    if as_json:
        facts = {
            "path": str(opened.path),
            "name": manifest.name,
            "hash": opened.hash,
            "files": len(manifest.files),
            "bytes": size,
            "signed": None if by is None else by.key_id,
            "verified": by is not None and by.key is not None,
        }
        typer.echo(json.dumps(facts))
        return
    typer.echo(
        f"{opened.path}: {manifest.name}, {len(manifest.files)} files ({size / 1e6:.1f} MB) as "
        f"the manifest says, hash {opened.hash[:12]}, {signature_in_words(by)}"
    )


def signer_of(key: Path) -> Callable[[Path], Bundle]:
    """Return a function that signs bundles with the private key in the file ``key``, read now.

    Raises:
        ConfigError: The file holds no private key, the passphrase is wrong, or the library is
            missing.
    """
    signing = _signing()
    private = signing.read_private_key(key, _passphrase(signing))
    return lambda bundle: signing.sign(bundle, private, key)


def _signing() -> ModuleType:
    """Import ``export.bundle.signing``, whose library is an extra of its own."""
    try:
        from export.bundle import signing  # noqa: PLC0415
    except ImportError as exc:
        if not (exc.name or "").startswith("cryptography"):
            raise  # a defect of this program
        raise missing_library(exc) from exc
    return signing


def _passphrase(signing: ModuleType) -> bytes | None:
    text = os.environ.get(signing.PASSPHRASE_VARIABLE)
    if text == "":
        raise ConfigError(
            f"expected a passphrase in {signing.PASSPHRASE_VARIABLE}, found an empty one; unset "
            "the variable to go without"
        )
    return None if text is None else text.encode()
