"""Makes the keys of whoever signs updates: a root, which boxes trust, and a release certificate."""

import os
from pathlib import Path
from typing import Final

from deploy.image.tools import run
from edge.errors import ConfigError

KEYRING: Final = "keyring.pem"
RELEASE_CERT: Final = "release.pem"
RELEASE_KEY: Final = "release.key"
_ROOT_KEY: Final = "root.key"
_ROOT_DAYS: Final = 20 * 365
_EC: Final = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-sha256")


def make_keys(folder: Path, name: str, days: int) -> None:
    """Make a root certificate and a release certificate that may sign code and nothing else.

    ``keyring.pem`` is the root's certificate, for images. ``release.key`` signs bundles.
    ``root.key`` signs the next release certificate, and belongs offline.

    Args:
        folder: New or empty folder; only its owner may read the keys.
        name: Name of the one who signs, without ``/`` and ``=``.
        days: Days until the release certificate expires, at least 1.

    Raises:
        ConfigError: The folder has files, or the name cannot stand in a certificate.
    """
    if not name.strip() or set(name) & set("/=+\\,\n"):
        raise ConfigError(f"expected a name without / = + , and line breaks, found {name!r}")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ConfigError(f"expected a new or empty folder, so that no key is lost: {folder}")
    except OSError as exc:
        raise ConfigError(f"cannot write to {folder}: {exc.strerror}") from exc
    mask = os.umask(0o077)
    try:
        run(
            "openssl", "req", "-x509", *_EC, "-days", str(_ROOT_DAYS), "-subj", f"/CN={name} root",
            "-addext", "basicConstraints=critical,CA:TRUE,pathlen:0",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign",
            "-keyout", folder / _ROOT_KEY, "-out", folder / KEYRING,
        )  # fmt: skip
        issue(folder, name, days)
    finally:
        os.umask(mask)


def issue(folder: Path, name: str, days: int, purpose: str = "codeSigning") -> None:
    """Make the release certificate anew, signed by the root of a folder of ``make_keys``.

    Args:
        folder: The folder.
        name: Name of the one who signs.
        days: Days until it expires.
        purpose: What it may be used for (extendedKeyUsage); boxes take ``codeSigning`` only.
    """
    run(
        "openssl", "req", "-x509", *_EC, "-days", str(days), "-subj", f"/CN={name} release",
        "-CA", folder / KEYRING, "-CAkey", folder / _ROOT_KEY,
        "-addext", "basicConstraints=critical,CA:FALSE",
        "-addext", "keyUsage=critical,digitalSignature",
        "-addext", f"extendedKeyUsage=critical,{purpose}",
        "-keyout", folder / RELEASE_KEY, "-out", folder / RELEASE_CERT,
    )  # fmt: skip
