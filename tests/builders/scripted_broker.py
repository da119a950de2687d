"""A broker that speaks just enough MQTT 5 to answer as a test wants it to."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from typing import BinaryIO

from edge.config.models import MqttConfig


class ScriptedBroker:
    """Answers as no installed broker can be made to.

    Args:
        answer: Bytes that answer a PUBLISH, by its number from 1 and the id of its packet.
        connack: Properties of each CONNACK with their length in front; or what answers a CONNECT,
            by its number from 1 and its version of MQTT: a whole packet, or nothing.
        suback: Reason code of each SUBACK, or the packet that answers a SUBSCRIBE, by its number from
            1 and the id of its packet; None hangs up instead.
        hates: Ending of the topics over which it hangs up.
    """

    def __init__(
        self,
        answer: Callable[[int, bytes], bytes],
        connack: bytes | Callable[[int, int], bytes] = b"\x00",
        suback: bytes | Callable[[int, bytes], bytes] | None = b"\x01",
        hates: bytes | None = None,
    ) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.config = MqttConfig(host="127.0.0.1", port=self.server.getsockname()[1], protocol="5")
        self.topics: list[bytes] = []
        self.connections = 0
        self.subscriptions = 0
        self.versions: list[int] = []  # of MQTT, of each CONNECT: 4 is 3.1.1
        self.flags: list[int] = []  # connect flags of each CONNECT: 0x20 retained will, 0x08 QoS 1
        self.retained: list[bool] = []  # of each PUBLISH
        self.filters: list[bytes] = []
        self._answer, self._connack, self._suback = answer, connack, suback
        self.hates = hates
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return  # closed
            with client, client.makefile("rb") as stream, contextlib.suppress(OSError):
                self._talk(client, stream)

    def _talk(self, client: socket.socket, stream: BinaryIO) -> None:
        while head := stream.read(1):
            body = stream.read(_length(stream))
            if head[0] >> 4 == 1:  # CONNECT
                self.connections += 1
                client.sendall(self._greet(body))
            elif head[0] >> 4 == 3:  # PUBLISH
                self.retained.append(bool(head[0] & 1))
                (size,) = struct.unpack_from("!H", body)
                self.topics.append(body[2 : 2 + size])
                if self.hates is not None and self.topics[-1].endswith(self.hates):
                    return  # hangs up
                if head[0] & 6:  # QoS 1
                    client.sendall(self._answer(len(self.topics), body[2 + size : 4 + size]))
            elif head[0] >> 4 == 12:  # PINGREQ
                client.sendall(b"\xd0\x00")
            elif head[0] >> 4 == 8:  # SUBSCRIBE, of one filter
                self.subscriptions += 1
                self.filters.append(body)
                if self._suback is None:
                    return  # hangs up
                if isinstance(self._suback, bytes):
                    client.sendall(b"\x90\x04" + body[:2] + b"\x00" + self._suback)
                else:
                    client.sendall(self._suback(self.subscriptions, body[:2]))

    def _greet(self, body: bytes) -> bytes:
        self.versions.append(body[6])
        self.flags.append(body[7])
        if isinstance(self._connack, bytes):
            return bytes([0x20, 2 + len(self._connack), 0, 0]) + self._connack
        return self._connack(self.connections, body[6])

    def close(self) -> None:
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        self._thread.join(10)


def _length(stream: BinaryIO) -> int:
    """Read the remaining length of a packet."""
    length, shift = 0, 0
    while True:
        byte = stream.read(1)[0]
        length, shift = length | (byte & 127) << shift, shift + 7
        if byte < 128:
            return length
