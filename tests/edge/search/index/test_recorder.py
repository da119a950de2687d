"""What of each sample is kept."""

import numpy as np
import pytest

from edge.search.index.format import Entry
from edge.search.index.recorder import IndexRecorder
from edge.search.index.writer import IndexWriter
from edge.video.sample import Arrival, Sample

WALL = 1_750_000_000.0
VECTOR = np.ones(4, np.float32)


class Kept(IndexWriter):
    """A writer that remembers."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, float, int]] = []
        self.pictures: list[tuple[str, float, bytes]] = []

    def add(self, camera: str, entry: Entry) -> None:
        self.entries.append((camera, entry.at - WALL, entry.sequence))

    def add_picture(self, camera: str, at: float, jpeg: bytes) -> None:
        self.pictures.append((camera, at - WALL, jpeg))


@pytest.fixture
def kept() -> Kept:
    return Kept()


def see(recorder: IndexRecorder, camera: str, seconds: float, sequence: int = 0) -> None:
    arrival = Arrival(wall=WALL + seconds, monotonic=seconds, pts_s=None)
    recorder.sample(Sample(camera, sequence, arrival, np.zeros((3, 1, 1), np.int8)), VECTOR)


def test_one_embedding_a_second_of_each_camera_is_kept(kept: Kept) -> None:
    recorder = IndexRecorder(kept, lambda camera, sequence: None)
    for step in range(20):
        for camera in ("yard", "door"):
            see(recorder, camera, step / 4, step)
    yard = [(at, sequence) for camera, at, sequence in kept.entries if camera == "yard"]
    assert yard == [(0, 0), (1, 4), (2, 8), (3, 12), (4, 16)]
    assert len(kept.entries) == 10


def test_a_camera_that_is_slower_is_kept_whole(kept: Kept) -> None:
    recorder = IndexRecorder(kept, lambda camera, sequence: None)
    for step in range(5):
        see(recorder, "yard", 1.5 * step, step)
    assert len(kept.entries) == 5


def test_a_picture_is_made_every_ten_seconds_and_no_more_often(kept: Kept) -> None:
    made: list[int] = []

    def picture(camera: str, sequence: int) -> bytes:
        made.append(sequence)
        return b"jpeg"

    recorder = IndexRecorder(kept, picture)
    for step in range(25):
        see(recorder, "yard", float(step), step)
    assert made == [0, 10, 20]
    assert kept.pictures == [("yard", 0, b"jpeg"), ("yard", 10, b"jpeg"), ("yard", 20, b"jpeg")]


def test_where_there_is_no_picture_none_is_kept(kept: Kept) -> None:
    see(IndexRecorder(kept, lambda camera, sequence: None), "yard", 0.0)
    assert kept.pictures == []
    assert len(kept.entries) == 1


def test_the_picture_of_an_alert_is_always_kept(kept: Kept) -> None:
    IndexRecorder(kept, lambda camera, sequence: None).alert("yard", WALL + 3, b"alert")
    assert kept.pictures == [("yard", 3, b"alert")]
