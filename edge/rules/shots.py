"""Defines the examples by which a rule is sharpened.

Letters in shapes: M samples (shots), D embedding.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Shots:
    """Examples for a rule.

    Attributes:
        embeddings: Unit rows, float32 [M, D].
        wanted: Whether the rule should see the sample, bool [M].
        groups: Event that a sample belongs to or lies around, or the alert that somebody found
            right or wrong, intp [M]. The samples of a group are held out together.
    """

    embeddings: NDArray[np.float32]
    wanted: NDArray[np.bool_]
    groups: NDArray[np.intp]

    def select(self, chosen: NDArray[np.bool_]) -> "Shots":
        """Return the examples where ``chosen``, bool [M], is true."""
        return Shots(self.embeddings[chosen], self.wanted[chosen], self.groups[chosen])
