import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge.rules.bank import CompiledPrompt, PromptBank
from edge.scoring.margins import best_sentence, margins

DIM = 8


def unit(rng: np.random.Generator, count: int) -> NDArray[np.float32]:
    rows = rng.normal(size=(count, DIM))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@st.composite
def banks(draw: st.DrawFn) -> PromptBank:
    """A bank of any shape: 1 to 5 prompts, some without negatives, some without background."""
    count = draw(st.integers(1, 5))
    texts = draw(st.lists(st.integers(1, 4), min_size=count, max_size=count))
    negatives = draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
    background = draw(st.integers(1, 4))
    total = sum(texts) + sum(negatives)
    prompts = []
    for index in range(count):
        own = sum(texts[:index])
        other = sum(texts) + sum(negatives[:index])
        counts = draw(st.lists(st.booleans(), min_size=background, max_size=background))
        shared = [total + row for row in range(background) if counts[row]]
        against = [*range(other, other + negatives[index]), *shared] or [total]
        prompts.append(
            CompiledPrompt(
                name=f"p{index}",
                rule=f"p{index}",
                texts=slice(own, own + texts[index]),
                negatives=slice(other, other + negatives[index]),
                against=np.array(against, np.intp),
                coverage=None,
            )
        )
    rows = unit(np.random.default_rng(draw(st.integers(0, 2**32))), total + background)
    return PromptBank(tuple(prompts), tuple("x" * len(rows)), rows, (), "")


frames = st.builds(
    lambda seed, count: unit(np.random.default_rng(seed), count),
    st.integers(0, 2**32),
    st.integers(0, 4),
)


@given(banks(), frames)
def test_scores_equal_a_loop_over_prompts_and_rows(
    bank: PromptBank, embeddings: NDArray[np.float32]
) -> None:
    scores = margins(bank, embeddings @ bank.rows.T)

    assert scores.cosine.shape == scores.margin.shape == (len(embeddings), len(bank.prompts))
    assert scores.cosine.dtype == scores.margin.dtype == np.float32
    for n, embedding in enumerate(embeddings):
        for p, prompt in enumerate(bank.prompts):
            texts = range(prompt.texts.start, prompt.texts.stop)
            best = max(float(bank.rows[row] @ embedding) for row in texts)
            rival = max(float(bank.rows[row] @ embedding) for row in prompt.against)
            assert scores.cosine[n, p] == pytest.approx(best, abs=1e-6)
            assert scores.margin[n, p] == pytest.approx(best - rival, abs=2e-6)


@given(banks(), frames, st.floats(-1, 1, width=32))
def test_an_offset_of_all_cosines_cancels_in_the_margin_and_only_there(
    bank: PromptBank, embeddings: NDArray[np.float32], offset: float
) -> None:
    cosines = embeddings @ bank.rows.T

    plain = margins(bank, cosines)
    shifted = margins(bank, cosines + np.float32(offset))

    assert shifted.margin == pytest.approx(plain.margin, abs=2e-6)
    assert shifted.cosine == pytest.approx(plain.cosine + np.float32(offset), abs=2e-6)


@given(banks(), frames, st.data())
def test_no_prompt_is_influenced_by_another(
    bank: PromptBank, embeddings: NDArray[np.float32], data: st.DataObject
) -> None:
    kept = data.draw(st.integers(0, len(bank.prompts) - 1))
    own = bank.prompts[kept]
    mine = {*range(own.texts.start, own.texts.stop), *own.against.tolist()}
    rows = bank.rows.copy()
    others = [row for row in range(len(rows)) if row not in mine]
    rows[others] = unit(np.random.default_rng(1), len(others))

    before, after = margins(bank, embeddings @ bank.rows.T), margins(bank, embeddings @ rows.T)

    assert after.cosine[:, kept] == pytest.approx(before.cosine[:, kept], abs=1e-6)
    assert after.margin[:, kept] == pytest.approx(before.margin[:, kept], abs=2e-6)


def test_the_best_sentence_is_the_one_whose_cosine_is_the_score() -> None:
    rows = unit(np.random.default_rng(3), 5)
    prompts = (
        CompiledPrompt("a", "a", slice(0, 1), slice(4, 4), np.array([4]), None),
        CompiledPrompt("b", "b", slice(1, 4), slice(4, 4), np.array([4]), None),
    )
    bank = PromptBank(prompts, ("dog", "car", "red car", "van", "road"), rows, (), "")
    assert [best_sentence(bank, prompts[1], rows @ rows[row]) for row in (1, 2, 3)] == [
        "car",
        "red car",
        "van",
    ]
    # Though the other prompt says it better still, the answer is the asked prompt's own.
    assert best_sentence(bank, prompts[1], rows @ rows[0]) in {"car", "red car", "van"}
