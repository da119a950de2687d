"""FFmpeg's container with one video stream: what every source shares, FFmpeg's errors included."""

import time
from collections.abc import Iterator, Mapping
from fractions import Fraction
from types import TracebackType
from typing import Self

import av
import av.error

from edge.errors import SourceError, SourceRefused
from edge.system.redact import redact
from edge.video.packet import MAX_PIXELS

_REFUSALS: dict[type[av.error.FFmpegError], str] = {
    av.error.HTTPUnauthorizedError: (
        "refused the user name or password (401): check the credentials in the camera's url"
    ),
    av.error.HTTPForbiddenError: (
        "forbids this stream to this user (403): check the user's rights in the camera"
    ),
    av.error.HTTPNotFoundError: (
        "has no such stream (404): check the path of the camera's url against its manual"
    ),
}


class Container:
    """An opened input, base of the sources.

    Every FFmpeg error leaves as ``SourceError``, without credentials.

    Args:
        location: What FFmpeg opens: a URL or a path.
        options: FFmpeg options.
        open_timeout_s: Longest time for opening, and once more for the first look at the stream.
        read_timeout_s: Longest time for one read.

    Attributes:
        name: The location without credentials.
        stream: The first video stream.

    Raises:
        SourceRefused: The camera answered and said no.
        SourceError: Anything else.
    """

    def __init__(
        self,
        location: str,
        options: Mapping[str, str],
        *,
        open_timeout_s: float | None = None,
        read_timeout_s: float | None = None,
    ) -> None:
        self.name = redact(location)
        # Opening decodes a frame where the header does not tell the size: the same bound.
        bounded = {"max_pixels": str(MAX_PIXELS), **options}
        began = time.monotonic()
        try:
            self._input = av.open(
                location, "r", options=bounded, timeout=(open_timeout_s, read_timeout_s)
            )
        except av.error.FFmpegError as exc:
            # FFmpeg has several errors for a time that ran out, "invalid data" among them.
            if open_timeout_s is not None and time.monotonic() - began >= open_timeout_s:
                raise self._failure(exc, f"did not answer within {open_timeout_s:g} s") from exc
            raise self._failure(exc) from exc
        if not self._input.streams.video:
            self.close()
            raise SourceError(f"{self.name} has no video stream, expected one")
        self.stream = self._input.streams.video[0]

    def demux(self) -> "Iterator[av.Packet[av.VideoStream]]":
        """Yield the video packets up to the end of the stream.

        Raises:
            TimeoutError: One read took longer than the read timeout; ``demux`` may be called
                again to go on waiting.
            SourceError: The stream broke.
        """
        try:
            for packet in self._input.demux(self.stream):
                if packet.size:  # FFmpeg ends with an empty packet
                    yield packet
        except av.error.ExitError as exc:
            raise TimeoutError from _without_url(exc)
        except av.error.FFmpegError as exc:
            raise self._failure(exc) from exc

    def rewind(self) -> None:
        """Go back to the start of a file.

        Raises:
            SourceError: This format cannot seek.
        """
        try:
            self._input.seek(0)
        except av.error.FFmpegError as exc:
            raise self._failure(exc, "cannot be played again: convert it to .mp4") from exc

    def explain(self, exc: av.error.FFmpegError) -> str | None:
        """Return what ``exc`` means for this kind of source, or None where FFmpeg says it well."""
        del exc
        return None

    def close(self) -> None:
        """Let go of the camera or file. Closing twice is allowed."""
        self._input.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _failure(self, exc: av.error.FFmpegError, problem: str | None = None) -> SourceError:
        """Return the error to raise for ``exc``, which loses its URL as well."""
        _without_url(exc)
        for kind, refusal in _REFUSALS.items():
            if isinstance(exc, kind):
                return SourceRefused(f"{self.name} {refusal}")
        problem = problem or self.explain(exc) or f"failed: {exc.strerror}"
        return SourceError(f"{self.name} {problem}")


def seconds(ticks: int | None, time_base: Fraction) -> float | None:
    """Return a time of a packet in seconds, None where it has none."""
    return None if ticks is None else float(ticks * time_base)


def _without_url(exc: av.error.FFmpegError) -> av.error.FFmpegError:
    """Take the URL out of ``exc``: a traceback that prints the cause must not print a password."""
    exc.args = (exc.errno, exc.strerror)
    return exc
