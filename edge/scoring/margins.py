"""Turns cosines against every sentence into the cosine and the margin of every prompt. Pure.

Letters in shapes: N samples, P prompts, K rows of the bank.
"""

from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from edge.rules.bank import CompiledPrompt, PromptBank


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """What one sample says about P prompts; or N samples, with a row for each.

    Attributes:
        cosine: float32 [P] or [N, P]: cosine to the best of the prompt's texts.
        margin: float32 [P] or [N, P]: ``cosine`` minus the best cosine among the prompt's
            negatives and the background that counts for it. An offset that all cosines share, as
            quantization brings, cancels.
    """

    cosine: NDArray[np.float32]
    margin: NDArray[np.float32]


def margins(bank: PromptBank, cosines: NDArray[np.float32]) -> Scores:
    """Compare the best of each prompt's sentences with the best sentence against it.

    Args:
        bank: Which rows belong to which prompt.
        cosines: float32 [K] for one sample, or [N, K].
    """
    texts = cosines[..., : bank.prompts[-1].texts.stop]
    cosine = np.maximum.reduceat(texts, [prompt.texts.start for prompt in bank.prompts], axis=-1)
    rivals = cosines[..., np.concatenate([prompt.against for prompt in bank.prompts])]
    starts = list(accumulate((len(prompt.against) for prompt in bank.prompts[:-1]), initial=0))
    return Scores(cosine, cosine - np.maximum.reduceat(rivals, starts, axis=-1))


def best_sentence(bank: PromptBank, prompt: CompiledPrompt, cosines: NDArray[np.float32]) -> str:
    """The sentence of the prompt that fits one sample best, by its ``cosines`` [K]."""
    return bank.sentences[prompt.texts][int(np.argmax(cosines[prompt.texts]))]
