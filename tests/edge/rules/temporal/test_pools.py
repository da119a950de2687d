"""The last samples taken together: what the papers' formulas say, written down naively."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge.rules.temporal.pools import Kind, Words, aosm, attend, pool_of, weighted

D = 64


def units(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    rows = rng.normal(size=(*shape, D))
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def words_of(
    rng: np.random.Generator, sentences: int, length: int, real: int | None = None
) -> Words:
    mask = np.ones((sentences, length), bool)
    if real is not None:
        mask[:, real:] = False
    return Words(units(rng, sentences, length), mask)


def naive_attention(values: Any, tau: float) -> np.float32:
    exps = [np.exp((value - max(values)) / tau) for value in values]
    return sum(e * value for e, value in zip(exps, values, strict=True)) / sum(exps)


def naive_aosm(
    sentence: NDArray[np.float32],
    words: NDArray[np.float32],
    frames: NDArray[np.float32],
    tau: float = 0.01,
) -> np.float32:
    """One sentence [D] with its real words [L, D], and frames [N, D]: methods in plain loops."""
    mean = frames.mean(axis=0)
    clip = mean / np.linalg.norm(mean)
    similarity = words @ frames.T
    rows = [naive_attention(row, tau) for row in similarity]
    columns = [naive_attention(column, tau) for column in similarity.T]
    grains = [
        sentence @ clip,
        naive_attention(list(words @ clip), tau),
        naive_attention(list(frames @ sentence), tau),
        (naive_attention(columns, tau) + naive_attention(rows, tau)) / 2,
    ]
    return np.mean(grains)


def test_aosm_is_the_formula() -> None:
    rng = np.random.default_rng(0)
    sentences, frames, words = units(rng, 3), units(rng, 7), words_of(rng, 3, 5)
    told = aosm(frames @ sentences.T, frames, words, np.moveaxis(words.states @ frames.T, 2, 0))
    expected = [
        naive_aosm(sentence, states, frames)
        for sentence, states in zip(sentences, words.states, strict=True)
    ]
    assert told == pytest.approx(expected, abs=1e-5)


def test_padded_words_say_nothing() -> None:
    rng = np.random.default_rng(1)
    sentences, frames = units(rng, 2), units(rng, 6)
    bare = words_of(rng, 2, 4)
    padding = units(rng, 2, 25)
    padded = Words(
        np.concatenate([bare.states, padding], axis=1),
        np.concatenate([bare.mask, np.zeros((2, 25), bool)], axis=1),
    )
    scores = {}
    for name, words in {"bare": bare, "padded": padded}.items():
        of_words = np.moveaxis(words.states @ frames.T, 2, 0)
        scores[name] = aosm(frames @ sentences.T, frames, words, of_words)
    assert scores["padded"] == pytest.approx(scores["bare"], abs=1e-6)
    unmasked = Words(padded.states, np.ones_like(padded.mask))  # the negative control
    told = aosm(
        frames @ sentences.T, frames, unmasked, np.moveaxis(unmasked.states @ frames.T, 2, 0)
    )
    assert np.abs(told - scores["bare"]).max() > 0.01


@given(st.integers(1, 12), st.floats(1e-3, 10), st.integers(0, 2**32 - 1))
def test_attention_lies_between_the_mean_and_the_largest(count: int, tau: float, seed: int) -> None:
    values = np.random.default_rng(seed).uniform(-1, 1, (count, 3)).astype(np.float32)
    told = attend(values, tau)
    assert (told >= values.mean(axis=0) - 1e-5).all()
    assert (told <= values.max(axis=0) + 1e-5).all()


def test_attention_is_the_mean_when_warm_and_the_largest_when_cold() -> None:
    values = np.array([[0.1], [0.2], [0.5]], np.float32)
    assert attend(values, 1e4)[0] == pytest.approx(0.8 / 3, abs=1e-4)
    assert attend(values, 1e-3)[0] == pytest.approx(0.5, abs=1e-6)


def test_the_order_of_frames_makes_no_difference() -> None:
    rng = np.random.default_rng(2)
    sentences, frames, words = units(rng, 2), units(rng, 9), words_of(rng, 2, 4)
    order = rng.permutation(9)
    told = [
        aosm(shown @ sentences.T, shown, words, np.moveaxis(words.states @ shown.T, 2, 0))
        for shown in (frames, frames[order])
    ]
    assert told[0] == pytest.approx(told[1], abs=1e-6)


@pytest.mark.parametrize(
    ("kind", "with_words"),
    [("mean", False), ("aosm", False), ("glscl", False), ("aosm", True)],
    ids=["mean", "aosm", "glscl", "aosm with words"],
)
def test_after_ten_thousand_pushes_it_is_what_the_last_frames_give(
    kind: Kind, with_words: bool
) -> None:
    rng = np.random.default_rng(3)
    sentences = units(rng, 4)
    words = words_of(rng, 4, 6, real=5) if with_words else None
    pool = pool_of(kind, 12, words)
    frames = units(rng, 10_000)
    for frame in frames:
        told = pool.push(sentences @ frame, frame)
    last = frames[-12:]
    of_frames = last @ sentences.T
    if kind == "mean":
        mean = last.mean(axis=0)
        expected = sentences @ mean / np.linalg.norm(mean)
    elif kind == "glscl":
        expected = weighted(of_frames, last, 100 / 3)
    else:
        of_words = None if words is None else np.moveaxis(words.states @ last.T, 2, 0)
        expected = aosm(of_frames, last, words, of_words)
    assert told == pytest.approx(expected, abs=1e-6)


def test_glscl_is_the_mean_when_nothing_weighs() -> None:
    rng = np.random.default_rng(4)
    sentences, frames = units(rng, 3), units(rng, 8)
    warm = weighted(frames @ sentences.T, frames, 1e-6)
    mean = frames.mean(axis=0)
    assert warm == pytest.approx(sentences @ mean / np.linalg.norm(mean), abs=1e-4)


def test_an_error_of_one_percent_in_the_scale_changes_no_ranking() -> None:
    """As quantization brings: GLSCL's weights hang on the length of features."""
    rng = np.random.default_rng(5)
    sentences, frames = units(rng, 12), units(rng, 12)
    of_frames = frames @ sentences.T
    right = weighted(of_frames, frames, 100 / 3)
    for error in (0.99, 1.01):
        assert weighted(of_frames, frames, error * 100 / 3).argmax() == right.argmax()


def test_one_frame_in_twelve_is_enough_for_aosm_and_not_for_the_mean() -> None:
    """Recall of a planted frame where both are wrong equally often."""
    rng = np.random.default_rng(6)
    sentence = units(rng, 1)[0]
    kinds: tuple[Kind, ...] = ("mean", "aosm")
    scores: dict[Kind, dict[bool, list[float]]] = {kind: {True: [], False: []} for kind in kinds}
    for event in [True, False] * 400:
        frames = units(rng, 12) * 0.3 + units(rng, 1)  # frames of one scene are alike
        if event:
            frames[rng.integers(12)] += 0.9 * sentence
        frames /= np.linalg.norm(frames, axis=1, keepdims=True)
        for kind, kept in scores.items():
            pool = pool_of(kind, 12)
            for frame in frames:
                told = pool.push(frame[np.newaxis] @ sentence, frame)
            kept[event].append(float(told[0]))
    recall = {}
    for kind, kept in scores.items():
        threshold = np.quantile(kept[False], 0.9)
        recall[kind] = np.mean(np.array(kept[True]) > threshold)
    assert recall["aosm"] >= 0.95
    assert recall["mean"] < 0.5


def test_a_model_without_embeddings_is_pooled_by_its_cosines() -> None:
    pool = pool_of("mean", 3)
    for value in (0.0, 0.3, 0.6):
        told = pool.push(np.array([value], np.float32), None)
    assert told[0] == pytest.approx(0.3)
    sharp = pool_of("aosm", 3)
    for value in (0.0, 0.3, 0.6):
        told = sharp.push(np.array([value], np.float32), None)
    assert told[0] == pytest.approx(0.6, abs=1e-3)
