"""Embeddings against the prompt bank: cosines and margins. Pure.

Letters in shapes: N embeddings, P prompts, K rows of the bank, D embedding.
"""

from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from edge.prompts import CompiledPrompt, PromptBank


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """What N embeddings say about P prompts.

    Attributes:
        cosine: float32 [N, P]: to the best of the prompt's texts.
        margin: float32 [N, P]: ``cosine`` minus the best cosine among the prompt's negatives and
            the background that counts for it. An offset that all cosines share, as quantization
            brings, cancels.
    """

    cosine: NDArray[np.float32]
    margin: NDArray[np.float32]


def margins(bank: PromptBank, embeddings: NDArray[np.float32]) -> Scores:
    """Score embeddings, float32 [N, D] with unit rows."""
    cosines = embeddings @ bank.rows.T  # [N, D] @ [D, K] -> [N, K]
    texts = cosines[:, : bank.prompts[-1].texts.stop]
    cosine = np.maximum.reduceat(texts, [prompt.texts.start for prompt in bank.prompts], axis=1)
    rivals = cosines[:, np.concatenate([prompt.against for prompt in bank.prompts])]
    starts = list(accumulate((len(prompt.against) for prompt in bank.prompts[:-1]), initial=0))
    return Scores(cosine, cosine - np.maximum.reduceat(rivals, starts, axis=1))


def best_sentence(bank: PromptBank, prompt: CompiledPrompt, embedding: NDArray[np.float32]) -> str:
    """Which of the prompt's sentences says best what the embedding, float32 [D], shows."""
    sentences = bank.sentences[prompt.texts]
    return sentences[int(np.argmax(bank.rows[prompt.texts] @ embedding))]
