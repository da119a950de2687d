"""Serves one client of the test camera: reads requests and sends video, in one thread."""

import logging
import selectors
import socket
import struct
import time
from collections.abc import Callable

from edge.testing.faults import Faults
from edge.testing.habits import PLAIN, Habits
from edge.testing.playback import Player
from edge.testing.protocol.dialogue import Dialogue, Track
from edge.testing.protocol.rtsp import BadRequest, RequestParser, Response, RtspRequest

logger = logging.getLogger(__name__)

_POLL_S = 0.02  # longest delay until the end of a stall takes effect
_TRICKLE_S = 1.0  # from byte to byte
_LINGER_S = 1.0  # longest wait for the client to close as well


class Session:
    """Serves one connection until either side ends it.

    Args:
        connection: Accepted socket; ``run`` does not close it. Shutting it down from another
            thread ends ``run`` at once.
        dialogue: Answers the requests.
        faults: Faults of the camera.
        start: Called once, at PLAY, to make the player.
        habits: Habits of the camera.
    """

    def __init__(
        self,
        connection: socket.socket,
        dialogue: Dialogue,
        faults: Faults,
        start: Callable[[Track], Player],
        habits: Habits = PLAIN,
    ) -> None:
        self._line_end = habits.line_end
        self._connection = connection
        self._dialogue = dialogue
        self._faults = faults
        self._start = start
        self._parser = RequestParser()
        self._player: Player | None = None
        self._finished = False
        self._unsent = b""
        self._next_byte = 0.0

    def run(self) -> None:
        """Serve the client; return when either side has ended the connection."""
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._connection, selectors.EVENT_READ)
                while not self._finished:
                    if selector.select(self._wait_s()):
                        self._read()
                    self._send_due()
            self._linger()
        except OSError as exc:
            logger.debug("client gone: %s", exc)

    def _wait_s(self) -> float | None:
        if self._unsent or (self._player is not None and self._held()):
            return _POLL_S
        if self._player is None:
            return None
        return max(0.0, (self._player.due or 0.0) - time.monotonic())

    def _held(self) -> bool:
        return self._faults.stall or self._faults.blackhole

    def _read(self) -> None:
        data = self._connection.recv(65536)
        if not data:
            self._finished = True
            return
        if self._faults.blackhole:
            return
        try:
            for request in self._parser.feed(data):
                self._answer(request)
        except BadRequest as exc:
            logger.debug("bad request: %s", exc)
            self._send(Response(400).encode())
            self._finished = True

    def _answer(self, request: RtspRequest) -> None:
        response = self._dialogue.answer(request)
        self._send(response.encode(request.headers["cseq"], self._line_end))
        track = self._dialogue.track
        if self._dialogue.playing and self._player is None and track is not None:
            self._player = self._start(track)
        self._finished = self._dialogue.finished

    def _send(self, data: bytes) -> None:
        """Send, or let trickle."""
        self._unsent += data
        if not self._faults.trickle:
            self._connection.sendall(self._unsent)
            self._unsent = b""
        elif self._unsent and time.monotonic() >= self._next_byte:
            self._connection.sendall(self._unsent[:1])
            self._unsent = self._unsent[1:]
            self._next_byte = time.monotonic() + _TRICKLE_S

    def _break_off(self, data: bytes) -> None:
        """Send half of ``data`` and let the socket's end be a reset."""
        self._connection.sendall(data[: len(data) // 2])
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise ConnectionResetError("as the fault wants it")

    def _send_due(self) -> None:
        if self._unsent and not self._faults.blackhole:
            self._send(b"")
        player = self._player
        if player is None or self._finished or self._held() or self._unsent:
            return
        if player.due is not None and player.due <= time.monotonic():
            data = player.take()
            if self._faults.reset:
                self._break_off(data)
            self._send(data)
        self._finished = player.due is None

    def _linger(self) -> None:
        """Close our half of the connection and wait for the client to close its half.

        Closing with unread bytes would reset the connection: the client would see an error instead
        of the end, and could lose data that it has not read yet.
        """
        self._connection.shutdown(socket.SHUT_WR)
        self._connection.settimeout(_LINGER_S)
        deadline = time.monotonic() + _LINGER_S
        while time.monotonic() < deadline and self._connection.recv(65536):
            pass
