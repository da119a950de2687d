"""Writes an index of synthetic cameras, and measures what writing through ``Store`` costs."""

import os
import shutil
import time
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.studies.index.world import BEGIN, CAMERAS, World
from edge.search.index.codes import encode
from edge.search.index.format import (
    Entry,
    Extent,
    begin_rows,
    checksums,
    row_type,
    write_codes,
)
from edge.search.index.segment import ROWS
from edge.search.index.store import Limits, Store

TRUTH: Final = "truth.npy"
"""File beside the index: margins of the float vectors, float32 [query, segment, row]."""
MODEL: Final = "m"
"""Folder of the index: its name stands for a model."""
_ROOM: Final = Limits(max_age_s=1e12, max_bytes=2**62)


def build(folder: Path, vectors: int, dim: int) -> None:
    """Write an index of synthetic cameras, and the margins of the float vectors beside it.

    Segments are written in one piece; ``Store`` takes single embeddings (see ``append_cost``).

    Args:
        folder: Folder of the index.
        vectors: Number of embeddings, rounded up to whole segments.
        dim: Dimension of the embeddings.
    """
    world, kind = World(dim), row_type(dim)
    truth = []
    for number in range(-(-vectors // ROWS)):
        camera, turn = number % CAMERAS, number // CAMERAS
        floats = world.segment(camera)
        best_rival = (floats @ world.rivals.T).max(axis=1, keepdims=True)
        truth.append((floats @ world.sentences.T - best_rival).T.astype(np.float32))
        rows = np.zeros(ROWS, kind)
        rows["at"] = BEGIN + turn * ROWS + np.arange(ROWS)
        rows["scale"] = np.abs(floats).max(axis=1) / np.float32(127)
        rows["levels"] = np.rint(floats / rows["scale"][:, np.newaxis])
        rows["crc"] = checksums(rows)
        place = folder / MODEL / f"camera{camera:02d}" / f"{turn:08d}"
        place.mkdir(parents=True)
        with (place / "rows").open("a+b", buffering=0) as file:
            begin_rows(file, dim)
            file.write(rows.tobytes())
        extent = Extent(ROWS, float(rows["at"][0]), float(rows["at"][-1]))
        kept = rows["levels"] * rows["scale"][:, np.newaxis]
        write_codes(place / "codes", extent, rows.nbytes, encode(kept))
    np.save(folder / TRUTH, np.stack(truth, axis=1))
    os.sync()


def append_cost(folder: Path, dim: int, batch: int) -> float:
    """Measure the seconds per embedding through ``Store``, including the disk.

    Args:
        folder: Folder of a new index, which is removed afterwards.
        dim: Dimension of the embeddings.
        batch: Embeddings per call.
    """
    vectors = World(dim).segment(0)[:2048]
    store = Store(folder, MODEL, dim, _ROOM)
    began = time.perf_counter()
    for start in range(0, len(vectors), batch):
        part = enumerate(vectors[start : start + batch])
        store.append("yard", [Entry(BEGIN + start + i, start + i, row) for i, row in part])
    took = time.perf_counter() - began
    store.close()
    shutil.rmtree(folder)
    return took / len(vectors)


def seal_cost(dim: int) -> float:
    """Measure the seconds for the codes of one segment."""
    vectors = World(dim).segment(0)
    began = time.perf_counter()
    encode(vectors)
    return time.perf_counter() - began
