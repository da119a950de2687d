"""Families of models: a checkpoint goes in, the parts and facts of a bundle come out.

A family is a row of ``FAMILIES``. Its module is imported only when it is used, because it needs
torch.
"""

from importlib import import_module  # noqa: TID251  a row of FAMILIES
from typing import TYPE_CHECKING

from edge.errors import ConfigError

if TYPE_CHECKING:
    from export.checkpoints.checkpoint import Checkpoint
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

# Families whose pictures may have any size; a graph is made for one size.
RESIZABLE = {"grounding_dino"}


def assemble(checkpoint: "Checkpoint", size: tuple[int, int] | None = None) -> "Assembly":
    """Take ``checkpoint`` apart into the graphs and facts of a bundle.

    Args:
        checkpoint: The original.
        size: Height and width of the pictures, for families that leave a choice; None takes the
            family's own.

    Raises:
        ConfigError: No family has that name, or its pictures have a fixed size.
        ModelError: The checkpoint holds something that a bundle cannot express.
    """
    if checkpoint.family not in FAMILIES:
        raise ConfigError(
            f"Unknown family {checkpoint.family!r}; expected one of {', '.join(sorted(FAMILIES))}."
        )
    module, _, attribute = FAMILIES[checkpoint.family].partition(":")
    take_apart = getattr(import_module(module), attribute)
    if size is None:
        assembly: Assembly = take_apart(checkpoint)
    elif checkpoint.family in RESIZABLE:
        assembly = take_apart(checkpoint, height=size[0], width=size[1])
    else:
        raise ConfigError(
            f"expected a size for a detector ({', '.join(sorted(RESIZABLE))}), found one for "
            f"{checkpoint.family}, whose pictures have the size that it was trained at"
        )
    return assembly
