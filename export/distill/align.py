"""Aligns a student's feature maps with a teacher's layers: one side is explained by the other.

A teacher has n layers ``t_j``, a student has m feature maps ``s_i`` with m < n, and ``g`` projects
a feature map to the shape of a layer. One side is written as mixtures of the other, the *base*:

* **student as base** (in the manner of CLIPping; Pei et al., CVPR 2023): the feature maps explain
  each layer, ``mean_j |t_j - sum_i b_ji g(s_i)|^2``. Every layer sends a gradient.
* **teacher as base**: each feature map copies a mixture of layers,
  ``mean_i |g(s_i) - sum_j a_ij t_j|^2``. A layer outside of every mixture teaches nothing.

Weights ``b`` and ``a`` are softmaxes of learned logits. We could not read the paper's own
weighting; this is our formalisation. Letters in shapes: B pictures, P places, C channels.
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
    """Shape of a feature map: its channels, and its places as rows and columns."""

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
    """The loss between feature maps and layers, with the projections and weights that it learns.

    Both sides are normalised over their channels at each place, so that a layer of large numbers
    counts no more than the others. Layers of one shape share their projections; layers of several
    shapes (a convolutional teacher) have projections for each.

    Args:
        channels: Channels of each of the student's feature maps, shallow first.
        layers: Shape of each of the teacher's layers, shallow first.
        base: Side that explains the other.
    """

    def __init__(
        self, channels: Sequence[int], layers: Sequence[MapShape], base: Base = "student"
    ) -> None:
        super().__init__()
        self.base = base
        self.shapes = tuple(dict.fromkeys(layers))
        self.members = tuple(
            tuple(index for index, layer in enumerate(layers) if layer == shape)
            for shape in self.shapes
        )
        self.projections = nn.ModuleList(
            nn.ModuleList(nn.Conv2d(own, shape.channels, 1) for own in channels)
            for shape in self.shapes
        )
        wide, high = len(channels), len(layers)
        start = band(high, wide) if base == "student" else band(wide, high)
        self.logits = nn.Parameter(start)

    def forward(self, maps: Sequence[Tensor], layers: Sequence[Tensor]) -> Tensor:
        """Compute the loss, a scalar.

        Args:
            maps: Feature maps of the student, [B, C_i, rows, columns].
            layers: Layers of the teacher, [B, C_j, rows, columns], without gradient.
        """
        losses = [
            self._group(group, members, maps, layers) * len(members)
            for group, members in enumerate(self.members)
        ]
        return torch.stack(losses).sum() / len(layers)

    def _group(
        self, group: int, members: Sequence[int], maps: Sequence[Tensor], layers: Sequence[Tensor]
    ) -> Tensor:
        shape = self.shapes[group]
        projections = self.projections[group]
        assert isinstance(projections, nn.ModuleList)  # noqa: S101 for the type checker
        ours = torch.stack(
            [
                _normalised(project(resized(one, shape)))
                for project, one in zip(projections, maps, strict=True)
            ]
        )
        theirs = torch.stack([_normalised(layers[member]) for member in members])
        if self.base == "student":
            return explained(theirs, ours, self.logits[list(members)])
        return explained(ours, theirs, self.logits[:, list(members)])


def resized(one: Tensor, shape: MapShape) -> Tensor:
    """Resize a map [B, C, rows, columns] to the places of ``shape``.

    A larger map is averaged, a smaller one interpolated bilinearly.
    """
    size = (shape.rows, shape.columns)
    if one.shape[-2] >= size[0] and one.shape[-1] >= size[1]:
        return functional.adaptive_avg_pool2d(one, size)
    return functional.interpolate(one, size, mode="bilinear", align_corners=False)


def _normalised(maps: Tensor) -> Tensor:
    """Turn [B, C, rows, columns] into [B, P, C], each place with mean 0 and deviation 1."""
    places = maps.flatten(2).transpose(1, 2)
    return functional.layer_norm(places, places.shape[-1:])
