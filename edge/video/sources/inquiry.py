"""Asks a camera that FFmpeg could not open what it has to say.

FFmpeg turns all statuses but five into two error numbers, an unknown host into "Input/output
error", and keeps what the camera offers to itself. So after a failure the camera is asked once
more, up to the first request to which it does not say yes.
"""

import contextlib
import re
import socket
import ssl
import time
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from edge.video.sources.challenge import authorization, chosen
from edge.video.sources.replies import (
    CameraReply,
    explain,
    parse_reply,
    printable,
)

_LONGEST_S: Final = 2.0
_LONGEST_HEAD, _LONGEST_BODY = 16_384, 65_536
# Python refuses to read a number of thousands of digits.
_LENGTH: Final = "[0-9]{1,9}"
_PORTS: Final = {"rtsp": 554, "rtsps": 322}


def inquire(url: str, timeout_s: float, *, log_in: bool) -> str | None:
    """Return why a camera gives no stream, in words; None if it does not say.

    This takes at most two seconds once the host's name is resolved.

    Args:
        url: URL of the camera.
        timeout_s: Longest time for all questions together.
        log_in: Whether to use the password of ``url``. After a 401 it must not be tried again: many
            cameras lock an account after a few wrong ones.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme.lower()]
    except ValueError:
        return "is no address of a camera: expected rtsp://user:password@host:port/path"
    deadline = time.monotonic() + min(timeout_s, _LONGEST_S)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:  # UnicodeError: a label that is empty or too long
        why = exc.strerror if isinstance(exc, OSError) else "no name of a host"
        return f"has an unknown host {host!r} ({why}): check its name, or write its IP address"
    try:
        addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
        with _connected(addresses, port, parts.scheme.lower(), deadline) as connection:
            return _Inquiry(connection, parts, deadline, log_in=log_in).result()
    except ssl.SSLError:
        return f"does not speak TLS on port {port}: try rtsp://, or the port of its rtsps"
    except ConnectionRefusedError:
        return f"failed: Connection refused: nothing listens on port {port}; switch RTSP on there"
    except OSError:
        return None  # FFmpeg's words are as good


class _NoReplyError(Exception):
    """The bytes are no reply to RTSP; the text says what came."""


class _Inquiry:
    """The questions of one connection."""

    def __init__(
        self, connection: socket.socket, parts: SplitResult, deadline: float, *, log_in: bool
    ) -> None:
        self._connection = connection
        self._deadline = deadline
        host = parts.netloc.rpartition("@")[2]
        self._url = parts._replace(netloc=host, fragment="").geturl()
        self._user, self._password = unquote(parts.username or ""), unquote(parts.password or "")
        self._has_password = bool(parts.username)
        self._log_in = log_in and self._has_password
        self._number = 0
        self._session: str | None = None
        self._challenge: CameraReply | None = None
        self._buffer = b""

    def result(self) -> str | None:
        """Return what the camera says to the first request that it does not grant."""
        try:
            reply = self._first_refusal()
        except _NoReplyError as exc:
            return str(exc)
        return None if reply is None else explain(reply, has_password=self._has_password)

    def _first_refusal(self) -> CameraReply | None:
        options = self._ask("OPTIONS", self._url)
        if options.status != 200:
            return options
        described = self._ask("DESCRIBE", self._url, "Accept: application/sdp")
        if described.status != 200:
            return described
        base = described.header("content-base") or self._url
        transport = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1"
        set_up = self._ask("SETUP", _video_url(base, described.body), transport)
        if set_up.status != 200:
            return set_up
        self._session = (set_up.header("session") or "").partition(";")[0]
        played = self._ask("PLAY", base, "Range: npt=0.000-")
        if played.status != 200:
            return played
        self._send("TEARDOWN", base)
        return None

    def _ask(self, method: str, url: str, *headers: str) -> CameraReply:
        self._send(method, url, *headers)
        reply = self._receive(method)
        if reply.status == 401 and self._log_in and self._challenge is None:
            self._challenge = reply
            return self._ask(method, url, *headers)
        return reply

    def _send(self, method: str, url: str, *headers: str) -> None:
        self._number += 1
        lines = [f"{method} {url} RTSP/1.0", f"CSeq: {self._number}", *headers]
        if self._session:
            lines.append(f"Session: {self._session}")
        if self._challenge is not None:
            taken = chosen(self._challenge.challenges)
            proof = taken and authorization(taken, method, url, self._user, self._password)
            if proof is not None:
                lines.append(f"Authorization: {proof}")
        self._connection.settimeout(_left_s(self._deadline))
        self._connection.sendall("\r\n".join([*lines, "", ""]).encode())

    def _receive(self, method: str) -> CameraReply:
        while (end := _end_of_head(self._buffer)) < 0:
            self._read(_LONGEST_HEAD)
        head, self._buffer = self._buffer[:end], self._buffer[end:].lstrip(b"\r\n")
        reply = parse_reply(method, head.decode("utf-8", "replace"))
        if reply is None:
            raise _NoReplyError(_not_rtsp(head))
        length = reply.header("content-length") or "0"
        size = int(length) if re.fullmatch(_LENGTH, length) else 0
        while len(self._buffer) < min(size, _LONGEST_BODY):
            self._read(_LONGEST_BODY)
        body, self._buffer = self._buffer[:size], self._buffer[size:]
        return CameraReply(method, reply.status, reply.reason, reply.headers, body)

    def _read(self, limit: int) -> None:
        self._connection.settimeout(_left_s(self._deadline))
        data = self._connection.recv(4096)
        self._buffer += data
        if not data or len(self._buffer) > limit:
            raise _NoReplyError(_not_rtsp(self._buffer))


def _connected(addresses: list[str], port: int, scheme: str, deadline: float) -> socket.socket:
    """Connect to the first address that takes it: a name may have one where nobody listens."""
    share_s = _left_s(deadline) / len(addresses)
    for address in addresses[:-1]:
        with contextlib.suppress(OSError):
            connection = socket.create_connection((address, port), timeout=share_s)
            break
    else:
        connection = socket.create_connection((addresses[-1], port), timeout=_left_s(deadline))
    if scheme != "rtsps":
        return connection
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # as FFmpeg does
    try:
        return context.wrap_socket(connection)
    except OSError:
        connection.close()
        raise


def _left_s(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _end_of_head(data: bytes) -> int:
    ends = [data.find(end) for end in (b"\r\n\r\n", b"\n\n")]
    return min((end for end in ends if end >= 0), default=-1)


def _not_rtsp(data: bytes) -> str:
    problem = "does not answer as an RTSP camera"
    if data.startswith((b"\x15\x03", b"\x16\x03")):
        return f"{problem}: it speaks TLS on this port; try rtsps://"
    first = printable(data.split(b"\n")[0].decode("utf-8", "replace"))
    found = f"it says {first!r}" if first else "it closes the connection"
    return f"{problem} ({found}): check the port and path of its url"


def _video_url(base: str, description: bytes) -> str:
    """Return the URL that SETUP names: that of the first video in the session description."""
    _, _, media = description.decode("utf-8", "replace").partition("m=video")
    for line in media.partition("\nm=")[0].splitlines():
        if line.startswith("a=control:"):
            control = line.removeprefix("a=control:").strip()
            if control == "*":
                return base
            return control if "://" in control else f"{base.rstrip('/')}/{control}"
    return base
