"""The two towers of a CLIP-like model as graphs: unit vectors out, from nothing but their input.

Letters in shapes: N pictures, K texts, L tokens, W width of a tower, D embedding.
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from export.families.base import Part

# Which token stands for the sentence: the first, the last, or the first end-of-text token.
Pool = Literal["first", "last", "end"]

# Two rows, so that nothing of the traced batch size is mistaken for a constant 1.
_ROWS = 2


class ImageTower(torch.nn.Module):
    """Pictures [N, 3, H, W] to unit rows [N, D]."""

    def __init__(self, embed: Callable[[Tensor], Any], *owned: torch.nn.Module) -> None:
        """Take what embeds pictures.

        Args:
            embed: Pictures to embeddings, not yet of unit length; a tensor, or an output of
                transformers 5 that holds one.
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

    Rows of tokens that only fill up are zero, so that a device needs no second rule for what is
    padding: CLIP pads with its end-of-text token.
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
        """Take what makes states of tokens, and embeddings of states.

        Args:
            states: ``input_ids`` and a mask of the real tokens, both [K, L], to states [K, L, W].
            head: States [K, L, W] to embeddings [K, L, D]: what the model does to the one that it
                pools, done to every one.
            owned: Modules whose weights they use.
            pool: Which token's embedding is the sentence's.
            marker: With ``end``, the end-of-text token; otherwise the padding token.
            length: L.
        """
        super().__init__()
        self._states = states
        self._head = head
        self.owned = torch.nn.ModuleList(owned)
        self._pool = pool
        self._marker = marker
        # Constants of the graph, not ranges that it computes from a shape.
        self.register_buffer("positions", torch.arange(length)[None], persistent=False)  # [1, L]
        self.eval()

    def forward(self, input_ids: Tensor) -> tuple[Tensor, Tensor]:
        positions: Tensor = self.get_buffer("positions")
        if self._pool == "end":
            # The first of several. Runtimes need not agree about the largest among equals, so the
            # earlier one counts more.
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
    """``rows`` [..., D] at length one."""
    lengths: Tensor = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
    return rows / lengths


def embedding_of(features: Any) -> Tensor:
    """The embedding in what ``get_image_features`` and its like return.

    transformers 4 returns the tensor itself, 5 an output whose ``pooler_output`` is the projected
    embedding.
    """
    if isinstance(features, Tensor):
        return features
    pooled: Tensor = features.pooler_output
    return pooled


def image_part(tower: ImageTower, height: int, width: int) -> Part:
    """The image graph of a frame-independent model."""
    return Part(
        role="image",
        module=tower,
        inputs={"pixel_values": torch.zeros(_ROWS, 3, height, width)},
        outputs=("embedding",),
        dynamic={"pixel_values": {0: "N"}, "embedding": {0: "N"}},
        pixels="pixel_values",
    )


def text_part(tower: TextTower, example: Tensor) -> Part:
    """The text graph of a model; ``example`` holds token ids [K, L]."""
    return Part(
        role="text",
        module=tower,
        inputs={"input_ids": example.expand(_ROWS, -1).contiguous()},
        outputs=("embedding", "words"),
        dynamic={name: {0: "K"} for name in ("input_ids", "embedding", "words")},
    )
