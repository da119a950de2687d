"""Makes the batches of training: inputs of the student with the answers of the teacher.

Of pictures whose embeddings by the teacher are nearly equal, one is trained on. Pictures from one
source (a video, a file in a folder) are either all trained on or all held out.
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

# Fewest pictures that say something about a student.
_FEWEST: Final = 8


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """A step of training or a part of it, B pictures.

    Attributes:
        pixels: Inputs of the student, int8 [B, 3, H, W].
        embedding: Embeddings by the teacher, float32 [B, D].
        maps: Maps of the teacher's layers, float16 [B, C, rows, columns] each.
        captions: Embeddings of the captions, float32 [B, D]; [B, 0] without captions.
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
        """Parts of this batch, of at most ``size`` pictures each."""
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
class TrainingSet:
    """Pictures, the teacher's answers and everything else that a student learns from.

    Attributes:
        pictures: The prepared set.
        train: Indices of the pictures that are trained on, without near-duplicates.
        held_out: Indices of the held-out pictures.
        plain: Answers of the teacher to the pictures themselves.
        varied: Answers of the teacher to the variations of ``train``.
        bank: Embeddings of the bank's sentences by the teacher, float32 [K, D].
        captions: Embeddings of the captions, float32 [pictures, D]; None unless every picture has
            a caption.
        scale: Factor on cosines before a softmax.
        seed: Seed of the variations and of the order.
        variations: Variations of each picture, besides the picture itself.
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


def gather_training_set(
    teacher: Teacher, pictures: PictureSet, recipe: Recipe, folder: Path, progress: Progress
) -> TrainingSet:
    """Run the teacher on the pictures, and divide them into training and held-out pictures.

    Args:
        teacher: The open teacher.
        pictures: The prepared set.
        recipe: Recipe of the training.
        folder: Folder of the teacher's answers.
        progress: Display that is advanced per block of answers.

    Raises:
        ConfigError: There are too few pictures.
        ModelError: The disk cannot be written.
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
    return TrainingSet(
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
    """Indices of the training pictures and of the held-out ones, about ``share`` of the sources.

    Frames of one video (``clip.mp4@12.500``) are one source. Only the name of a source decides
    whether it is held out, so added pictures do not move others.
    """
    inside: list[int] = []
    outside: list[int] = []
    for index, key in enumerate(keys):
        source = key.partition("@")[0]
        drawn = int.from_bytes(hashlib.sha256(source.encode(errors="surrogatepass")).digest()[:4])
        (outside if drawn < share * 2**32 else inside).append(index)
    return inside, outside


def order(training_set: TrainingSet, epoch: int, batch: int) -> list[list[tuple[int, int]]]:
    """Steps of an epoch, each with ``batch`` pairs of (picture, number of its variation).

    Every process and every run gets the same steps. Pictures beyond the last full batch are left
    out.
    """
    generator = np.random.default_rng([training_set.seed, epoch])
    shuffled = generator.permutation(np.asarray(training_set.train))
    numbers = (np.arange(len(shuffled)) + epoch) % (training_set.variations + 1)
    pairs = [
        (int(p), int(n)) for p, n in zip(shuffled, generator.permutation(numbers), strict=True)
    ]
    return [pairs[at : at + batch] for at in range(0, len(pairs) - batch + 1, batch)]


class _Seen(Dataset[dict[str, Any]]):
    """Inputs of the student by (index of the picture, number of the variation)."""

    def __init__(self, training_set: TrainingSet, spec: ImageSpec) -> None:
        self._training_set = training_set
        self._spec = spec
        self._preprocess: Preprocessor | None = None

    def __getitem__(self, asked: tuple[int, int]) -> dict[str, Any]:
        training_set, (picture, number) = self._training_set, asked
        if self._preprocess is None:  # it cannot be pickled
            self._preprocess = Preprocessor(self._spec)
        answers = (training_set.varied if number else training_set.plain)[picture, number]
        rgb = varied(training_set.pictures[picture], training_set.seed, number)
        caption = (
            np.empty(0, np.float32)
            if training_set.captions is None
            else training_set.captions[picture]
        )
        return {
            "pixels": augment.pixels(rgb, self._preprocess),
            "embedding": answers.embedding[0],
            "maps": [one[0] for one in answers.maps],
            "captions": caption,
        }


def batches(
    training_set: TrainingSet,
    spec: ImageSpec,
    steps: Sequence[Sequence[tuple[int, int]]],
    workers: int = 0,
) -> Iterator[Batch]:
    """Yield one ``Batch`` for each of ``steps``.

    Args:
        training_set: Training set of the student.
        spec: Input format of the student.
        steps: Pairs of (picture, number of its variation) of each step.
        workers: Processes that prepare pictures; 0 prepares them in this process.
    """
    loader = DataLoader(
        _Seen(training_set, spec),
        batch_sampler=[list(step) for step in steps],
        num_workers=workers,
        # Forked workers would inherit locks that threads of the runtimes hold, without the threads.
        multiprocessing_context="spawn" if workers else None,
        collate_fn=_collate,
        # A loader draws one number from its generator. Drawn from the global generator, it would
        # change the training's random numbers after a restart.
        generator=torch.Generator(),
    )
    yield from loader


def _collate(rows: Sequence[dict[str, Any]]) -> Batch:
    def stacked(name: str) -> Tensor:
        return torch.from_numpy(np.stack([row[name] for row in rows]))

    count = len(rows[0]["maps"])
    maps = [torch.from_numpy(np.stack([row["maps"][i] for row in rows])) for i in range(count)]
    return Batch(stacked("pixels"), stacked("embedding"), maps, stacked("captions"))
