"""Codes against the dot products that they stand for."""

import hashlib

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.search.index.codes import BITS, Guesser, _matrix, _rotated, ask, encode


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float32]:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def scene(rng: np.random.Generator, rows: int, dim: int) -> NDArray[np.float32]:
    """A camera that stands still: one offset, and what departs from it."""
    return unit(3 * unit(rng.normal(size=dim)) + rng.normal(size=(rows, dim)) / np.sqrt(dim))


@pytest.mark.parametrize("dim", [64, 512, 1083])
def test_guesses_are_close_to_the_dot_products(dim: int) -> None:
    rng = np.random.default_rng(dim)
    vectors, direction = scene(rng, 2000, dim), unit(rng.normal(size=dim))
    guess = Guesser()(encode(vectors), ask(direction))
    true = vectors @ direction
    # A share of 512 signs is off by 0.022; times pi, times the length of what is left (0.3).
    spread = np.pi * 0.5 / np.sqrt(BITS) * 0.32
    assert np.std(guess - true) == pytest.approx(spread, rel=0.35)
    assert abs(np.mean(guess - true)) < 0.2 * spread


def test_codes_tell_the_row_that_is_like_the_question() -> None:
    rng = np.random.default_rng(1)
    vectors = scene(rng, 4096, 512)
    rest = vectors[1234] - vectors.mean(axis=0)
    assert np.argmax(Guesser()(encode(vectors), ask(rest))) == 1234


def test_the_rotation_keeps_angles_and_is_the_same_for_one_vector_and_for_many() -> None:
    rows = _matrix(512)
    assert np.allclose(rows.T @ rows, np.eye(BITS), atol=1e-5)
    vectors = scene(np.random.default_rng(3), 5, 300)
    assert np.allclose(_rotated(vectors), vectors @ _matrix(300), atol=1e-6)


def test_a_vector_along_one_axis_is_spread_over_all_bits() -> None:
    # Unlike signs of the axes themselves, which would all but one be equal.
    rotated = _rotated(np.eye(512, dtype=np.float32)[:8])
    assert np.abs(rotated).max() < 6 / np.sqrt(512)
    assert 0.4 < (rotated > 0).mean() < 0.6


def test_the_rotation_stays_the_same_for_codes_that_are_on_disk() -> None:
    words = ask(np.linspace(-1, 1, 512).astype(np.float32)).words
    assert hashlib.sha256(words.tobytes()).hexdigest()[:16] == "3691265c2b85bcf4"


def test_a_guesser_takes_a_shorter_segment_after_a_longer_one() -> None:
    rng = np.random.default_rng(2)
    guesser = Guesser()
    long, short = scene(rng, 100, 64), scene(rng, 7, 64)
    question = ask(unit(rng.normal(size=64)))
    guesser(encode(long), question)
    assert np.array_equal(guesser(encode(short), question), Guesser()(encode(short), question))
