"""Verifies the signature of a bundle (``SIGNATURE``) against the keys that a device trusts.

``SIGNATURE`` is an Ed25519 signature over the bytes of ``manifest.json``, which holds the hash of
every file (docs/bundle-format.md). Only the library's own verification accepts a signature: a file
that is no signature, a key that is none, and a missing library are all errors.

The library (the extra ``signing``) is imported only to verify a signature.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final

from edge.errors import ConfigError, ModelError

MAX_SIGNATURE_BYTES: Final = 1024

# Prefix of the manifest in the signed bytes. A key may sign other data too: with the prefix, such a
# signature is not valid for a bundle, nor a bundle's signature for other data. The number lets a
# later format sign other bytes without a reader of this format accepting them.
_DOMAIN: Final = b"edge-bundle signature 1\n"
_FORMAT: Final = re.compile(
    rb"edge-bundle-signature/1\nkey ([0-9a-f]{16})\ned25519 ([A-Za-z0-9+/]{86}==)\n"
)
_MAX_KEY_BYTES: Final = 4096
_RAW_KEY: Final = re.compile(rb"\s*([A-Za-z0-9+/]{43}=)\s*")
_PEM: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----")
# Points of small order, without the sign of x. For such a key (all zeros is one) anybody can make
# signatures that pass.
_SMALL_ORDER: Final = frozenset(
    bytes.fromhex(point)
    for point in (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    )
)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """Public key of a signer of bundles.

    Attributes:
        raw: The 32 bytes of the key.
        path: File of the key.
    """

    raw: bytes
    path: Path

    @property
    def id(self) -> str:
        """Short name of the key: see ``key_id``."""
        return key_id(self.raw)

    def __str__(self) -> str:
        return f"{self.id} ({self.path})"


@dataclass(frozen=True, slots=True)
class Signed:
    """Signature of a bundle.

    Attributes:
        key_id: Id of the key, as written in the signature.
        key: Key that verified the signature; None where no key was given: the signature is then
            not verified and proves nothing.
    """

    key_id: str
    key: PublicKey | None = None


def key_id(raw: bytes) -> str:
    """Return a public key's short name: the first 16 hex digits of its 32 bytes' SHA-256."""
    return hashlib.sha256(raw).hexdigest()[:16]


def signed_bytes(manifest: bytes) -> bytes:
    """Return the bytes that are signed for a manifest."""
    return _DOMAIN + manifest


def format_signature(key: str, value: bytes) -> bytes:
    """Write the content of ``SIGNATURE``.

    Args:
        key: Id of the public key.
        value: The 64 bytes of the signature.
    """
    text = f"edge-bundle-signature/1\nkey {key}\ned25519 {base64.b64encode(value).decode()}\n"
    return text.encode()


def parse_signature(data: bytes, path: Path) -> tuple[str, bytes]:
    """Read the key id and the 64 bytes of the signature from ``SIGNATURE``.

    Args:
        data: Content of the file; of a longer file, its first ``MAX_SIGNATURE_BYTES + 1`` bytes.
        path: Path of the file, for messages.

    Raises:
        ModelError: The content differs from the format, even by one byte.
    """
    match = _FORMAT.fullmatch(data)
    value = base64.b64decode(match[2]) if match else b""
    # The last digit has unused bits, which must be zero: a signature has one spelling.
    if not match or base64.b64encode(value) != match[2]:
        found = f"{len(data)} bytes" if len(data) <= MAX_SIGNATURE_BYTES else "a large file"
        raise ModelError(
            f"{path}: expected the three lines of a signature, found {found} of something else; "
            "install the bundle again, or remove the file and sign the bundle"
        )
    return match[1].decode(), value


def check_signature(
    path: Path, manifest: bytes, signature: bytes | None, keys: Sequence[PublicKey]
) -> Signed | None:
    """Find the signer of a manifest; with ``keys``, one of these must be the signer.

    Args:
        path: Path of ``SIGNATURE``, for messages.
        manifest: All bytes of ``manifest.json``.
        signature: All bytes of ``SIGNATURE``; None where there is none.
        keys: Trusted keys; empty: every bundle is accepted, signed or not.

    Returns:
        The signature; None where there is none and no keys are given.

    Raises:
        ModelError: The file is no signature, or none of the given keys signed the manifest.
        ConfigError: The library is missing.
    """
    trusted = f"a signature by {'one of ' if len(keys) > 1 else ''}{', '.join(map(str, keys))}"
    if signature is None:
        if not keys:
            return None
        raise ModelError(
            f"{path}: expected {trusted}, found none; sign the bundle with `edge-export sign`, or "
            "install one that is"
        )
    by, value = parse_signature(signature, path)
    if not keys:
        return Signed(by)
    named = [key for key in keys if key.id == by]
    if not named:
        raise ModelError(
            f"{path}: expected {trusted}, found one by {by}; install a bundle of a signer that is "
            "trusted here, or add the public key to bundle_keys"
        )
    for key in named:
        if _library().verifies(key.raw, value, signed_bytes(manifest)):
            return Signed(by, key)
    raise ModelError(
        f"{path}: expected {trusted} of this manifest.json, found one that does not fit it: one of "
        "the two was changed, or comes from another bundle; install the bundle again"
    )


def signature_in_words(signed: Signed | None) -> str:
    """Describe the signature of a bundle for people."""
    if signed is None:
        return "not signed"
    if signed.key is None:
        return f"signature by {signed.key_id} not verified, as no key was given"
    return f"signed by {signed.key}"


def read_keys(paths: Sequence[Path]) -> tuple[PublicKey, ...]:
    """Read the files of public keys: PEM (SubjectPublicKeyInfo), or the base64 of the 32 bytes.

    Raises:
        ConfigError: A file cannot be read or is no Ed25519 public key, or the library is missing.
    """
    return tuple(PublicKey(_read_key(path), path) for path in paths)


def missing_library(exc: ImportError) -> ConfigError:
    """Return the error to raise where ``cryptography`` cannot be imported."""
    return ConfigError(
        f"signatures need the package cryptography, found: {exc}. Install it with: "
        "pip install 'camera-edge-runtime[signing]'"
    )


def _read_key(path: Path) -> bytes:
    library = _library()
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_KEY_BYTES + 1)
    except OSError as exc:
        raise ConfigError(
            f"{path}: expected the file of a public key, found: {exc.strerror}; name one that "
            "`edge-export keygen` wrote"
        ) from exc
    try:
        if problem := _no_key(data):
            raise ValueError(problem)  # noqa: TRY301  one message for all of them
        match = _RAW_KEY.fullmatch(data)
        raw: bytes = base64.b64decode(match[1]) if match else library.raw_public_key(data)
        if raw[:31] + bytes([raw[31] & 0x7F]) in _SMALL_ORDER:
            raise ValueError("a placeholder that anybody can sign for")  # noqa: TRY301
    except ValueError as exc:
        raise ConfigError(
            f"{path}: expected an Ed25519 public key, PEM or base64, found {exc}; name the .pub "
            "file that `edge-export keygen` wrote"
        ) from exc
    return raw


def _no_key(data: bytes) -> str | None:
    """Describe a file that cannot be a public key; None where it may be one."""
    labels = [label.decode() for label in _PEM.findall(data)]
    if len(data) > _MAX_KEY_BYTES:
        return "a large file"
    if any("PRIVATE" in label for label in labels):
        return "a private key, which must not leave the signer"
    if len(labels) > 1:
        return f"{len(labels)} of them in one file"
    if labels == ["PUBLIC KEY"] or (not labels and _RAW_KEY.fullmatch(data)):
        return None
    return f"a {labels[0].lower()}" if labels else "something else"


def _library() -> ModuleType:
    try:
        from edge.model.bundle import ed25519  # noqa: PLC0415  needs an extra
    except ImportError as exc:
        raise missing_library(exc) from exc
    return ed25519
