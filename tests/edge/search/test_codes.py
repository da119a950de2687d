"""Codes against the dot products that they stand for."""

import hashlib

import numpy as np
import pytest

from edge.index.codes import BITS, Coder, Guesser


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def scene(rng, rows, dim):
    """A camera that stands still: one offset, and what departs from it."""
    return unit(3 * unit(rng.normal(size=dim)) + rng.normal(size=(rows, dim)) / np.sqrt(dim))


@pytest.mark.parametrize("dim", [64, 512, 1083])
def test_guesses_are_close_to_the_dot_products(dim):
    rng = np.random.default_rng(dim)
    vectors, direction = scene(rng, 2000, dim), unit(rng.normal(size=dim))
    coder = Coder(dim)
    guess = Guesser()(coder.encode(vectors), coder.ask(direction))
    true = vectors @ direction
    # A share of 512 signs is off by 0.022; times pi, times the length of what is left (0.3).
    spread = np.pi * 0.5 / np.sqrt(BITS) * 0.32
    assert np.std(guess - true) == pytest.approx(spread, rel=0.35)
    assert abs(np.mean(guess - true)) < 0.2 * spread


def test_codes_tell_the_row_that_is_like_the_question():
    rng = np.random.default_rng(1)
    vectors = scene(rng, 4096, 512)
    rest = vectors[1234] - vectors.mean(axis=0)
    coder = Coder(512)
    assert np.argmax(Guesser()(coder.encode(vectors), coder.ask(rest))) == 1234


def test_the_signs_are_those_of_a_rotation():
    coder = Coder(600)
    rows = coder._rotation
    assert np.allclose(rows.T @ rows, np.eye(BITS), atol=1e-5)


def test_the_rotation_stays_the_same_for_codes_that_are_on_disk():
    words = Coder(512).ask(np.linspace(-1, 1, 512).astype(np.float32)).words
    assert hashlib.sha256(words.tobytes()).hexdigest()[:16] == "b618ae0a442b42f3"


def test_a_guesser_takes_a_shorter_segment_after_a_longer_one():
    rng = np.random.default_rng(2)
    coder, guesser = Coder(64), Guesser()
    long, short = scene(rng, 100, 64), scene(rng, 7, 64)
    question = coder.ask(unit(rng.normal(size=64)))
    guesser(coder.encode(long), question)
    assert np.array_equal(
        guesser(coder.encode(short), question), Guesser()(coder.encode(short), question)
    )
