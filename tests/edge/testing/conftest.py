"""Small clips, a raw RTSP client and a polling helper for the tests of the test camera."""

import re
import socket
import struct
import time
from collections.abc import Callable, Iterator

import pytest

from edge.testing import Clip
from edge.testing.synthetic import write_clip


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Clip]:
    """Ten frames each at 40 fps, keyframes 5 apart: both codecs, with and without B-frames."""
    folder = tmp_path_factory.mktemp("clips")
    size = {"width": 160, "height": 120, "fps": 40, "seconds": 0.25, "gop": 5}
    return {
        name: Clip.read(write_clip(folder / f"{name}.mp4", codec=codec, bframes=bframes, **size))
        for name, codec, bframes in (
            ("h264", "h264", 0),
            ("h264-bframes", "h264", 2),
            ("hevc", "hevc", 0),
            ("hevc-bframes", "hevc", 2),
        )
    }


class RawClient:
    """Speaks RTSP by hand and keeps what comes: nothing is hidden by a library."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._buffer = b""
        self._number = 0

    def close(self) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def request(self, method: str, url: str, **headers: str) -> tuple[int, dict[str, str], str]:
        """Send one request and return status, headers and body of its response."""
        self._number += 1
        lines = [f"{method} {url} RTSP/1.0", f"CSeq: {self._number}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.send("\r\n".join([*lines, "", ""]).encode())
        status, headers, body = self.response()
        assert headers["CSeq"] == str(self._number)
        return status, headers, body

    def response(self) -> tuple[int, dict[str, str], str]:
        """The next response; video in between is skipped."""
        while self._peek(1) == b"$":
            self.interleaved()
        while b"\r\n\r\n" not in self._buffer:
            self._receive()
        head, self._buffer = self._buffer.split(b"\r\n\r\n", 1)
        status_line, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        body = self._take(int(headers.get("Content-Length", "0")))
        return int(status_line.split()[1]), headers, body.decode()

    def play(self, url: str, transport: str = "RTP/AVP/TCP;unicast;interleaved=0-1") -> None:
        """SETUP and PLAY."""
        status, headers, _ = self.request("SETUP", f"{url}/track1", Transport=transport)
        assert status == 200
        session = headers["Session"].partition(";")[0]
        assert self.request("PLAY", url, Session=session)[0] == 200

    def interleaved(self) -> tuple[int, bytes]:
        """Channel and content of the next interleaved packet."""
        magic, channel, length = struct.unpack(">cBH", self._take(4))
        assert magic == b"$"
        return channel, self._take(length)

    def at_end(self) -> bool:
        """The camera has closed the connection in order (no reset) and nothing is left to read."""
        return self._peek(1) == b""

    def _take(self, length: int) -> bytes:
        while len(self._buffer) < length:
            self._receive()
        taken, self._buffer = self._buffer[:length], self._buffer[length:]
        return taken

    def _peek(self, length: int) -> bytes:
        if not self._buffer:
            self._buffer += self._socket.recv(65536)
        return self._buffer[:length]

    def _receive(self) -> None:
        data = self._socket.recv(65536)
        if not data:
            raise EOFError(f"the camera closed the connection; unread: {self._buffer!r}")
        self._buffer += data


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
