"""Makes keys, and writes the file ``SIGNATURE`` of a bundle (docs/bundle-format.md).

A bundle is verified in full before it is signed. Afterwards the device's own reader verifies the
signature. The package ``cryptography`` is needed, which the extra ``signing`` installs.
"""

import hashlib
import os
import re
import tempfile
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from edge.errors import ConfigError, ModelError
from edge.model.bundle.manifest import MANIFEST, SIGNATURE
from edge.model.bundle.read import Bundle, open_bundle
from edge.model.bundle.signature import PublicKey, format_signature, key_id, signed_bytes

PASSPHRASE_VARIABLE = "EDGE_SIGNING_PASSPHRASE"  # noqa: S105  a name, no passphrase

_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----")
_MAX_KEY_BYTES = 16 * 1024


def generate(path: Path, passphrase: bytes | None = None) -> PublicKey:
    """Make a key pair: the private key at ``path``, readable by its owner only, and ``path``.pub.

    Args:
        path: File of the private key; it must not exist yet, and its folder must.
        passphrase: Passphrase that encrypts the private key; None writes it in plain.

    Returns:
        The public key.

    Raises:
        ConfigError: One of the two files exists already, or cannot be written.
    """
    key = Ed25519PrivateKey.generate()
    encryption: KeySerializationEncryption = NoEncryption()
    if passphrase is not None:
        encryption = BestAvailableEncryption(passphrase)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    beside = path.with_name(f"{path.name}.pub")
    _write_new(beside, public, 0o644)
    try:
        _write_new(path, private, 0o600)
    except ConfigError:
        beside.unlink()
        raise
    return PublicKey(key.public_key().public_bytes_raw(), beside)


def read_private_key(path: Path, passphrase: bytes | None = None) -> Ed25519PrivateKey:
    """Read a private key in PEM (PKCS 8).

    Raises:
        ConfigError: The file cannot be read or is of another kind, or the passphrase is wrong.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_KEY_BYTES)
    except OSError as exc:
        raise ConfigError(
            f"{path}: expected the file of a private key, found: {exc.strerror}; make one with "
            "`edge-export keygen`"
        ) from exc
    label = next((label.decode() for label in _PEM.findall(data)), "something else")
    if label not in {"PRIVATE KEY", "ENCRYPTED PRIVATE KEY"}:
        raise ConfigError(
            f"{path}: expected a private key in PEM (PKCS 8), found {label.lower()}; name the file "
            "that `edge-export keygen` wrote, without .pub"
        )
    encrypted = label.startswith("ENCRYPTED")
    if encrypted and passphrase is None:
        raise ConfigError(
            f"{path}: expected its passphrase in the variable {PASSPHRASE_VARIABLE}, found none"
        )
    try:
        key = load_pem_private_key(data, passphrase if encrypted else None)
    except (ValueError, UnsupportedAlgorithm) as exc:
        wrong = f"or another passphrase in {PASSPHRASE_VARIABLE} " if encrypted else ""
        raise ConfigError(f"{path}: expected a private key {wrong}, found: {exc}") from exc
    if not isinstance(key, Ed25519PrivateKey):
        kind = type(key).__name__.strip("_").removesuffix("PrivateKey")
        raise ConfigError(
            f"{path}: expected an Ed25519 key, found {kind}; make one with `edge-export keygen`"
        )
    return key


def sign(path: Path, key: Ed25519PrivateKey, name: Path) -> Bundle:
    """Sign the bundle at ``path``; an existing signature is replaced.

    Args:
        path: Directory of the bundle.
        key: Private key of the signer.
        name: File of the key, for messages.

    Returns:
        The bundle with its signature verified.

    Raises:
        ModelError: A file differs from the manifest, or the signature cannot be written.
    """
    bundle = open_bundle(path)
    bundle.verify()
    manifest = (bundle.path / MANIFEST).read_bytes()
    if hashlib.sha256(manifest).hexdigest() != bundle.hash:
        raise ModelError(f"{bundle.path}: {MANIFEST} changed while it was signed; sign it again")
    public = PublicKey(key.public_key().public_bytes_raw(), name)
    content = format_signature(key_id(public.raw), key.sign(signed_bytes(manifest)))
    try:
        _replace(bundle.path, content)
    except OSError as exc:
        raise ModelError(
            f"{bundle.path / SIGNATURE}: expected to write it, found: {exc.strerror}; nothing was "
            "changed"
        ) from exc
    return open_bundle(path, [public])


def _replace(bundle: Path, content: bytes) -> None:
    """Write ``SIGNATURE`` whole or not at all.

    Raises:
        OSError: The disk refused.
    """
    # The file is made beside the bundle: a device that reads the bundle now would refuse one more
    # file in it.
    descriptor, name = tempfile.mkstemp(prefix=f".{bundle.name}-", dir=bundle.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            # mkstemp lets only the owner read, and the daemon is another user.
            os.fchmod(file.fileno(), (bundle / MANIFEST).stat().st_mode & 0o777)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(bundle / SIGNATURE)
    except BaseException:
        Path(name).unlink()
        raise
    directory = os.open(bundle, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _write_new(path: Path, data: bytes, mode: int) -> None:
    try:
        # O_EXCL: an existing file is never overwritten, and a link is never followed.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError as exc:
        raise ConfigError(
            f"{path}: expected no such file yet, found one; a key is never overwritten, choose "
            "another name"
        ) from exc
    except OSError as exc:
        raise ConfigError(
            f"{path}: expected to write a key there, found: {exc.strerror}; choose another place"
        ) from exc
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as exc:
        path.unlink()
        raise ConfigError(
            f"{path}: expected to write a key there, found: {exc.strerror}; make room"
        ) from exc
