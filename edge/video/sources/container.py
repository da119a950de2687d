"""Opens FFmpeg containers with one video stream for all sources, and translates FFmpeg's errors."""

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
from edge.video.sources.choice import best_video, can_decode, which

_REFUSALS: dict[type[av.error.FFmpegError], str] = {
    av.error.HTTPUnauthorizedError: (
        "refused the user name or password (401): check the credentials in the camera's url"
    ),
    av.error.HTTPForbiddenError: (
        "forbids this stream to this user (403): check the user's rights in the camera"
    ),
}
# A camera or recorder that has just started says so too, until it has its first picture.
_MISSING = "has no such stream (404): check the path of the camera's url against its manual"


class Container:
    """Opened input, the base class of the sources.

    Every FFmpeg error is raised as ``SourceError``, without credentials.

    Args:
        location: URL or path that FFmpeg opens.
        options: FFmpeg options.
        open_timeout_s: Longest time for opening, and again for the first look at the stream.
        read_timeout_s: Longest time for one read.

    Attributes:
        name: Location without credentials.
        stream: Video stream that is the best to watch.
        choice: Which of several video streams this is, in words; None where there is only one.

    Raises:
        SourceRefused: The camera answered with a refusal.
        SourceError: Opening failed in any other way.
    """

    silence_hint: str = ""
    """Words to add to the silence of a source that does not answer at all."""

    def __init__(
        self,
        location: str,
        options: Mapping[str, str],
        *,
        open_timeout_s: float | None = None,
        read_timeout_s: float | None = None,
    ) -> None:
        self.name = redact(location)
        # Opening decodes a frame where the header lacks the size, so the same limit applies.
        bounded = {"max_pixels": str(MAX_PIXELS), **options}
        began = time.monotonic()
        try:
            self._input = av.open(
                location,
                "r",
                options=bounded,
                timeout=(open_timeout_s, read_timeout_s),
                metadata_errors="replace",  # names in GBK or Latin-1, which nobody reads here
            )
        except av.error.FFmpegError as exc:
            # FFmpeg reports a timeout by several errors, "invalid data" among them.
            if open_timeout_s is not None and time.monotonic() - began >= open_timeout_s:
                silence = f"did not answer within {open_timeout_s:g} s{self.silence_hint}"
                raise self._failure(exc, silence) from exc
            raise self._failure(exc, self.explain_opening(exc)) from exc
        if not self._input.streams.video:
            self.close()
            raise SourceError(f"{self.name} has no video stream, expected one")
        stream = best_video(self._input.streams)
        if stream is None:
            self.close()
            raise SourceError(f"{self.name} has a cover picture only, expected a video stream")
        if not can_decode(stream):
            self.close()
            raise SourceError(
                f"{self.name} sends video of a kind that FFmpeg cannot decode: ask for H.264 or "
                "H.265"
            )
        self.stream = stream
        self.choice = which(stream, self._input.streams)

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
        """Return the meaning of ``exc`` for this kind of source; None: FFmpeg's text is clear."""
        del exc
        return None

    def explain_opening(self, exc: av.error.FFmpegError) -> str | None:
        """Return why opening failed with ``exc``, if there is more to say than ``explain`` does."""
        del exc
        return None

    def close(self) -> None:
        """Close the camera or file. Closing twice is allowed."""
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
        """Return the error to raise for ``exc``, and remove the URL from ``exc``."""
        _without_url(exc)
        for kind, refusal in _REFUSALS.items():
            if isinstance(exc, kind):
                return SourceRefused(f"{self.name} {problem or refusal}")
        if isinstance(exc, av.error.HTTPNotFoundError):
            problem = problem or _MISSING
        problem = problem or self.explain(exc) or f"failed: {exc.strerror}"
        return SourceError(f"{self.name} {problem}")


def seconds(ticks: int | None, time_base: Fraction) -> float | None:
    """Return a time of a packet in seconds; None where the packet has none."""
    if ticks is None:
        return None
    # The same number as by a fraction, ten times as fast; each packet has two.
    return ticks * time_base.numerator / time_base.denominator


def _without_url(exc: av.error.FFmpegError) -> av.error.FFmpegError:
    """Remove the URL from ``exc``: a traceback that prints the cause must show no password."""
    exc.args = (exc.errno, exc.strerror)
    return exc
