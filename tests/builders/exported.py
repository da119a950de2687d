"""Builds a tiny checkpoint of every family, and its bundle for all targets, once for all tests."""

import fcntl
import json
import shutil
from collections.abc import Callable
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
    """Checkpoints and bundles below ``root``, which processes share: one builds, the others wait.

    Attributes:
        root: Folder of all that is built.
        opened: Bundles that this process has asked for.
    """

    root: Path
    opened: "dict[str, Built]" = field(default_factory=dict)

    def pictures(self) -> Path:
        """A folder of pictures that differ: blocks of colours, each another grid."""
        return self._once("pictures", _draw_pictures)

    def checkpoint(self, family: str) -> Path:
        """The directory of a checkpoint."""
        module, _, name = EXPORTED[family].partition(":")

        def save(path: Path) -> None:
            getattr(__import__(module, fromlist=[name]), name)(path)

        return self._once(f"checkpoints/{family}", save)

    def steps(self) -> "StepCache":
        """Return the cache of build steps."""
        from export.cache.steps import StepCache  # noqa: PLC0415

        return StepCache(self.root / "steps")

    def build(self, family: str) -> "Built":
        """Return the result of ``export.build.build`` for all targets."""
        if family not in self.opened:
            from edge.model.bundle.read import open_bundle  # noqa: PLC0415
            from export.build import Built  # noqa: PLC0415 - torch takes seconds

            path = self._once(f"built/{family}", lambda made: self._build(family, made))
            told = json.loads((path / "told.json").read_text())
            left_out, notes = told["left_out"], tuple(told["notes"])
            self.opened[family] = Built(open_bundle(path / "bundle"), left_out, notes)
        return self.opened[family]

    def _build(self, family: str, made: Path) -> None:
        from export.build import BuildRequest, build  # noqa: PLC0415 - torch takes seconds
        from export.bundle.targets import TARGETS  # noqa: PLC0415

        request = BuildRequest(
            source=str(self.checkpoint(family)),
            out=made / "bundle",
            targets=TARGETS,
            calibration=self.pictures(),
            frames=_FEWER.get(family, PICTURES),
            size=_SIZE.get(family),
        )
        with Progress(disable=True) as progress:
            built = build(request, progress, self.steps())
        told = {"left_out": {k: list(v) for k, v in built.left_out.items()}, "notes": built.notes}
        (made / "told.json").write_text(json.dumps(told))

    def _once(self, name: str, make: Callable[[Path], object]) -> Path:
        """Have a folder made by the first process that asks for it."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        done = Path(f"{path}.done")
        with Path(f"{path}.lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(path, ignore_errors=True)  # of a test that was interrupted
                make(path)
                done.touch()
        return path


def _draw_pictures(folder: Path) -> None:
    folder.mkdir()
    generator = np.random.default_rng(7)
    for index in range(PICTURES):
        blocks = generator.integers(0, 256, (2 + index % 5, 3 + index % 7, 3), np.uint8)
        picture = Image.fromarray(blocks).resize((96, 64), Image.Resampling.NEAREST)
        picture.save(folder / f"{index:03}.png")
