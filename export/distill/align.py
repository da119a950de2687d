"""A student's stages against a teacher's layers: which one is explained by which.

A teacher has n layers ``t_j``, a student fewer stages ``s_i`` (m of them), and ``g`` brings a stage
to the shape of a layer. One side is written as mixtures of the other, the *base*:

* **student as base** (in the manner of CLIPping; Pei et al., CVPR 2023): the stages explain each
  layer, ``mean_j |t_j - sum_i b_ji g(s_i)|^2``. Every layer sends a gradient.
* **teacher as base**: each stage copies a mixture of layers,
  ``mean_i |g(s_i) - sum_j a_ij t_j|^2``. What no mixture holds teaches nothing.

Weights ``b`` and ``a`` are softmaxes of learned logits. The paper's own weighting could not be
read: this is our formalisation. Letters in shapes: B pictures, P places, C channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Base = Literal["student", "teacher"]


@dataclass(frozen=True, slots=True)
class MapShape:
    """Of a feature map: channels, and places as rows and columns."""

    channels: int
    rows: int
    columns: int


def mixtures(bases: Tensor, logits: Tensor) -> Tensor:
    """``sum_i softmax(logits)_ji bases_i``.

    Args:
        bases: [m, ...].
        logits: [n, m].

    Returns:
        [n, ...].
    """
    mixed: Tensor = torch.tensordot(logits.softmax(dim=1), bases, dims=1)
    return mixed


def explained(targets: Tensor, bases: Tensor, logits: Tensor) -> Tensor:
    """Mean squared difference between each target and its mixture of bases.

    Args:
        targets: [n, B, P, C].
        bases: [m, B, P, C].
        logits: [n, m].
    """
    return functional.mse_loss(mixtures(bases, logits), targets)


def band(rows: int, columns: int, strength: float = 2.0) -> Tensor:
    """Logits [rows, columns] in which each row prefers the column at the same depth."""
    depth = (torch.arange(rows) + 1) * columns / rows  # of row j, in columns
    nearest = (depth.ceil() - 1).long()
    logits = torch.zeros(rows, columns)
    logits[torch.arange(rows), nearest] = strength
    return logits


class Alignment(nn.Module):
    """The loss between stages and layers, with the projections and weights that it learns.

    Both sides are normalised over their channels at each place, so that a layer of large numbers
    counts no more than another. Layers of one shape share their projections; layers of several
    shapes (a convolutional teacher) have projections for each.

    Args:
        stages: Channels of each of the student's stages, shallow first.
        layers: Shapes of the teacher's layers, shallow first.
        base: Which side explains the other.
    """

    def __init__(
        self, stages: Sequence[int], layers: Sequence[MapShape], base: Base = "student"
    ) -> None:
        super().__init__()
        self.base = base
        self.shapes = tuple(dict.fromkeys(layers))
        self.members = tuple(
            tuple(index for index, layer in enumerate(layers) if layer == shape)
            for shape in self.shapes
        )
        self.projections = nn.ModuleList(
            nn.ModuleList(nn.Conv2d(channels, shape.channels, 1) for channels in stages)
            for shape in self.shapes
        )
        wide, high = len(stages), len(layers)
        start = band(high, wide) if base == "student" else band(wide, high)
        self.logits = nn.Parameter(start)

    def forward(self, stages: Sequence[Tensor], layers: Sequence[Tensor]) -> Tensor:
        """The loss.

        Args:
            stages: Maps [B, C_i, rows, columns].
            layers: Maps [B, C_j, rows, columns], without gradient.
        """
        losses = [
            self._group(group, members, stages, layers) * len(members)
            for group, members in enumerate(self.members)
        ]
        return torch.stack(losses).sum() / len(layers)

    def _group(
        self, group: int, members: Sequence[int], stages: Sequence[Tensor], layers: Sequence[Tensor]
    ) -> Tensor:
        shape = self.shapes[group]
        projections = self.projections[group]
        assert isinstance(projections, nn.ModuleList)  # noqa: S101 for the type checker
        ours = torch.stack(
            [
                _normalised(project(resized(stage, shape)))
                for project, stage in zip(projections, stages, strict=True)
            ]
        )
        theirs = torch.stack([_normalised(layers[member]) for member in members])
        if self.base == "student":
            return explained(theirs, ours, self.logits[list(members)])
        return explained(ours, theirs, self.logits[:, list(members)])


def resized(stage: Tensor, shape: MapShape) -> Tensor:
    """``stage`` [B, C, rows, columns] with the places of ``shape``: means, or bilinear."""
    size = (shape.rows, shape.columns)
    if stage.shape[-2] >= size[0] and stage.shape[-1] >= size[1]:
        return functional.adaptive_avg_pool2d(stage, size)
    return functional.interpolate(stage, size, mode="bilinear", align_corners=False)


def _normalised(maps: Tensor) -> Tensor:
    """[B, C, rows, columns] to [B, P, C], each place with mean 0 and deviation 1."""
    places = maps.flatten(2).transpose(1, 2)
    return functional.layer_norm(places, places.shape[-1:])
