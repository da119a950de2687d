"""Families of models by name; a row is imported only when asked for, because it needs torch."""

from importlib import import_module
from typing import TYPE_CHECKING

from edge.errors import ConfigError

if TYPE_CHECKING:
    from export.checkpoint import Checkpoint
    from export.families.base import Assembly

__all__ = ["FAMILIES", "assemble"]

FAMILIES = {
    "clip": "export.families.clip:assemble",
    "siglip2": "export.families.clip:assemble",
    "chinese_clip": "export.families.clip:assemble",
    "vision_text_dual_encoder": "export.families.clip:assemble",
    "open_clip": "export.families.open_clip:assemble",
    "xclip_ms": "export.families.xclip_ms:assemble",
    "grounding_dino": "export.families.grounding_dino:assemble",
}


def assemble(checkpoint: "Checkpoint") -> "Assembly":
    """Take ``checkpoint`` apart into the graphs and facts of a bundle.

    Raises:
        ConfigError: No family of that name.
        ModelError: The checkpoint holds something that a bundle cannot express.
    """
    if checkpoint.family not in FAMILIES:
        raise ConfigError(
            f"Unknown family {checkpoint.family!r}; expected one of {', '.join(sorted(FAMILIES))}."
        )
    module, _, attribute = FAMILIES[checkpoint.family].partition(":")
    assembly: Assembly = getattr(import_module(module), attribute)(checkpoint)
    return assembly
