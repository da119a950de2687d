"""Reads and verifies Ed25519 keys with the package ``cryptography``.

Only ``signature`` imports this module, and only to verify a signature, because the package is an
extra.
"""

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key


def raw_public_key(pem: bytes) -> bytes:
    """Read the 32 bytes of a public key in PEM.

    Raises:
        ValueError: The data hold no key, or a key of another kind; the message says which.
    """
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise ValueError("PEM that holds no key") from exc
    if not isinstance(key, Ed25519PublicKey):
        kind = type(key).__name__.strip("_").removesuffix("PublicKey")
        raise ValueError(f"one of another kind, {kind}")  # noqa: TRY004  of the file, not of an argument
    return key.public_bytes_raw()


def verifies(raw: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the owner of a public key signed ``message`` (RFC 8032).

    Args:
        raw: The 32 bytes of the key.
        signature: The 64 bytes of the signature.
        message: Signed bytes.
    """
    try:
        Ed25519PublicKey.from_public_bytes(raw).verify(signature, message)
    except InvalidSignature:
        return False
    return True
