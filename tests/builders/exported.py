"""Builds a tiny checkpoint of every family, and its bundle for all targets, once for all tests."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from rich.progress import Progress

if TYPE_CHECKING:
    from export.build import Built
    from export.cache.steps import StepCache

# Families and the function that saves a tiny checkpoint; imported when asked for, as torch takes
# seconds.
EXPORTED = {
    "clip": "tiny_checkpoints:tiny_clip",
    "siglip2": "tiny_checkpoints:tiny_siglip2",
    "chinese_clip": "tiny_checkpoints:tiny_chinese_clip",
    "open_clip": "tiny_checkpoints:tiny_open_clip",
    "vision_text_dual_encoder": "tiny_checkpoints:tiny_dual_encoder",
    "xclip_ms": "tiny_xclip:tiny_xclip",
    "grounding_dino": "tiny_grounding_dino:tiny_grounding_dino",
}
PICTURES = 80
# A detector is slow, and all its frames are large.
_FEWER = {"grounding_dino": 32}
_SIZE = {"grounding_dino": (64, 96)}


@dataclass
class Exports:
    """Checkpoints and bundles that were built so far, below ``root``."""

    root: Path
    built: "dict[str, Built]" = field(default_factory=dict)
    saved: dict[str, Path] = field(default_factory=dict)

    def pictures(self) -> Path:
        """A folder of pictures that differ: blocks of colours, each another grid."""
        folder = self.root / "pictures"
        if not folder.exists():
            folder.mkdir()
            generator = np.random.default_rng(7)
            for index in range(PICTURES):
                blocks = generator.integers(0, 256, (2 + index % 5, 3 + index % 7, 3), np.uint8)
                picture = Image.fromarray(blocks).resize((96, 64), Image.Resampling.NEAREST)
                picture.save(folder / f"{index:03}.png")
        return folder

    def checkpoint(self, family: str) -> Path:
        """The directory of a checkpoint."""
        if family not in self.saved:
            module, _, name = EXPORTED[family].partition(":")
            save = getattr(__import__(module, fromlist=[name]), name)
            self.saved[family] = save(self.root / "checkpoints" / family)
        return self.saved[family]

    def steps(self) -> "StepCache":
        """Return the cache of build steps."""
        from export.cache.steps import StepCache  # noqa: PLC0415

        return StepCache(self.root / "steps")

    def build(self, family: str) -> "Built":
        """Return the result of ``export.build.build`` for all targets."""
        if family not in self.built:
            from export.build import BuildRequest, build  # noqa: PLC0415 - torch takes seconds
            from export.bundle.targets import TARGETS  # noqa: PLC0415

            request = BuildRequest(
                source=str(self.checkpoint(family)),
                out=self.root / "bundles" / family,
                targets=TARGETS,
                calibration=self.pictures(),
                frames=_FEWER.get(family, PICTURES),
                size=_SIZE.get(family),
            )
            with Progress(disable=True) as progress:
                self.built[family] = build(request, progress, self.steps())
        return self.built[family]
