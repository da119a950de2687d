"""Keeps a teacher's answers to each variation of each picture on disk, so that it runs once.

A teacher costs many times its student, and training passes over the data many times. So the teacher
runs once on every variation of a picture (``augment.draw``), and its embedding and maps are kept as
safetensors, in blocks. A rename publishes each block, so an interrupted run continues after the
last complete block. The name of the folder is a hash of everything that decides the answers.
"""

import errno
import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from edge.errors import ModelError
from edge.video.preprocess import Preprocessor
from export.cache.key import source_digest
from export.distill.data import augment
from export.distill.data.pictures import Picture, PictureSet
from export.distill.teacher import Answers, Teacher

# Pictures in a block. Answers of CLIP ViT-B/16 take 29 MB per block.
_BLOCK: Final = 64
_BATCH: Final = 8  # pictures in a run of the teacher


class AnswerCache:
    """Answers by picture and variation, memory-mapped.

    Args:
        folder: Folder that holds all blocks.
        members: Indices of the answered pictures, in the order of the blocks.
        maps: Number of maps in an answer.
    """

    def __init__(self, folder: Path, members: Sequence[int], maps: int) -> None:
        self.folder = folder
        self._places = {picture: place for place, picture in enumerate(members)}
        self._maps = maps
        self._open: dict[Path, Any] = {}

    def __getitem__(self, asked: tuple[int, int]) -> Answers:
        """Answers [1, ...] for (index of the picture, number of its variation).

        Raises:
            ModelError: The block is missing or damaged.
        """
        picture, number = asked
        block, row = divmod(self._places[picture], _BLOCK)
        path = block_path(self.folder, number, block)
        if path not in self._open:
            try:
                self._open[path] = safe_open(path, "numpy")
            except (OSError, SafetensorError) as exc:
                raise ModelError(
                    f"{path}: expected what the teacher said, found: {exc}; remove the file and "
                    "start again"
                ) from exc
        file = self._open[path]

        def rows(name: str) -> NDArray[Any]:
            return np.asarray(file.get_slice(name)[row : row + 1])

        return Answers(rows("embedding"), tuple(rows(f"map{i}") for i in range(self._maps)))

    def embeddings(self, pictures: Sequence[int], number: int = 0) -> NDArray[np.float32]:
        """Embeddings of these pictures in one variation, float32 [B, D]."""
        return np.concatenate([self[picture, number].embedding for picture in pictures])

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_open": {}}  # another process maps the files itself


def answer(
    teacher: Teacher,
    pictures: PictureSet,
    members: Sequence[int],
    numbers: range,
    seed: int,
    folder: Path,
    progress: Progress | None = None,
) -> AnswerCache:
    """Run the teacher on the variations whose answers are not on disk yet, and return all answers.

    Args:
        teacher: The open teacher.
        pictures: The prepared set.
        members: Indices of the pictures to answer.
        numbers: Numbers of their variations; 0 is the picture itself.
        seed: Seed of the variations.
        folder: Parent of all caches; each cache has its own folder.
        progress: Display that is advanced per block.

    Raises:
        ModelError: The disk is full or cannot be written. Complete blocks are kept.
    """
    home = folder / cache_key(teacher, pictures, members, seed)
    blocks = range(-(-len(members) // _BLOCK))
    wanted = [
        (number, block)
        for number in numbers
        for block in blocks
        if not block_path(home, number, block).exists()
    ]
    shown = progress or Progress(disable=True)
    task = shown.add_task("ask the teacher", total=len(wanted))
    preprocess = Preprocessor(teacher.image)
    for number, block in wanted:
        tensors: list[Answers] = []
        chosen = members[block * _BLOCK : (block + 1) * _BLOCK]
        for start in range(0, len(chosen), _BATCH):
            rows = [
                augment.pixels(varied(pictures[index], seed, number), preprocess)
                for index in chosen[start : start + _BATCH]
            ]
            tensors.append(teacher.ask(np.stack(rows)))
        _write(block_path(home, number, block), _joined(tensors))
        shown.advance(task)
    return AnswerCache(home, members, len(teacher.shapes))


def varied(picture: Picture, seed: int, number: int) -> NDArray[np.uint8]:
    """Variation of a picture, uint8 [h, w, 3]."""
    return augment.apply(picture.rgb, augment.draw(seed, picture.key, number))


def cache_key(teacher: Teacher, pictures: PictureSet, members: Sequence[int], seed: int) -> str:
    """Hash of everything that decides the answers, 32 hexadecimal digits."""
    facts = {
        "teacher": teacher.bundle.hash,
        "layers": teacher.layers,
        "shapes": [(shape.channels, shape.rows, shape.columns) for shape in teacher.shapes],
        "pictures": pictures.digest,
        "members": list(members),
        "seed": seed,
        "augment": source_digest(Path(augment.__file__)),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def block_path(folder: Path, number: int, block: int) -> Path:
    """Path of a block of a variation."""
    return folder / f"variation{number:03d}-{block:06d}.safetensors"


def _joined(found: Sequence[Answers]) -> dict[str, NDArray[Any]]:
    maps = {
        f"map{index}": np.concatenate([one.maps[index] for one in found])
        for index in range(len(found[0].maps))
    }
    return maps | {"embedding": np.concatenate([one.embedding for one in found])}


def _write(path: Path, tensors: dict[str, NDArray[Any]]) -> None:
    partial = path.with_suffix(f".partial-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(save(tensors))
        partial.replace(path)
    except OSError as exc:
        with suppress(OSError):  # the folder itself may be a file
            partial.unlink()
        remedy = "free some space" if exc.errno == errno.ENOSPC else "check the folder"
        raise ModelError(
            f"{path.parent}: expected to keep what the teacher said there, found: {exc.strerror}; "
            f"{remedy} or choose another --work; what is whole is kept"
        ) from exc
