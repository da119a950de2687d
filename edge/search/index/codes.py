"""Encodes vectors as 512 bits each and estimates dot products from these codes. Pure.

Ten million vectors of 512 bytes are 5 GB to read. Their codes are 0.6 GB, and precise enough to
choose the rows that are read. The mean of the segment is subtracted from each vector, because the
vectors of a fixed camera lie close to it. The rest is rotated, so that every bit carries
information, and only its signs and its length are kept. The signs of two vectors at an angle a
differ with probability a / pi (Charikar, "Similarity estimation techniques from rounding
algorithms", STOC 2002, section 3); centring and lengths are those of RaBitQ (Gao and Long, SIGMOD
2024, section 3.1). An estimate orders candidates and never decides.

Letters in shapes: D embedding, R rows of a segment, W words of 64 bits.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

BITS: Final = 512
WORDS: Final = BITS // 64
_ROUNDS: Final = 3


@dataclass(frozen=True, slots=True, eq=False)
class Codes:
    """Codes of the R vectors of one segment.

    Attributes:
        centre: float32 [D], mean of the vectors.
        lengths: float32 [R], length of each vector minus the mean.
        words: uint64 [W, R], signs of the rotated differences; the rows are the last axis, because
            NumPy is fast along it.
    """

    centre: NDArray[np.float32]
    lengths: NDArray[np.float32]
    words: NDArray[np.uint64]


@dataclass(frozen=True, slots=True, eq=False)
class CodedDirection:
    """Direction of the wanted vectors, with its own code.

    Attributes:
        direction: float32 [D], the other factor of the dot products.
        words: uint64 [W, 1], signs of the rotated direction.
    """

    direction: NDArray[np.float32]
    words: NDArray[np.uint64]


def encode(vectors: NDArray[np.float32]) -> Codes:
    """Encode the vectors [R, D] of one segment; at least one vector."""
    centre = vectors.mean(axis=0)
    rest = vectors - centre
    words = np.ascontiguousarray(_signs(rest @ _matrix(len(centre))).T)
    return Codes(centre, np.linalg.norm(rest, axis=1), words)


def ask(direction: NDArray[np.float32]) -> CodedDirection:
    """Encode the direction of the wanted vectors, float32 [D]."""
    return CodedDirection(direction, _signs(_rotated(direction[np.newaxis])).T)


class Guesser:
    """Estimator of dot products; it uses the same few arrays for one segment after the other."""

    def __init__(self) -> None:
        self._differing = np.empty(0, np.uint64)
        self._counts = np.empty(0, np.uint8)

    def __call__(self, codes: Codes, question: CodedDirection) -> NDArray[np.float32]:
        """Estimate the dot product of each row with the question's direction, float32 [R]."""
        size, shape = codes.words.size, codes.words.shape
        if self._counts.size < size:
            self._differing, self._counts = np.empty(size, np.uint64), np.empty(size, np.uint8)
        differing, counts = (
            self._differing[:size].reshape(shape),
            self._counts[:size].reshape(shape),
        )
        np.bitwise_xor(codes.words, question.words, out=differing)
        np.bitwise_count(differing, out=counts)
        # Three words differ in at most 192 bits: that fits into eight bits, which add faster.
        distance = (counts[0] + counts[1] + counts[2]).astype(np.uint16)
        distance += counts[3] + counts[4] + counts[5]
        distance += counts[6] + counts[7]
        length = np.float32(np.linalg.norm(question.direction))
        guess: NDArray[np.float32] = (_COSINES * length).take(distance)
        guess *= codes.lengths
        guess += codes.centre @ question.direction
        return guess


# Estimated cosine of two vectors by the number of signs in which they differ.
_COSINES: Final = np.cos(np.pi * np.arange(BITS + 1) / BITS).astype(np.float32)


def _rotated(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rotate N vectors [N, D] at random to BITS axes, up to a common factor: [N, BITS].

    Three times, signs are flipped at random and a Walsh-Hadamard transform mixes all axes. For this
    purpose the result is as good as any rotation, and a hundred times faster to make (Andoni et
    al., "Practical and optimal LSH for angular distance", NeurIPS 2015, section 4). The signs come
    from a hash: NumPy does not promise the same random numbers for ever, and codes stay on disk.
    """
    dim = vectors.shape[1]
    size = max(BITS, 1 << (dim - 1).bit_length())
    mixed = np.zeros((len(vectors), size), np.float32)
    mixed[:, :dim] = vectors
    digest = hashlib.shake_256(b"edge index rotation 1").digest(_ROUNDS * size // 8)
    flips = np.unpackbits(np.frombuffer(digest, np.uint8)).reshape(_ROUNDS, size)
    for flip in flips:
        mixed *= 1 - 2 * flip.astype(np.float32)
        mixed = _hadamard(mixed)
    return mixed[:, :BITS]


def _hadamard(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Apply the Walsh-Hadamard transform to each row of 2^n values; it keeps the row's length."""
    count, size = vectors.shape
    half = 1
    while half < size:
        pairs = vectors.reshape(count, -1, 2, half)
        vectors = np.stack(
            [pairs[:, :, 0] + pairs[:, :, 1], pairs[:, :, 0] - pairs[:, :, 1]], axis=2
        )
        half *= 2
    return vectors.reshape(count, size) / np.float32(np.sqrt(size))


@cache
def _matrix(dim: int) -> NDArray[np.float32]:
    """Return the rotation as a matrix [D, BITS]: for many vectors one product is faster."""
    return np.ascontiguousarray(_rotated(np.eye(dim, dtype=np.float32)))


def _signs(rotated: NDArray[np.float32]) -> NDArray[np.uint64]:
    """Return the signs as one bit for each axis, uint64 [N, W]."""
    return np.packbits(rotated > 0, axis=1).view(np.uint64)
