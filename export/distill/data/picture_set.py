"""Reads and writes a prepared set of pictures on disk.

A set holds JPEG files as tensors of bytes in a few large safetensors files, which are memory-mapped
for random access, and ``pictures.json``, the index of the pictures and their places.
"""

import hashlib
import json
import logging
import os
from collections.abc import Container, Mapping
from dataclasses import dataclass
from operator import index as whole
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from edge.errors import ModelError, SourceError
from export.distill.data.picture_bytes import read_still, rgb_of
from export.distill.data.picture_sources import FoundPicture

_log = logging.getLogger(__name__)

INDEX: Final = "pictures.json"
FORMAT: Final = "pictures/1"
"""Version of the format. A change of a set's content raises it, so that old sets are rebuilt."""
_SHARD_BYTES: Final = 256 * 2**20


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One picture of a set.

    Attributes:
        key: Name of the picture, unique in the set and stable between runs.
        rgb: Pixels, uint8 [H, W, 3].
        caption: Description in one line, or None.
    """

    key: str
    rgb: NDArray[np.uint8]
    caption: str | None


class _Index(BaseModel):
    """Content of ``pictures.json``; a picture's entry is key, caption, file, place in the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["pictures/1"]
    fingerprint: str
    digest: str
    shards: tuple[tuple[str, int], ...]
    skipped: dict[str, str]
    pictures: tuple[tuple[str, str | None, int, int], ...]


class PictureSet:
    """Pictures on disk with random access: ``len(pictures)``, ``pictures[7]``.

    It can be pickled; the other process opens the files itself.

    Args:
        folder: Folder written by ``prepare``.

    Attributes:
        folder: Folder of the set.
        keys: Names of all pictures, ascending; the order of the pictures.
        skipped: Reason why a file or a sample is missing, wholly or partly, by its name.
        digest: SHA-256 over keys, captions and bytes of the pictures, 64 hexadecimal digits. Names
            of files derived from the set contain it.
        fingerprint: Hash of the sources and options that the set was made from.

    Raises:
        ModelError: There is no such set, or it is damaged.
    """

    def __init__(self, folder: Path) -> None:
        index = _read_index(folder)
        self.folder = folder
        self.keys = tuple(key for key, *_ in index.pictures)
        self.skipped: Mapping[str, str] = MappingProxyType(index.skipped)
        self.digest = index.digest
        self.fingerprint = index.fingerprint
        self._index = index
        self._open: dict[int, Any] = {}

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> Picture:
        """Return a picture.

        Raises:
            IndexError: The index is out of range.
            ModelError: The picture is damaged.
        """
        key, caption, shard, place = self._index.pictures[whole(index)]
        try:
            if shard not in self._open:
                path = self.folder / self._index.shards[shard][0]
                self._open[shard] = safe_open(path, framework="np")
            jpeg = self._open[shard].get_tensor(str(place)).tobytes()
            frame = read_still(jpeg)
        except (OSError, SafetensorError, SourceError) as exc:
            raise _damaged(self.folder, f"{key}: {exc}") from exc
        return Picture(key, rgb_of(frame, max(frame.width, frame.height)), caption)

    def __reduce__(self) -> tuple[type["PictureSet"], tuple[Path]]:
        return PictureSet, (self.folder,)


def open_pictures(folder: Path) -> PictureSet:
    """Open a set that ``prepare`` has written.

    Raises:
        ModelError: There is no such set, or it is damaged.
    """
    return PictureSet(folder)


class SetWriter:
    """Writes a set into a new folder, with at most the pictures of one shard in memory.

    Args:
        folder: Folder to create.

    Attributes:
        skipped: Reasons for the files and samples skipped so far, by name.

    Raises:
        OSError: The disk cannot be written. Every method raises it.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self.skipped: dict[str, str] = {}
        self._pictures: dict[str, tuple[str | None, int, int, str]] = {}
        self._shards: list[tuple[str, int]] = []
        self._waiting: list[bytes] = []
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._pictures)

    def add(self, found: FoundPicture) -> None:
        """Add a picture; a key that is taken gets a number."""
        if self._bytes + len(found.jpeg) > _SHARD_BYTES:
            self._write_shard()
        sha256 = hashlib.sha256(found.jpeg).hexdigest()
        place = (found.caption, len(self._shards), len(self._waiting), sha256)
        self._pictures[_unique(found.key, self._pictures)] = place
        self._waiting.append(found.jpeg)
        self._bytes += len(found.jpeg)

    def skip(self, key: str, problem: str) -> None:
        """Record and log a file or sample that is missing, wholly or partly."""
        _log.warning("distillation skips %s: %s", key, problem)
        self.skipped[_unique(key, self.skipped)] = problem

    def finish(self, fingerprint: str) -> None:
        """Write the last shard and the index.

        Args:
            fingerprint: Hash of the sources and options, by which the set is recognised later.
        """
        self._write_shard()
        pictures = sorted(self._pictures.items())
        facts = [(key, caption, sha256) for key, (caption, _, _, sha256) in pictures]
        index = _Index(
            format=FORMAT,
            fingerprint=fingerprint,
            digest=hashlib.sha256(json.dumps(facts).encode()).hexdigest(),
            shards=tuple(self._shards),
            skipped=self.skipped,
            pictures=tuple(
                (key, caption, shard, place) for key, (caption, shard, place, _) in pictures
            ),
        )
        self._write(INDEX, index.model_dump_json().encode())

    def _write_shard(self) -> None:
        if not self._waiting:
            return
        name = f"pictures-{len(self._shards):05}.safetensors"
        tensors = {
            str(place): np.frombuffer(jpeg, np.uint8) for place, jpeg in enumerate(self._waiting)
        }
        data = save(tensors)
        self._write(name, data)
        self._shards.append((name, len(data)))
        self._waiting, self._bytes = [], 0

    def _write(self, name: str, data: bytes) -> None:
        with (self._folder / name).open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())


def _read_index(folder: Path) -> _Index:
    try:
        index = _Index.model_validate_json((folder / INDEX).read_bytes())
        sizes = {name: (folder / name).stat().st_size for name, _ in index.shards}
    except FileNotFoundError as exc:
        missing = Path(exc.filename).name
        raise _damaged(folder, f"no {missing}") from exc
    except OSError as exc:
        raise _damaged(folder, str(exc.strerror)) from exc
    except ValidationError as exc:
        raise _damaged(folder, f"an {INDEX} that says something else: {exc}") from exc
    if any(not 0 <= shard < len(index.shards) for _, _, shard, _ in index.pictures):
        raise _damaged(folder, f"an {INDEX} with a picture in a file that it does not list")
    for name, size in index.shards:
        if sizes[name] != size:
            raise _damaged(folder, f"{name} with {sizes[name]} bytes instead of {size}")
    return index


def _damaged(folder: Path, found: str) -> ModelError:
    return ModelError(
        f"{folder}: expected a prepared set of pictures, found {found}; remove it and prepare it "
        "again"
    )


def _unique(key: str, taken: Container[str]) -> str:
    """Key, with a number if it is taken: files of two folders, or samples, may share a name."""
    number, name = 1, key
    while name in taken:
        number += 1
        name = f"{key}#{number}"
    return name
