"""Makes collages, which are cut-out objects on photographs, as additional training pictures.

A teacher answers any picture, and its answer to a collage is as valid as that to a photograph.
Objects on frames of cameras teach what neither of both teaches alone: how an object looks in a
place where a camera may see it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from export.distill.data.picture_bytes import encode, read_still, rgb_of
from export.distill.data.picture_sources import PictureOptions, gather, read
from export.distill.data.training_set import divide

# Objects on one photograph.
_OBJECTS: Final = (1, 3)
# Longer side of an object over the height of the photograph.
_SIZE: Final = (0.3, 1.0)
# Kept share of the photograph's width and height.
_CROP: Final = (0.6, 1.0)


def make_collages(
    cut_outs: Path, photographs: Path, out: Path, *, each: int, held_out: float, seed: int = 0
) -> int:
    """Write ``each`` collages for every cut-out of the training set, and return their number.

    A collage shows no held-out cut-out or photograph. The name of a collage (``cat.png@0.jpg``)
    keeps it in the training set with its first cut-out (``training_set.divide``).

    Args:
        cut_outs: Folder of PNG files with transparency.
        photographs: Folder of pictures and videos.
        out: Folder of the collages.
        each: Collages per cut-out.
        held_out: Share of the sources that is held out, 0..1, as in the recipe.
        seed: Seed; the same seed makes the same collages.
    """
    objects = _trained_on(cut_outs, held_out)
    options = PictureOptions(per_video=40)
    backgrounds = [
        Image.fromarray(rgb_of(read_still(found.jpeg), options.side))
        for file, name in _trained_on(photographs, held_out)
        for outcome in read(file, name, options)
        for found in outcome.found
    ]
    opened = [(name, picture) for file, name in objects if (picture := _cut_out(file)) is not None]
    if not backgrounds or not opened:
        return 0
    for index, (name, _) in enumerate(opened):
        for number in range(each):
            random = np.random.default_rng([seed, index, number])
            others = random.integers(
                len(opened), size=random.integers(*_OBJECTS, endpoint=True) - 1
            )
            layers = [opened[other][1] for other in (index, *others)]
            background = backgrounds[random.integers(len(backgrounds))]
            path = out / f"{name}@{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode(np.asarray(collage(background, layers, random))))
    return each * len(opened)


def collage(
    background: Image.Image, layers: Sequence[Image.Image], random: np.random.Generator
) -> Image.Image:
    """Paste objects on a part of a photograph, the first object on top.

    Args:
        background: Photograph, RGB.
        layers: Objects, RGBA.
        random: Source of the part, the sizes, the places and the mirroring.

    Returns:
        Collage, RGB, as large as ``background``.
    """
    width, height = background.size
    columns, rows = (max(1, int(side * random.uniform(*_CROP))) for side in background.size)
    left, top = int(random.integers(width - columns + 1)), int(random.integers(height - rows + 1))
    part = (left, top, left + columns, top + rows)
    canvas = _turned(background.resize((width, height), box=part), random)
    for layer in reversed(layers):
        scale = height * random.uniform(*_SIZE) / max(layer.size)
        scaled = _turned(layer.resize([max(1, round(side * scale)) for side in layer.size]), random)
        # The middle of the object lies inside the photograph.
        place = [
            int(random.integers(side)) - own // 2
            for side, own in zip(canvas.size, scaled.size, strict=True)
        ]
        canvas.paste(scaled, (place[0], place[1]), scaled)
    return canvas


def _turned(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    """Return the picture, mirrored with a probability of one half."""
    return ImageOps.mirror(picture) if random.random() < 0.5 else picture


def _cut_out(file: Path) -> Image.Image | None:
    """Cut-out as RGBA; None if the file has no transparency or is no picture."""
    try:
        with Image.open(file) as picture:
            return picture.convert("RGBA") if picture.has_transparency_data else None
    except UnidentifiedImageError:
        return None


def _trained_on(folder: Path, held_out: float) -> list[tuple[Path, str]]:
    """Files and names of the pictures and videos that are not held out."""
    named = sorted(gather([folder]).items(), key=lambda item: item[1])
    inside, _ = divide([name for _, name in named], held_out)
    return [named[index] for index in inside]
