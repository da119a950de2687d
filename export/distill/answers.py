"""What the teacher said of each picture in each view, kept on disk: it is asked once.

A teacher costs many times its student, and training passes over the data many times. So every view
of a picture (``augment.draw``) is shown to it once, and its embedding and maps are kept as
safetensors, in blocks. Blocks appear by a rename, so a run that was broken off goes on behind the
last whole one; their folder is named by all that decides them.
"""

import errno
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from edge.errors import ModelError
from edge.preprocess import Preprocessor
from export.distill import augment
from export.distill.pictures import PictureSet
from export.distill.teacher import Answers, Teacher

# Pictures in a file: 29 MB of CLIP ViT-B/16's.
_BLOCK: Final = 64
_BATCH: Final = 8


class AnswerCache:
    """Answers by picture and view, memory-mapped.

    Args:
        folder: Holds the blocks, all of them.
        pictures: How many there are.
        maps: How many maps an answer has.
    """

    def __init__(self, folder: Path, pictures: int, maps: int) -> None:
        self.folder = folder
        self._pictures = pictures
        self._maps = maps
        self._open: dict[Path, Any] = {}

    def __getitem__(self, place: tuple[int, int]) -> Answers:
        """Answers [1, ...] to a picture's view: (index of the picture, view)."""
        picture, view = place
        block, row = divmod(picture, _BLOCK)
        path = block_path(self.folder, view, block)
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

    def embeddings(self, pictures: Sequence[int], view: int) -> NDArray[np.float32]:
        """float32 [B, D] of these pictures in one view."""
        return np.concatenate([self[picture, view].embedding for picture in pictures])


def answer(
    teacher: Teacher,
    pictures: PictureSet,
    views: int,
    seed: int,
    folder: Path,
    progress: Progress | None = None,
) -> AnswerCache:
    """Ask the teacher whatever it was not yet asked.

    Args:
        teacher: Open.
        pictures: All of them, held-out ones too.
        views: Of each picture; the first is the picture itself.
        seed: Of the views.
        folder: Where caches lie, each in a folder of its own.
        progress: Shows how far it is.

    Raises:
        ModelError: The disk is full, or refuses; what is whole stays.
    """
    home = folder / cache_key(teacher, pictures, seed)
    cache = AnswerCache(home, len(pictures), len(teacher.shapes))
    wanted = [
        (view, block)
        for view in range(views)
        for block in range(-(-len(pictures) // _BLOCK))
        if not block_path(home, view, block).exists()
    ]
    task = None if progress is None else progress.add_task("ask the teacher", total=len(wanted))
    preprocess = Preprocessor(teacher.image)
    for view, block in wanted:
        members = range(block * _BLOCK, min((block + 1) * _BLOCK, len(pictures)))
        _write(block_path(home, view, block), _asked(teacher, pictures, preprocess, members, view, seed))
        if progress is not None and task is not None:
            progress.advance(task)
    return cache


def cache_key(teacher: Teacher, pictures: PictureSet, seed: int) -> str:
    """What decides the answers, as a hash of 32 digits."""
    facts = {
        "teacher": teacher.bundle.hash,
        "layers": teacher.layers,
        "shapes": [(shape.channels, shape.rows, shape.columns) for shape in teacher.shapes],
        "pictures": pictures.digest,
        "seed": seed,
        "augment": hashlib.sha256(Path(augment.__file__).read_bytes()).hexdigest(),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def block_path(folder: Path, view: int, block: int) -> Path:
    """Where a block of a view lies."""
    return folder / f"view{view:03d}-{block:06d}.safetensors"


def _asked(  # noqa: PLR0913, PLR0917 what one block takes
    teacher: Teacher,
    pictures: PictureSet,
    preprocess: Preprocessor,
    members: range,
    view: int,
    seed: int,
) -> dict[str, NDArray[Any]]:
    def seen(index: int) -> NDArray[np.int8]:
        picture = pictures[index]
        return augment.pixels(
            augment.apply(picture.rgb, augment.draw(seed, picture.key, view)), preprocess
        )

    found = []
    for start in range(members.start, members.stop, _BATCH):
        rows = [seen(index) for index in range(start, min(start + _BATCH, members.stop))]
        found.append(teacher.ask(np.stack(rows)))
    tensors: dict[str, NDArray[Any]] = {
        f"map{index}": np.concatenate([one.maps[index] for one in found])
        for index in range(len(teacher.shapes))
    }
    return tensors | {"embedding": np.concatenate([one.embedding for one in found])}


def _write(path: Path, tensors: dict[str, NDArray[Any]]) -> None:
    partial = path.with_suffix(f".partial-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(save(tensors))
        partial.replace(path)
    except OSError as exc:
        partial.unlink(missing_ok=True)
        remedy = "free some space" if exc.errno == errno.ENOSPC else "check the folder"
        raise ModelError(
            f"{path.parent}: expected to keep what the teacher said there, found: {exc.strerror}; "
            f"{remedy} or choose another --work; what is whole is kept"
        ) from exc
