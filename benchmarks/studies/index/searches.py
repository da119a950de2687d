"""Measures searches in an index: time, memory, and recall against float vectors."""

import os
import resource
import statistics
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.studies.index.build import MODEL, TRUTH
from benchmarks.studies.index.world import BEGIN, CAMERAS, QUERIES, World
from edge.search.index.scan import BLOCK
from edge.search.index.segment import ROWS
from edge.search.index.store import Reader
from edge.search.query import Page, Query, search


def true_peaks(truth: NDArray[np.float32], count: int) -> list[tuple[int, float]]:
    """Return camera and time of the best samples, at least a minute apart.

    Args:
        truth: Margins of the float vectors, float32 [segments, ROWS].
        count: Number of samples.
    """
    # One sample a second, so the Gaussian of edge.search.moments is a fixed kernel.
    kernel = np.exp(-0.5 * np.square(np.arange(-2, 3) / 0.5))
    smooth = np.apply_along_axis(np.convolve, 1, truth, kernel / kernel.sum(), "same")
    best = smooth.reshape(len(truth), -1, BLOCK)
    order = np.argsort(-best.max(axis=2), axis=None)
    peaks: list[tuple[int, float]] = []
    for flat in order:
        segment, block = divmod(int(flat), best.shape[1])
        row = block * BLOCK + int(best[segment, block].argmax())
        peak = segment % CAMERAS, BEGIN + segment // CAMERAS * ROWS + row
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
    """Measure time and recall of the first page of each query.

    Args:
        folder: Folder of the index.
        dim: Dimension of the embeddings.
        limit: Moments of a page.

    Returns:
        Times in seconds with the page cache empty (cold) and filled (warm), share of the true peaks
        that were found, and the largest resident memory of the process in MiB.
    """
    world, everything = World(dim), Query(0.0, 1e12, limit=limit)
    truth = np.load(folder / TRUTH, mmap_mode="r")
    cold, warm, busy, recall = [], [], [], []
    for query in range(QUERIES):
        bank = world.bank(query)
        forget(folder)
        reader = Reader(folder / MODEL, dim)
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
