"""Decides the batch per process, the weights that decay and the curve of the learning rate."""

import math
from collections.abc import Callable
from typing import Any

from torch import nn

from edge.errors import ConfigError
from export.distill.recipe import Recipe
from export.distill.training.trainee import Trainee


def share_of(recipe: Recipe, pictures: int, processes: int) -> int:
    """Pictures per process in a step; with fewer pictures than a batch, as many full chunks as fit.

    Raises:
        ConfigError: The batch does not divide into processes and chunks.
    """
    share, left = divmod(recipe.batch, processes)
    if recipe.batch > pictures:
        share, left = pictures // processes, 0
        share -= share % min(recipe.chunk, share or 1)
    chunk = min(recipe.chunk, share)
    if left or not share or share % chunk:
        raise ConfigError(
            f"expected a batch that divides into {processes} processes and chunks of {chunk}, "
            f"found {recipe.batch}; choose another --batch or --chunk"
        )
    return share


def groups(trainee: Trainee, decay: float) -> list[dict[str, Any]]:
    """Parameter groups of the optimizer: only matrices decay.

    Norms, biases, ranges, tokens, positions and mixtures of layers do not decay.
    """
    kept = {"alignment.logits"}
    backbone = trainee.student.backbone
    if hasattr(backbone, "no_weight_decay"):  # timm's name for tokens and positions
        kept |= {f"student.backbone.{name}" for name in backbone.no_weight_decay()}
    decaying: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in trainee.named_parameters():
        plain = parameter.ndim < 2 or name in kept
        (others if plain else decaying).append(parameter)
    return [{"params": decaying, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]


def curve(steps: int, warmup: float) -> Callable[[int], float]:
    """Learning rate over its maximum by step: a linear rise, then half a cosine down to 0."""
    rising = max(1, round(warmup * steps))

    def at(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        return (1 + math.cos(math.pi * min(1.0, (step - rising) / max(1, steps - rising)))) / 2

    return at
