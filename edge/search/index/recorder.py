"""Chooses what goes into the index from each sample, on the daemon's loop, without waiting."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.search.index.format import Entry
from edge.search.index.writer import IndexWriter
from edge.video.sample import Sample

# Minimum time between two kept embeddings of a camera. It is short enough to find moments of three
# seconds (tests/edge/search/test_moments.py); twice as many embeddings need twice the disk.
EVERY_S: Final = 1.0
# Minimum time between two pictures of a camera, except those of alerts. A picture is as large as
# ten embeddings.
PICTURE_EVERY_S: Final = 10.0
PICTURE_WIDTH: Final = 320

# (camera, sequence) -> JPEG, or None if there is no picture.
PictureOf = Callable[[str, int], bytes | None]


@dataclass(slots=True)
class _Camera:
    """Monotonic times of the last kept embedding and picture."""

    embedding_at: float = float("-inf")
    picture_at: float = float("-inf")


class IndexRecorder:
    """Recorder of samples for the index. Only the loop's thread may use it.

    Args:
        writer: Writes what the recorder keeps.
        picture_of: Makes a small picture.
    """

    def __init__(self, writer: IndexWriter, picture_of: PictureOf) -> None:
        self._writer = writer
        self._picture_of = picture_of
        self._cameras: dict[str, _Camera] = {}

    def sample(self, sample: Sample, embedding: NDArray[np.float32]) -> None:
        """Keep a sample if it is time to; ``embedding`` is the sample's, float32 [D]."""
        camera, arrival = self._cameras.setdefault(sample.camera, _Camera()), sample.arrival
        if arrival.monotonic - camera.embedding_at < EVERY_S:
            return
        camera.embedding_at = arrival.monotonic
        self._writer.add(sample.camera, Entry(arrival.wall, sample.sequence, embedding))
        if arrival.monotonic - camera.picture_at >= PICTURE_EVERY_S:
            camera.picture_at = arrival.monotonic
            picture = self._picture_of(sample.camera, sample.sequence)
            if picture is not None:
                self._writer.add_picture(sample.camera, arrival.wall, picture)

    def alert(self, camera: str, at: float, jpeg: bytes) -> None:
        """Keep the picture of an alert; ``at`` is the time of its frame, UTC seconds."""
        self._writer.add_picture(camera, at, jpeg)
