"""Parses RTSP 1.0 requests (RFC 2326) from untrusted bytes, and encodes responses."""

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

MAX_HEAD = 8192
"""Bytes of request line and headers together."""

MAX_BODY = 4096
"""Bytes of a request's body; only GET_PARAMETER and SET_PARAMETER have one."""

_REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    454: "Session Not Found",
    455: "Method Not Valid in This State",
    461: "Unsupported Transport",
    501: "Not Implemented",
}
_REQUEST_LINE = re.compile(r"([A-Z_]{1,32}) (\S{1,2048}) RTSP/1\.[0-9]")
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):(.*)")


class BadRequest(Exception):
    """The bytes are not RTSP; the bytes after them cannot be parsed either."""


@dataclass(frozen=True, slots=True)
class RtspRequest:
    """RTSP request. Header names are lower case, values are stripped."""

    method: str
    uri: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Response:
    """RTSP response; ``encode`` adds ``CSeq`` and ``Content-Length``.

    Attributes:
        status: Status, with its usual reason, or a whole status line such as ``453 Low Power``.
        headers: Headers by name; where a value is a list, the header stands there several times.
        body: Body.
    """

    status: int | str = 200
    headers: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    body: bytes = b""

    def encode(self, cseq: str | None = None, line_end: str = "\r\n") -> bytes:
        """Return the bytes on the wire, as the answer to the request with number ``cseq``."""
        headers: dict[str, str | Sequence[str]] = {} if cseq is None else {"CSeq": cseq}
        headers.update(self.headers)
        if self.body:
            headers["Content-Length"] = str(len(self.body))
        status = self.status
        line = f"{status} {_REASONS[status]}" if isinstance(status, int) else status
        lines = [f"RTSP/1.0 {line}"]
        for name, value in headers.items():
            values = [value] if isinstance(value, str) else value
            lines += [f"{name}: {each}" for each in values]
        return line_end.join([*lines, "", ""]).encode() + self.body


class RequestParser:
    """Splits a client's byte stream into requests, independent of the size of its pieces.

    It holds at most one incomplete message. Interleaved packets (the client's RTCP) are skipped.
    """

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> Iterator[RtspRequest]:
        """Yield the requests that ``data`` completes.

        Raises:
            BadRequest: A byte cannot be part of RTSP; the requests before it were yielded.
        """
        self._buffer += data
        while self._buffer:
            if self._buffer.startswith(b"$"):
                if not self._skip_interleaved():
                    return
            elif self._buffer[0] in b"\r\n":  # empty lines between requests are tolerated
                self._buffer = self._buffer[1:]
            else:
                request = self._take_request()
                if request is None:
                    return
                yield request

    def _skip_interleaved(self) -> bool:
        if len(self._buffer) < 4:
            return False
        (length,) = struct.unpack_from(">H", self._buffer, 2)
        if len(self._buffer) < 4 + length:
            return False
        self._buffer = self._buffer[4 + length :]
        return True

    def _take_request(self) -> RtspRequest | None:
        end = self._buffer.find(b"\r\n\r\n", 0, MAX_HEAD)
        if end < 0:
            if len(self._buffer) >= MAX_HEAD:
                raise BadRequest(f"expected headers of at most {MAX_HEAD} bytes, found more")
            return None
        method, uri, headers = _parse_head(self._buffer[:end])
        body_at = end + 4
        body_end = body_at + _content_length(headers)
        if len(self._buffer) < body_end:
            return None
        body = self._buffer[body_at:body_end]
        self._buffer = self._buffer[body_end:]
        return RtspRequest(method, uri, headers, body)


def _parse_head(head: bytes) -> tuple[str, str, dict[str, str]]:
    try:
        lines = head.decode().split("\r\n")
    except UnicodeDecodeError as exc:
        raise BadRequest("expected headers in UTF-8") from exc
    request_line = _REQUEST_LINE.fullmatch(lines[0])
    if request_line is None:
        raise BadRequest(f"expected 'METHOD URI RTSP/1.0', found {lines[0][:80]!r}")
    headers = {}
    for line in lines[1:]:
        header = _HEADER.fullmatch(line.replace("\t", " "))
        if header is None or not header[2].isprintable():
            raise BadRequest(f"expected 'Name: value', found {line[:80]!r}")
        headers[header[1].lower()] = header[2].strip()
    if not _is_number(headers.get("cseq", ""), digits=10):
        raise BadRequest("expected a CSeq header with a number")
    return request_line[1], request_line[2], headers


def _content_length(headers: Mapping[str, str]) -> int:
    value = headers.get("content-length", "0")
    if not _is_number(value, digits=10) or int(value) > MAX_BODY:
        raise BadRequest(f"expected a Content-Length of at most {MAX_BODY}, found {value[:20]!r}")
    return int(value)


def _is_number(text: str, *, digits: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= digits
