"""Measures the cost and the recall of the local index at full size.

Run ``python -m benchmarks.studies.index``. The cameras are synthetic, but they have the properties
that make searching hard: all embeddings share an offset, those of one camera share another that
drifts, frames resemble their neighbours, axes are uneven, and some hundred things come and go for
seconds to minutes. Sentences lie far from all pictures, as in a CLIP model. The found moments are
compared with the margins of the float vectors before quantisation.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.rules.bank import CompiledPrompt, PromptBank
from edge.search.index.codes import encode
from edge.search.index.format import Entry, Extent, begin_rows, row_type, write_codes
from edge.search.index.scan import BLOCK
from edge.search.index.segment import ROWS
from edge.search.index.store import Limits, Reader, Store
from edge.search.query import Page, Query, search

_CAMERAS: Final = 16
_QUERIES: Final = 10
_THINGS: Final = 200
_RIVALS: Final = 7
_BEGIN: Final = 1_700_000_000.0
_ROOM: Final = Limits(max_age_s=1e12, max_bytes=2**62)


class World:
    """Embeddings of synthetic cameras, and sentences about what they see.

    Args:
        dim: Dimension of the embeddings, D.
    """

    def __init__(self, dim: int) -> None:
        self._rng = np.random.default_rng(0)
        self._dim = dim
        self._uneven = np.exp(self._rng.normal(0, 0.7, dim)).astype(np.float32)
        self._common = self._directions(1)
        self._cameras = self._directions(_CAMERAS)
        self._things = self._directions(_THINGS)
        gap = self._directions(1)
        about = 0.6 * self._things[:_QUERIES] + 0.7 * gap + 0.3 * self._directions(_QUERIES)
        rivals = 0.05 * self._common + 0.7 * gap + 0.4 * self._directions(_RIVALS)
        self.sentences = _unit(about)
        self.rivals = _unit(rivals)

    def segment(self, camera: int) -> NDArray[np.float32]:
        """Return some hours of a camera: unit rows, float32 [ROWS, D]."""
        drift = _unit(np.cumsum(self._directions(ROWS // 256), axis=0))
        vectors = np.repeat(0.2 * drift, 256, axis=0)
        vectors += 0.7 * self._common + 0.5 * self._cameras[camera]
        at = 0
        while (at := at + int(self._rng.exponential(300))) < ROWS:
            lasts, thing = self._rng.integers(3, 60), self._things[self._rng.integers(_THINGS)]
            seen = self._rng.uniform(0.1, 0.35) * thing + 0.1 * self._directions(1)
            vectors[at : at + lasts] += seen
            at += int(lasts)
        vectors += 0.25 * self._directions(ROWS)
        return _unit(vectors)

    def bank(self, query: int) -> PromptBank:
        """Return the bank of one of the sentences."""
        rows = np.concatenate([self.sentences[query : query + 1], self.rivals])
        against = np.arange(1, 1 + _RIVALS)
        prompt = CompiledPrompt("search", "search", slice(0, 1), slice(1, 1), against, None)
        return PromptBank((prompt,), ("",) * len(rows), rows, (), "")

    def _directions(self, count: int) -> NDArray[np.float32]:
        drawn = self._rng.standard_normal((count, self._dim), dtype=np.float32)
        return _unit(drawn * self._uneven)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = vectors / lengths
    return unit


def build(folder: Path, vectors: int, dim: int) -> None:
    """Write an index of synthetic cameras, and the margins of the float vectors beside it.

    Segments are written in one piece; ``Store`` takes single embeddings (see ``append_cost``).
    """
    world, kind = World(dim), row_type(dim)
    truth = []
    for number in range(-(-vectors // ROWS)):
        camera, turn = number % _CAMERAS, number // _CAMERAS
        floats = world.segment(camera)
        best_rival = (floats @ world.rivals.T).max(axis=1, keepdims=True)
        truth.append((floats @ world.sentences.T - best_rival).T.astype(np.float32))
        rows = np.zeros(ROWS, kind)
        rows["at"] = _BEGIN + turn * ROWS + np.arange(ROWS)
        rows["scale"] = np.abs(floats).max(axis=1) / np.float32(127)
        rows["levels"] = np.rint(floats / rows["scale"][:, np.newaxis])
        place = folder / "m" / f"camera{camera:02d}" / f"{turn:08d}"
        place.mkdir(parents=True)
        with (place / "rows").open("a+b", buffering=0) as file:
            begin_rows(file, dim)
            file.write(rows.tobytes())
        extent = Extent(ROWS, float(rows["at"][0]), float(rows["at"][-1]))
        kept = rows["levels"] * rows["scale"][:, np.newaxis]
        write_codes(place / "codes", extent, rows.nbytes, encode(kept))
    np.save(folder / "truth.npy", np.stack(truth, axis=1))  # [query, segment, row]
    os.sync()


def append_cost(folder: Path, dim: int, batch: int) -> float:
    """Measure the seconds per embedding through ``Store``, in batches, including the disk."""
    vectors = World(dim).segment(0)[:2048]
    store = Store(folder, "m", dim, _ROOM)
    began = time.perf_counter()
    for start in range(0, len(vectors), batch):
        part = enumerate(vectors[start : start + batch])
        store.append("yard", [Entry(_BEGIN + start + i, start + i, row) for i, row in part])
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


def true_peaks(truth: NDArray[np.float32], count: int) -> list[tuple[int, float]]:
    """Return camera and time of the best samples, a minute apart, of margins [segments, ROWS]."""
    # One sample a second, so the Gaussian of edge.search.moments is a fixed kernel.
    kernel = np.exp(-0.5 * np.square(np.arange(-2, 3) / 0.5))
    smooth = np.apply_along_axis(np.convolve, 1, truth, kernel / kernel.sum(), "same")
    best = smooth.reshape(len(truth), -1, BLOCK)
    order = np.argsort(-best.max(axis=2), axis=None)
    peaks: list[tuple[int, float]] = []
    for flat in order:
        segment, block = divmod(int(flat), best.shape[1])
        row = block * BLOCK + int(best[segment, block].argmax())
        peak = segment % _CAMERAS, _BEGIN + segment // _CAMERAS * ROWS + row
        if all(camera != peak[0] or abs(at - peak[1]) > 60 for camera, at in peaks):
            peaks.append(peak)
        if len(peaks) == count:
            break
    return peaks


def share_found(page: Page, peaks: list[tuple[int, float]]) -> float:
    """Return the share of the true peaks that lie in a moment of the page."""
    found = [
        any(
            hit.camera == f"camera{camera:02d}" and hit.moment.start <= at <= hit.moment.end
            for hit in page.hits
        )
        for camera, at in peaks
    ]
    return sum(found) / len(found)


def forget(folder: Path) -> None:
    """Ask the kernel to drop the index from its page cache, as after a start of the machine."""
    for path in folder.rglob("*"):
        if path.name in {"rows", "codes"}:
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure_searches(folder: Path, dim: int, limit: int) -> dict[str, object]:
    """Measure time and recall of the first page of each query."""
    world, everything = World(dim), Query(0.0, 1e12, limit=limit)
    truth = np.load(folder / "truth.npy", mmap_mode="r")
    cold, warm, busy, recall = [], [], [], []
    for query in range(_QUERIES):
        bank = world.bank(query)
        forget(folder)
        reader = Reader(folder / "m", dim)
        began = time.perf_counter()
        search(reader, bank, everything)
        cold.append(time.perf_counter() - began)
        for _ in range(5):
            began = time.process_time()
            page = search(reader, bank, everything)
            busy.append(time.process_time() - began)
            warm.append(page.took_s)
        recall.append(share_found(page, true_peaks(truth[query], limit)))
    return {
        "cold_first_page_s": _spread(cold),
        "warm_first_page_s": _spread(warm),
        # CPU time of all cores together, which also holds on a machine that does other work.
        "warm_first_page_cpu_s": _spread(busy),
        "recall_of_page": round(statistics.mean(recall), 3),
        "recall_worst": min(recall),
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def _spread(seconds: list[float]) -> dict[str, float]:
    return {
        "best": round(min(seconds), 3),
        "median": round(statistics.median(seconds), 3),
        "worst": round(max(seconds), 3),
    }


def _sizes(folder: Path) -> Iterator[tuple[str, int]]:
    for name in ("rows", "codes"):
        yield name, sum(path.stat().st_size for path in folder.rglob(name)) // 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--limit", type=int, default=20, help="moments of a page")
    parser.add_argument("--folder", type=Path, default=Path("index-benchmark"))
    options = parser.parse_args()
    folder: Path = options.folder / f"{options.vectors}x{options.dim}"
    if not (folder / "truth.npy").exists():
        shutil.rmtree(folder, ignore_errors=True)
        build(folder, options.vectors, options.dim)
    result = {
        "vectors": options.vectors,
        "dim": options.dim,
        "megabytes": dict(_sizes(folder)),
        "append_us": {
            f"in batches of {batch}": round(1e6 * append_cost(folder / "t", options.dim, batch))
            for batch in (16, 256)
        },
        "seal_s": round(seal_cost(options.dim), 3),
        **measure_searches(folder, options.dim, options.limit),
    }
    print(json.dumps(result, indent=2))  # noqa: T201  the result


if __name__ == "__main__":
    main()
