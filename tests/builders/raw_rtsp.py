"""A client that speaks RTSP by hand, so that a test sees each byte that a camera sends."""

import socket
import struct


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
