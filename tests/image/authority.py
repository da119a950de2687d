"""Makes certificates with openssl(1): for bundles, and for the broker on the host."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_EXTENSIONS = {
    "ca": "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n",
    "signing": "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
    "extendedKeyUsage=critical,codeSigning\n",
    "broker": "basicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\n"
    "subjectAltName=IP:10.0.2.2\n",
}


@dataclass(frozen=True)
class Signer:
    """A certificate in PEM and its key."""

    certificate: Path
    key: Path


def authority(folder: Path, name: str) -> Signer:
    """Make a root of its own."""
    signer = _request(folder, name)
    _sign(signer, ["-signkey", str(signer.key)], "ca", ["-days", "3650"])
    return signer


def issue(
    ca: Signer, folder: Path, name: str, kind: str, *, days: int = 3650, made_days_ago: int = 0
) -> Signer:
    """Make a certificate of an authority.

    Args:
        ca: The authority.
        folder: Where the files are put.
        name: Name of the files and of the subject.
        kind: ``signing`` for bundles, ``broker`` for the broker behind 10.0.2.2.
        days: How long it is valid.
        made_days_ago: When it was made.
    """
    signer = _request(folder, name)
    by = ["-CA", str(ca.certificate), "-CAkey", str(ca.key), "-CAcreateserial"]
    _sign(signer, by, kind, ["-days", str(days)], made_days_ago)
    return signer


def _request(folder: Path, name: str) -> Signer:
    folder.mkdir(parents=True, exist_ok=True)
    signer = Signer(folder / f"{name}.pem", folder / f"{name}.key")
    _openssl(
        "req", "-new", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
        "-keyout", signer.key, "-out", folder / f"{name}.csr", "-subj", f"/CN={name}",
    )  # fmt: skip
    return signer


def _sign(signer: Signer, by: list[str], kind: str, valid: list[str], days_ago: int = 0) -> None:
    extensions = signer.key.with_suffix(".ext")
    extensions.write_text(_EXTENSIONS[kind])
    before = ["faketime", f"{days_ago} days ago"] if days_ago else []
    _openssl(
        "x509", "-req", "-in", signer.key.with_suffix(".csr"), *by, *valid,
        "-extfile", extensions, "-out", signer.certificate, before=before,
    )  # fmt: skip


def _openssl(*arguments: str | Path, before: Sequence[str] = ()) -> None:
    subprocess.run([*before, "openssl", *map(str, arguments)], check=True, capture_output=True)
