"""Makes embeddings of synthetic cameras, and sentences about what they see.

The cameras have the properties that make searching hard: all embeddings share an offset, those of
one camera share another that drifts, frames resemble their neighbours, axes are uneven, and some
hundred things come and go for seconds to minutes. Sentences lie far from all pictures, as in a CLIP
model.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.rules.bank import CompiledPrompt, PromptBank
from edge.search.index.segment import ROWS

CAMERAS: Final = 16
QUERIES: Final = 10
BEGIN: Final = 1_700_000_000.0
"""Time of the first embedding, UTC seconds; the cameras give one embedding a second."""
_THINGS: Final = 200
_RIVALS: Final = 7


class World:
    """Embeddings of synthetic cameras, and sentences about what they see.

    Args:
        dim: Dimension of the embeddings, D.

    Attributes:
        sentences: Unit rows of the sentences, float32 [QUERIES, D].
        rivals: Unit rows of the sentences that they are compared with, float32 [7, D].
    """

    def __init__(self, dim: int) -> None:
        self._rng = np.random.default_rng(0)
        self._dim = dim
        self._uneven = np.exp(self._rng.normal(0, 0.7, dim)).astype(np.float32)
        self._common = self._directions(1)
        self._cameras = self._directions(CAMERAS)
        self._things = self._directions(_THINGS)
        gap = self._directions(1)
        about = 0.6 * self._things[:QUERIES] + 0.7 * gap + 0.3 * self._directions(QUERIES)
        rivals = 0.05 * self._common + 0.7 * gap + 0.4 * self._directions(_RIVALS)
        self.sentences = _unit(about)
        self.rivals = _unit(rivals)

    def segment(self, camera: int) -> NDArray[np.float32]:
        """Return some hours of a camera: unit rows, float32 [ROWS, D]."""
        drift = _unit(np.cumsum(self._directions(ROWS // 256), axis=0))
        vectors = np.repeat(0.2 * drift, 256, axis=0)
        vectors += 0.7 * self._common + 0.5 * self._cameras[camera]
        at = 0
        while (at := at + int(self._rng.exponential(300))) < ROWS:
            lasts, thing = self._rng.integers(3, 60), self._things[self._rng.integers(_THINGS)]
            seen = self._rng.uniform(0.1, 0.35) * thing + 0.1 * self._directions(1)
            vectors[at : at + lasts] += seen
            at += int(lasts)
        vectors += 0.25 * self._directions(ROWS)
        return _unit(vectors)

    def bank(self, query: int) -> PromptBank:
        """Return the bank of one of the sentences."""
        rows = np.concatenate([self.sentences[query : query + 1], self.rivals])
        against = np.arange(1, 1 + _RIVALS)
        prompt = CompiledPrompt("search", "search", slice(0, 1), slice(1, 1), against, None)
        return PromptBank((prompt,), ("",) * len(rows), rows, (), "")

    def _directions(self, count: int) -> NDArray[np.float32]:
        drawn = self._rng.standard_normal((count, self._dim), dtype=np.float32)
        return _unit(drawn * self._uneven)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = vectors / lengths
    return unit
