"""Scores for class F: each frame has an embedding of its own, in the space of the sentences."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.errors import InferenceError
from edge.model.engines.base import Engine
from edge.rules.bank import PromptBank
from edge.scoring.scorers.base import Scored
from edge.video.sample import Sample


class FrameScorer:
    """Scores by dot product. Letters: N samples, K rows of the bank, D embedding.

    Args:
        engine: Engine of the ``image`` graph.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def encode(self, pixels: NDArray[np.int8]) -> NDArray[np.float32]:
        """Embed pictures.

        Args:
            pixels: int8 [N, 3, H, W], ``u8 ^ 0x80``.

        Returns:
            float32 [N, D], unit rows; the caller owns the array.

        Raises:
            InferenceError: Wrong dtype or shape, the runtime failed, or gave no finite numbers.
        """
        embeddings: NDArray[np.float32] = self._engine.run({"pixels": pixels})["embedding"]
        if not np.isfinite(embeddings).all():
            raise InferenceError("expected finite embeddings, found others; the batch is dropped")
        return embeddings

    def score(self, samples: Sequence[Sample], bank: PromptBank) -> list[Scored | None]:
        return [*self.score_pictures(np.stack([sample.pixels for sample in samples]), bank)]

    def score_pictures(self, pixels: NDArray[np.int8], bank: PromptBank) -> list[Scored]:
        """Score pictures that belong to no camera's stream; args and errors as ``encode``."""
        embeddings = self.encode(pixels)
        cosines = embeddings @ bank.rows.T  # [N, D] @ [D, K] -> [N, K]
        return [Scored(*row) for row in zip(cosines, embeddings, strict=True)]
