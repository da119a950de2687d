"""Checks a payload against its dm-verity tree, as the kernel of a box does block by block. Pure.

The tree is that of dm-verity, format 1 without a superblock: SHA-256 of salt and block, the root's
level first.
"""

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import BinaryIO, Final

BLOCK: Final = 4096
_FAN: Final = BLOCK // sha256().digest_size


def tree(blocks: Iterable[bytes], salt: bytes) -> tuple[bytes, bytes]:
    """Return the root hash of a payload, and its tree as it is stored.

    Args:
        blocks: Blocks of the payload, each of 4096 bytes; at least one.
        salt: What is hashed before each block.
    """
    stored = b""
    digests = [sha256(salt + block).digest() for block in blocks]
    while len(digests) > 1:
        level = [_packed(digests[at : at + _FAN]) for at in range(0, len(digests), _FAN)]
        stored = b"".join(level) + stored
        digests = [sha256(salt + block).digest() for block in level]
    return digests[0], stored


def damage(file: BinaryIO, size: int, tree_size: int, root: bytes, salt: bytes) -> str | None:
    """Return how a payload differs from what was signed; None where it does not.

    Args:
        file: The payload with its tree behind it, read from where it stands.
        size: Bytes of the payload.
        tree_size: Bytes of the tree.
        root: The signed root hash.
        salt: The signed salt.
    """
    if size <= 0 or size % BLOCK:
        return f"expected whole blocks of {BLOCK} bytes, found {size} bytes"
    try:
        found, made = tree(_blocks(file, size), salt)
    except EOFError:
        return "the file ends too early"
    if found != root:
        return "the payload is not the one that was signed"
    return None if file.read(tree_size) == made else "the hash tree is not that of the payload"


def _blocks(file: BinaryIO, size: int) -> Iterator[bytes]:
    for _ in range(size // BLOCK):
        block = file.read(BLOCK)
        if len(block) < BLOCK:
            raise EOFError
        yield block


def _packed(digests: Sequence[bytes]) -> bytes:
    return b"".join(digests).ljust(BLOCK, b"\0")
