"""What a training step takes: pictures as the student sees them, beside what the teacher said.

Pictures that look alike to the teacher are one picture, and what comes from one video or folder
item never lies on both sides of the line between training and held-out.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from edge.errors import ConfigError
from edge.model.bundle.manifest import ImageSpec
from edge.video.preprocess import Preprocessor
from export.distill.data import augment, bank
from export.distill.data.answers import AnswerCache, answer, varied
from export.distill.data.pictures import PictureSet, spread_out
from export.distill.recipe import Recipe
from export.distill.teacher import Teacher

# Fewer say nothing about a student.
_FEWEST: Final = 8


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """A part of a step, B pictures.

    Attributes:
        pixels: int8 [B, 3, H, W], of the student.
        embedding: float32 [B, D], of the teacher.
        maps: float16 [B, C, rows, columns] each, of the teacher.
        captions: float32 [B, D], vectors of what people wrote; empty [B, 0] without captions.
    """

    pixels: Tensor
    embedding: Tensor
    maps: list[Tensor]
    captions: Tensor

    def to(self, device: torch.device) -> "Batch":
        return Batch(
            self.pixels.to(device),
            self.embedding.to(device),
            [one.to(device) for one in self.maps],
            self.captions.to(device),
        )

    def split(self, size: int) -> list["Batch"]:
        """Parts of at most ``size`` pictures."""
        places = range(0, len(self.pixels), size)
        return [
            Batch(
                self.pixels[at : at + size],
                self.embedding[at : at + size],
                [one[at : at + size] for one in self.maps],
                self.captions[at : at + size],
            )
            for at in places
        ]


@dataclass(frozen=True, slots=True, eq=False)
class Lessons:
    """All that is taught.

    Attributes:
        pictures: The set.
        train: Indices of pictures that are trained on, without near-duplicates.
        held_out: Indices of those that are not.
        plain: The teacher's answers to the pictures themselves.
        varied: Its answers to the variations of ``train``.
        bank: Sentences in the teacher's space, float32 [K, D].
        captions: float32 [pictures, D]; None where not all pictures have one.
        scale: Of cosines.
        seed: Of variations and order.
        variations: Of each picture beside itself.
    """

    pictures: PictureSet
    train: tuple[int, ...]
    held_out: tuple[int, ...]
    plain: AnswerCache
    varied: AnswerCache
    bank: NDArray[np.float32]
    captions: NDArray[np.float32] | None
    scale: float
    seed: int
    variations: int


def gather_lessons(
    teacher: Teacher, pictures: PictureSet, recipe: Recipe, folder: Path, progress: Progress
) -> Lessons:
    """Ask the teacher, and divide the pictures.

    Args:
        teacher: Open.
        pictures: The set.
        recipe: Says how.
        folder: Where the teacher's answers are kept.
        progress: Shows how far it is.

    Raises:
        ConfigError: Too few pictures.
        ModelError: The disk refuses.
    """
    everything = range(len(pictures))
    plain = answer(teacher, pictures, everything, range(1), recipe.seed, folder, progress)
    inside, outside = divide(pictures.keys, recipe.held_out)
    found = plain.embeddings(inside) if inside else np.empty((0, 0), np.float32)
    train = tuple(inside[i] for i in spread_out(found, len(inside), recipe.min_distance))
    if min(len(train), len(outside)) < _FEWEST:
        raise ConfigError(
            f"expected at least {_FEWEST} pictures to train on that are not alike and {_FEWEST} "
            f"held out, found {len(train)} and {len(outside)} in {pictures.folder}; add pictures, "
            "or videos of other cameras"
        )
    numbers = range(1, recipe.variations + 1)
    written = (
        [pictures[index].caption for index in everything] if recipe.weights.contrastive else []
    )
    whole = [caption for caption in written if caption]
    return Lessons(
        pictures=pictures,
        train=train,
        held_out=tuple(outside),
        plain=plain,
        varied=answer(teacher, pictures, train, numbers, recipe.seed, folder, progress),
        bank=teacher.sentences(bank.sentences()),
        captions=teacher.sentences(whole) if written and len(whole) == len(written) else None,
        scale=recipe.scale or teacher.logit_scale,
        seed=recipe.seed,
        variations=recipe.variations,
    )


def divide(keys: Sequence[str], share: float) -> tuple[list[int], list[int]]:
    """Indices of pictures to train on, and of those held out: about ``share`` of the sources.

    Frames of one video (``clip.mp4@12.500``) are one source. Which side a source is on depends on
    its name alone, so added pictures move no others.
    """
    inside: list[int] = []
    outside: list[int] = []
    for index, key in enumerate(keys):
        source = key.partition("@")[0]
        drawn = int.from_bytes(hashlib.sha256(source.encode(errors="surrogatepass")).digest()[:4])
        (outside if drawn < share * 2**32 else inside).append(index)
    return inside, outside


def order(lessons: Lessons, epoch: int, batch: int) -> list[list[tuple[int, int]]]:
    """The steps of an epoch: (picture, number of its variation) each, ``batch`` of them.

    The same for each process and each run. What is left over after whole batches is left out.
    """
    generator = np.random.default_rng([lessons.seed, epoch])
    shuffled = generator.permutation(np.asarray(lessons.train))
    numbers = (np.arange(len(shuffled)) + epoch) % (lessons.variations + 1)
    pairs = [
        (int(p), int(n)) for p, n in zip(shuffled, generator.permutation(numbers), strict=True)
    ]
    return [pairs[at : at + batch] for at in range(0, len(pairs) - batch + 1, batch)]


class _Seen(Dataset[dict[str, Any]]):
    """Pictures by (index, number of the variation), as the student takes them."""

    def __init__(self, lessons: Lessons, spec: ImageSpec) -> None:
        self._lessons = lessons
        self._spec = spec
        self._preprocess: Preprocessor | None = None

    def __getitem__(self, asked: tuple[int, int]) -> dict[str, Any]:
        lessons, (picture, number) = self._lessons, asked
        if self._preprocess is None:  # it cannot be sent to another process
            self._preprocess = Preprocessor(self._spec)
        answers = (lessons.varied if number else lessons.plain)[picture, number]
        rgb = varied(lessons.pictures[picture], lessons.seed, number)
        told = np.empty(0, np.float32) if lessons.captions is None else lessons.captions[picture]
        return {
            "pixels": augment.pixels(rgb, self._preprocess),
            "embedding": answers.embedding[0],
            "maps": [one[0] for one in answers.maps],
            "captions": told,
        }


def batches(
    lessons: Lessons, spec: ImageSpec, steps: Sequence[Sequence[tuple[int, int]]], workers: int = 0
) -> Iterator[Batch]:
    """One ``Batch`` for each of ``steps``.

    Args:
        lessons: What is taught.
        spec: Of the student's pictures.
        steps: Pictures and variations of each.
        workers: Processes that prepare pictures beside this one.
    """
    loader = DataLoader(
        _Seen(lessons, spec),
        batch_sampler=[list(step) for step in steps],
        num_workers=workers,
        # Forked, they would hold locks of threads that they do not have: those of the runtimes.
        multiprocessing_context="spawn" if workers else None,
        collate_fn=_collate,
        # It draws a number of each loader: one of the training's would be missing after a restart.
        generator=torch.Generator(),
    )
    yield from loader


def _collate(rows: Sequence[dict[str, Any]]) -> Batch:
    def stacked(name: str) -> Tensor:
        return torch.from_numpy(np.stack([row[name] for row in rows]))

    count = len(rows[0]["maps"])
    maps = [torch.from_numpy(np.stack([row["maps"][i] for row in rows])) for i in range(count)]
    return Batch(stacked("pixels"), stacked("embedding"), maps, stacked("captions"))
