"""Stands between a client and the test camera, which sends over TCP, and sends over UDP instead."""

import re
import socket
import struct
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self


class UdpRelay:
    """Relay for one client at a time.

    Args:
        camera: Port of the test camera.

    Attributes:
        port: Port for the client.
        sent: Datagrams that were sent.
    """

    def __init__(self, camera: int) -> None:
        self._camera = camera
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", 0))
        self._client: tuple[int, int] | None = None
        self.port = self._listener.getsockname()[1]
        self.sent = 0

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._listener.close()
        self._udp.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with client, socket.create_connection(("127.0.0.1", self._camera)) as camera:
                    threading.Thread(
                        target=self._requests, args=(client, camera), daemon=True
                    ).start()
                    with suppress(OSError):
                        self._answers(camera, client)

    def _requests(self, client: socket.socket, camera: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                if ports := re.search(rb"client_port=(\d+)-(\d+)", data):
                    self._client = int(ports[1]), int(ports[2])
                camera.sendall(
                    re.sub(rb"RTP/AVP/UDP;unicast;client_port=\S+|RTP/AVP;unicast;client_port=\S+",
                           b"RTP/AVP/TCP;unicast;interleaved=0-1", data)
                )  # fmt: skip
            camera.shutdown(socket.SHUT_WR)

    def _answers(self, camera: socket.socket, client: socket.socket) -> None:
        stream = camera.makefile("rb")
        while first := stream.read(1):
            if first != b"$":
                line = first + stream.readline()
                if line.startswith(b"Transport:") and self._client is not None:
                    words = f"{self._client[0]}-{self._client[1]}"
                    own = self._udp.getsockname()[1]
                    line = f"Transport: RTP/AVP/UDP;unicast;client_port={words};server_port={own}-{own}\r\n".encode()  # fmt: skip
                client.sendall(line)
                continue
            channel, length = struct.unpack(">BH", stream.read(3))
            packet = stream.read(length)
            if self._client is not None:
                self._udp.sendto(packet, ("127.0.0.1", self._client[channel]))
                self.sent += 1
