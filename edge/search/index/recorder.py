"""What of each sample goes into the index; on the daemon's loop, which waits for none of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.search.index.format import Entry
from edge.search.index.writer import IndexWriter
from edge.video.sample import Sample

# At most one embedding of a camera in this time: moments of three seconds are found with it
# (tests/edge/search/test_moments.py), and twice as many are twice the disk.
EVERY_S: Final = 1.0
# At most one picture of a camera, beside those of alerts. A picture is as large as ten embeddings.
PICTURE_EVERY_S: Final = 10.0
PICTURE_WIDTH: Final = 320

# (camera, sequence) -> JPEG, or None where there is none.
PictureOf = Callable[[str, int], bytes | None]


@dataclass(slots=True)
class _Camera:
    """Monotonic time of what was last kept."""

    embedding_at: float = float("-inf")
    picture_at: float = float("-inf")


class IndexRecorder:
    """Chooses what is kept. For the loop's thread.

    Args:
        writer: Keeps it.
        picture_of: Makes a small picture.
    """

    def __init__(self, writer: IndexWriter, picture_of: PictureOf) -> None:
        self._writer = writer
        self._picture_of = picture_of
        self._cameras: dict[str, _Camera] = {}

    def sample(self, sample: Sample, embedding: NDArray[np.float32]) -> None:
        """Take note of a sample; ``embedding`` is its own, float32 [D]."""
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
        """Keep the picture of an alert of ``at``, UTC seconds."""
        self._writer.add_picture(camera, at, jpeg)
