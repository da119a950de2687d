"""Defines the image and text towers of CLIP-like models, which give unit vectors.

Letters in shapes: N pictures, K texts, L tokens, W width of a tower, D embedding.
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from export.families.base import Part

# Token that stands for the sentence: the first, the last, or the first end-of-text token.
Pool = Literal["first", "last", "end"]

# Rows of an example. Two, so that the tracer takes no batch size for a constant 1.
_ROWS = 2


class ImageTower(torch.nn.Module):
    """Pictures [N, 3, H, W] to unit rows [N, D]."""

    def __init__(self, embed: Callable[[Tensor], Any], *owned: torch.nn.Module) -> None:
        """Make the tower of a function that embeds pictures.

        Args:
            embed: Function from pictures to embeddings of any length; it returns a tensor, or an
                output of transformers 5 that holds one.
            owned: Modules whose weights it uses.
        """
        super().__init__()
        self._embed = embed
        self.owned = torch.nn.ModuleList(owned)
        self.eval()

    def forward(self, pixels: Tensor) -> Tensor:
        return unit(embedding_of(self._embed(pixels)))


class TextTower(torch.nn.Module):
    """Token ids [K, L] to a unit row per text [K, D] and per token [K, L, D].

    Rows of padding tokens are zero, so a device needs no rule of its own for padding: CLIP pads
    with its end-of-text token.
    """

    def __init__(
        self,
        states: Callable[[Tensor, Tensor], Tensor],
        head: Callable[[Tensor], Tensor],
        *owned: torch.nn.Module,
        pool: Pool,
        marker: int,
        length: int,
    ) -> None:
        """Make the tower of a function for states of tokens and one for embeddings of states.

        Args:
            states: Function from ``input_ids`` and a mask of the real tokens, both [K, L], to
                states [K, L, W].
            head: Function from states [K, L, W] to embeddings [K, L, D]: the model's layers after
                the pooled token, applied to every token.
            owned: Modules whose weights they use.
            pool: Token whose embedding is the sentence's.
            marker: Id of the end-of-text token where ``pool`` is ``end``, else of the padding
                token.
            length: Number of tokens in a row, L.
        """
        super().__init__()
        self._states = states
        self._head = head
        self.owned = torch.nn.ModuleList(owned)
        self._pool = pool
        self._marker = marker
        # A buffer becomes a constant of the graph, where a range would be computed from a shape.
        self.register_buffer("positions", torch.arange(length)[None], persistent=False)  # [1, L]
        self.eval()

    def forward(self, input_ids: Tensor) -> tuple[Tensor, Tensor]:
        positions: Tensor = self.get_buffer("positions")
        if self._pool == "end":
            # The end is the first of several end-of-text tokens. Runtimes may differ in the argmax
            # among equals, so an earlier token gets a larger number.
            earlier = positions.shape[1] - positions
            end = ((input_ids == self._marker) * earlier).float().argmax(dim=1, keepdim=True)
            real, chosen = positions <= end, positions == end  # [K, L]
            words = unit(self._head(self._states(input_ids, real)))  # [K, L, D]
            embedding = (words * chosen[:, :, None]).sum(dim=1)
        else:
            real = input_ids != self._marker
            words = unit(self._head(self._states(input_ids, real)))
            embedding = words[:, 0 if self._pool == "first" else -1]
        return embedding, words * real[:, :, None]


def unit(rows: Tensor) -> Tensor:
    """Return ``rows`` [..., D] at length one."""
    lengths: Tensor = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
    return rows / lengths


def embedding_of(features: Any) -> Tensor:
    """Return the embedding in the result of ``get_image_features`` and the like.

    transformers 4 returns the tensor itself; version 5 returns an output whose ``pooler_output`` is
    the projected embedding.
    """
    if isinstance(features, Tensor):
        return features
    pooled: Tensor = features.pooler_output
    return pooled


def image_part(tower: ImageTower, height: int, width: int) -> Part:
    """Return the image part of a model that sees each frame by itself."""
    return Part(
        role="image",
        module=tower,
        inputs={"pixel_values": torch.zeros(_ROWS, 3, height, width)},
        outputs=("embedding",),
        dynamic={"pixel_values": {0: "N"}, "embedding": {0: "N"}},
        pixels="pixel_values",
    )


def text_part(tower: TextTower, example: Tensor) -> Part:
    """Return the text part of a model; ``example`` holds token ids [1, L]."""
    return Part(
        role="text",
        module=tower,
        inputs={"input_ids": example.expand(_ROWS, -1).contiguous()},
        outputs=("embedding", "words"),
        dynamic={name: {0: "K"} for name in ("input_ids", "embedding", "words")},
    )
