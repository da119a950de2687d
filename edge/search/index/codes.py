"""Vectors as 512 bits each, from which dot products are guessed. Pure.

To look at ten million vectors of 512 bytes is to read 5 GB. Their bits are 0.6 GB, and good enough
to choose what is read. Each vector is taken relative to the mean of its segment, from which a
camera that stands still departs little, then rotated, so that every bit says something, and only
the signs and the length are kept. Two vectors an angle a apart differ in a sign with chance a / pi
(Charikar, "Similarity estimation techniques from rounding algorithms", STOC 2002, section 3);
centring and lengths are those of RaBitQ (Gao and Long, SIGMOD 2024, section 3.1). A guess orders
candidates and never decides.

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
    """The R vectors of one segment, in short.

    Attributes:
        centre: float32 [D], their mean.
        lengths: float32 [R], of what is left of each beside the mean.
        words: uint64 [W, R], signs of the rotated rest; words of all rows lie together, because
            NumPy is fast along them.
    """

    centre: NDArray[np.float32]
    lengths: NDArray[np.float32]
    words: NDArray[np.uint64]


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """What vectors are asked for, with its own code.

    Attributes:
        direction: float32 [D]; dot products with it are guessed.
        words: uint64 [W, 1].
    """

    direction: NDArray[np.float32]
    words: NDArray[np.uint64]


def encode(vectors: NDArray[np.float32]) -> Codes:
    """Code the vectors [R, D] of one segment; at least one."""
    centre = vectors.mean(axis=0)
    rest = vectors - centre
    words = np.ascontiguousarray(_signs(rest @ _matrix(len(centre))).T)
    return Codes(centre, np.linalg.norm(rest, axis=1), words)


def ask(direction: NDArray[np.float32]) -> Question:
    """Code what is asked for, float32 [D]."""
    return Question(direction, _signs(_rotated(direction[np.newaxis])).T)


class Guesser:
    """Guesses dot products, segment after segment, in the same few arrays."""

    def __init__(self) -> None:
        self._differing = np.empty(0, np.uint64)
        self._counts = np.empty(0, np.uint8)

    def __call__(self, codes: Codes, question: Question) -> NDArray[np.float32]:
        """Guess the dot product of each row with the question's direction, float32 [R]."""
        size, shape = codes.words.size, codes.words.shape
        if self._counts.size < size:
            self._differing, self._counts = np.empty(size, np.uint64), np.empty(size, np.uint8)
        differing, counts = (
            self._differing[:size].reshape(shape),
            self._counts[:size].reshape(shape),
        )
        np.bitwise_xor(codes.words, question.words, out=differing)
        np.bitwise_count(differing, out=counts)
        # Three words differ in 192 bits at most: eight bits hold that, and are faster to add.
        distance = (counts[0] + counts[1] + counts[2]).astype(np.uint16)
        distance += counts[3] + counts[4] + counts[5]
        distance += counts[6] + counts[7]
        length = np.float32(np.linalg.norm(question.direction))
        guess: NDArray[np.float32] = (_COSINES * length).take(distance)
        guess *= codes.lengths
        guess += codes.centre @ question.direction
        return guess


# Of two vectors that differ in so many of the signs.
_COSINES: Final = np.cos(np.pi * np.arange(BITS + 1) / BITS).astype(np.float32)


def _rotated(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """BITS axes of N vectors [N, D] after a random rotation, up to a common factor.

    Signs are flipped at random and a Walsh-Hadamard transform mixes all axes, three times over:
    as good as any rotation for this, and a hundred times faster to make (Andoni et al., "Practical
    and optimal LSH for angular distance", NeurIPS 2015, section 4). The signs come from a hash:
    NumPy does not promise the same random numbers for ever, and codes stay on disk.
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
    """The Walsh-Hadamard transform of each row; 2^n of them long; lengths are kept."""
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
    """The same as a matrix [D, BITS]: for many vectors one product is faster."""
    return np.ascontiguousarray(_rotated(np.eye(dim, dtype=np.float32)))


def _signs(rotated: NDArray[np.float32]) -> NDArray[np.uint64]:
    """One bit for each axis, uint64 [N, W]."""
    return np.packbits(rotated > 0, axis=1).view(np.uint64)
