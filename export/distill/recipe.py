"""How a student is trained: all that decides the result beside the data and the two models."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from edge.errors import ConfigError
from export.distill.align import Base

MixedPrecision = Literal["no", "fp16", "bf16"]


@dataclass(frozen=True, slots=True)
class Weights:
    """Of the losses; 0 leaves one out. Starting values: our notes on CLIPping, all alike.

    Attributes:
        mimicry: ``losses.mimicry``.
        relational: ``losses.relational``, over the sentences of ``bank``.
        alignment: ``align.Alignment``.
        contrastive: ``losses.contrastive``, where pictures have captions.
    """

    mimicry: float = 1.0
    relational: float = 1.0
    alignment: float = 1.0
    contrastive: float = 1.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """Training, its quantization-aware phase included.

    Attributes:
        epochs: Passes over the data, at most.
        qat_epochs: Passes of the quantization-aware phase; 0 leaves it out.
        batch: Pictures in a step, of all processes together.
        chunk: Pictures that are in memory at once, of one process; the batch's loss stays exact.
        lr: Learning rate at its highest; then it falls to 0 as a cosine does.
        qat_lr: The same of the quantization-aware phase.
        warmup: Share of the steps in which it rises.
        weight_decay: Of matrices; none of norms, biases and the alignment's mixtures.
        variations: Of each picture beside itself.
        scale: Of the cosines in ``relational`` and ``contrastive``; None takes the teacher's.
        base: Which side explains the other in the alignment.
        weights: Of the losses.
        patience: Epochs without progress on held-out pictures after which a phase ends.
        held_out: Share of the pictures that are not trained on.
        min_distance: Cosine distance of the teacher's embeddings below which two pictures are the
            same one.
        mixed_precision: Of accelerate.
        seed: Of weights, order and variations.
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
    weights: Weights = Weights()
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
    """What decides a training, as a hash of 32 digits.

    Args:
        recipe: How.
        facts: Of teacher, student and data; anything that JSON can say.
    """
    document = {"recipe": asdict(recipe), **facts}
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:32]
