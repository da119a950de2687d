"""Word states of an exported CLIP, in a bank where a rule pools by AOSM."""

from collections.abc import Iterator

import numpy as np
import pytest
from exported import Exports

from edge.config.models import EngineConfig
from edge.config.prompt import PoolConfig, PromptConfig
from edge.rules.bank import PromptBank
from edge.rules.temporal.pools import pool_of
from edge.scoring.open import Models, open_models


@pytest.fixture(scope="module")
def models(exports: Exports) -> Iterator[Models]:
    with open_models(exports.build("clip").bundle, EngineConfig(kind="onnxruntime")) as models:
        yield models


def bank_of(models: Models, pool: PoolConfig | None) -> PromptBank:
    prompt = PromptConfig(text=("a dog", "a red car on the road"), negatives=("a cat",), pool=pool)
    with models.scoring.open_compiler() as compile_prompts:
        return compile_prompts({"dog": prompt}, None)


def test_a_bank_has_words_only_where_a_rule_uses_them(models: Models) -> None:
    assert bank_of(models, None).words is None
    assert bank_of(models, PoolConfig(kind="mean")).words is None
    bank = bank_of(models, PoolConfig(kind="aosm"))
    assert bank.words is not None
    states, mask = bank.words.states, bank.words.mask
    assert states.shape == (len(bank.rows), mask.shape[1], bank.rows.shape[1])
    lengths = np.linalg.norm(states, axis=2)
    assert lengths[mask] == pytest.approx(1, abs=1e-5)
    assert not lengths[~mask].any()
    assert mask[1].sum() > mask[0].sum()  # a longer sentence has more
    assert mask.any(axis=0).all()  # and no room is wasted


def test_words_change_what_aosm_says(models: Models) -> None:
    bank = bank_of(models, PoolConfig(kind="aosm"))
    rng = np.random.default_rng(0)
    frames = rng.normal(size=(4, bank.rows.shape[1])).astype(np.float32)
    frames /= np.linalg.norm(frames, axis=1, keepdims=True)
    with_words, without = pool_of("aosm", 4, bank.words), pool_of("aosm", 4)
    for frame in frames:
        scores = with_words.push(bank.rows @ frame, frame), without.push(bank.rows @ frame, frame)
    assert np.abs(scores[0] - scores[1]).max() > 1e-3
    assert np.isfinite(scores[0]).all()
