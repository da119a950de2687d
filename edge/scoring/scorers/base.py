"""Defines the scorer seam: samples in, cosines against every sentence of a bank out.

Letters in shapes: K rows of the bank, D embedding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge.rules.bank import PromptBank
from edge.video.sample import Sample


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """What a model says about one sample.

    Attributes:
        cosines: float32 [K]: how well the sentence of each row fits.
        embedding: float32 [D], unit length; None where the model gives a picture no embedding.
    """

    cosines: NDArray[np.float32]
    embedding: NDArray[np.float32] | None


class Scorer(Protocol):
    """Turns samples into cosines. May remember a camera's last samples. Not thread-safe."""

    def score(self, samples: Sequence[Sample], bank: PromptBank) -> list[Scored | None]:
        """Score each sample against the bank.

        Args:
            samples: At most one of each camera, and no older one than in an earlier call. There
                may be many, because an engine is faster with several at once.
            bank: Compiled by the same model.

        Returns:
            One record for each sample, in the same order; None where the model needs more frames
            of that camera first.

        Raises:
            InferenceError: The engine failed; the samples are lost.
        """
        ...
