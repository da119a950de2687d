"""Small clips, a raw RTSP client and a polling helper for the tests of the test camera."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from raw_rtsp import RawClient

from edge.testing import Clip
from edge.testing.clip import Codec
from edge.testing.synthetic import write_clip


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Clip]:
    """Ten frames each at 40 fps, keyframes 5 apart: both codecs, with and without B-frames."""
    folder = tmp_path_factory.mktemp("clips")
    kinds: tuple[tuple[str, Codec, int], ...] = (
        ("h264", "h264", 0),
        ("h264-bframes", "h264", 2),
        ("hevc", "hevc", 0),
        ("hevc-bframes", "hevc", 2),
    )

    def write(name: str, codec: Codec, bframes: int) -> Path:
        return write_clip(
            folder / f"{name}.mp4",
            codec=codec,
            width=160,
            height=120,
            fps=40,
            seconds=0.25,
            gop=5,
            bframes=bframes,
        )

    return {name: Clip.read(write(name, codec, bframes)) for name, codec, bframes in kinds}


@pytest.fixture
def connect() -> Iterator[Callable[[str], RawClient]]:
    """Open raw clients by URL; they are closed at the end of the test."""
    opened: list[RawClient] = []

    def open_client(url: str) -> RawClient:
        port = re.search(r":(\d+)/", url)
        assert port is not None
        opened.append(RawClient(int(port[1])))
        return opened[-1]

    yield open_client
    for client in opened:
        client.close()


@pytest.fixture
def until() -> Callable[[Callable[[], object]], None]:
    """Poll until a condition holds, or fail after ten seconds."""

    def poll(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, "the condition did not come true within 10 s"
            time.sleep(0.01)

    return poll
