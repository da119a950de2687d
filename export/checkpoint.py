"""A checkpoint, opened: from the hub, from a directory, or the same architecture at random."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from edge.manifest import Origin
from export.catalog import Row


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A model with what belongs to it.

    Attributes:
        name: What the bundle will be called.
        family: Row of ``export.families.FAMILIES``.
        model: The original, float32, in eval mode.
        config: Its Hugging Face config; None for open_clip.
        tokenizer: ``tokenizer.json``.
        preprocessor: What ``preprocessor_config.json`` says (open_clip: its ``preprocess_cfg``).
        origin: Where the weights came from.
        row: Its row of the catalogue; None for a directory that has none.
        directory: Where its files lie; None for random weights.
    """

    name: str
    family: str
    model: torch.nn.Module
    config: Any
    tokenizer: bytes
    preprocessor: Mapping[str, Any]
    origin: Origin
    row: Row | None
    directory: Path | None
