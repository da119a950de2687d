"""Holds every setting of a training that changes its result, beside the data and the two models."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from edge.errors import ConfigError
from export.distill.align import Base

MixedPrecision = Literal["no", "fp16", "bf16"]


@dataclass(frozen=True, slots=True)
class LossWeights:
    """Weights of the losses. 0 leaves a loss out.

    The defaults are equal, as in our notes on CLIPping.

    Attributes:
        mimicry: Weight of ``losses.mimicry``.
        relational: Weight of ``losses.relational``, over the sentences of ``bank``.
        alignment: Weight of ``align.Alignment``.
        contrastive: Weight of ``losses.contrastive``, used where pictures have captions.
    """

    mimicry: float = 1.0
    relational: float = 1.0
    alignment: float = 1.0
    contrastive: float = 1.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """Settings of a training and of its quantization-aware phase.

    Attributes:
        epochs: Largest number of passes over the data.
        qat_epochs: Largest number of passes in the quantization-aware phase; 0 leaves it out.
        batch: Pictures in a step, all processes together.
        chunk: Pictures of one process in memory at once. The batch's loss stays exact.
        lr: Highest learning rate; after the warm-up it falls to 0 along a cosine.
        qat_lr: Highest learning rate of the quantization-aware phase.
        warmup: Share of the steps in which the learning rate rises, 0..1.
        weight_decay: Weight decay of matrices. Norms, biases and mixtures of layers have none.
        variations: Number of variations of each picture, beside the picture itself.
        scale: Factor on the cosines in ``relational`` and ``contrastive``; None takes the
            teacher's logit scale.
        base: Side that explains the other in the alignment.
        weights: Weights of the losses.
        patience: Epochs without progress on held-out pictures after which a phase ends.
        held_out: Share of the pictures kept out of training, 0..1.
        min_distance: Cosine distance between the teacher's embeddings below which two pictures
            count as one.
        mixed_precision: Mixed precision of ``accelerate``.
        seed: Seed of the weights, the order and the variations.
    """

    epochs: int = 30
    qat_epochs: int = 5
    batch: int = 64
    chunk: int = 64
    lr: float = 1e-3
    qat_lr: float = 1e-4
    warmup: float = 0.05
    weight_decay: float = 0.05
    variations: int = 8
    scale: float | None = None
    base: Base = "student"
    weights: LossWeights = LossWeights()
    patience: int = 10
    held_out: float = 0.1
    min_distance: float = 1e-4
    mixed_precision: MixedPrecision = "no"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("epochs", 1, 10_000), ("qat_epochs", 0, 10_000), ("batch", 2, 65_536),
            ("chunk", 1, 65_536), ("lr", 1e-9, 1), ("qat_lr", 1e-9, 1), ("warmup", 0, 1),
            ("weight_decay", 0, 1), ("variations", 0, 999), ("patience", 1, 10_000),
            ("held_out", 0.01, 0.9), ("min_distance", 0, 2),
        ):  # fmt: skip
            if not low <= getattr(self, name) <= high:
                raise ConfigError(
                    f"{name}: expected a number from {low:g} to {high:g}, found "
                    f"{getattr(self, name)}"
                )


def fingerprint(recipe: Recipe, facts: Mapping[str, Any]) -> str:
    """Hash everything that decides a training, as 32 hexadecimal digits.

    Args:
        recipe: Settings of the training.
        facts: Facts about teacher, student and data, as JSON values.
    """
    document = {"recipe": asdict(recipe), **facts}
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:32]
