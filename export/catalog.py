"""The checkpoints that are known by name: one frozen row each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """One checkpoint.

    Attributes:
        name: What it is called here, and the bundle after it.
        family: Row of ``export.families.FAMILIES``.
        hub: Repository on the Hugging Face hub.
        revision: Commit of that repository; None where none is pinned: the current one is then
            resolved and recorded.
        licence: Of the weights, as their publisher states it.
        sizes: What differs from the defaults of the family's config class: the architecture, for
            random weights. For ``open_clip``: {"model": name of its architecture}.
        preprocessor: What ``preprocessor_config.json`` says, for random weights.
        frames: Frames per inference; 1 for models that see one frame.
        notes: What a user should know before choosing it.
    """

    name: str
    family: str
    hub: str
    revision: str | None
    licence: str
    sizes: Mapping[str, Any] = field(default_factory=dict)
    preprocessor: Mapping[str, Any] = field(default_factory=dict)
    frames: int = 1
    notes: str = ""
