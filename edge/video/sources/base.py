"""Defines a source: an iterator of packets, each stamped with its arrival."""

from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Protocol, Self

import av

from edge.video.packet import Packet


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """Settings for opening a source; a scheme ignores the settings that it does not use.

    Attributes:
        transport: Transport of RTSP media: TCP or UDP.
        timeout_s: Seconds without data after which a live stream counts as dead.
        realtime: For files: whether packets come at the pace of the recording, like a camera;
            otherwise they come as fast as they are taken, with the arrival that they would have had
            in a live play from the opening.
        loop: For files: whether to start again at the end; the time goes on.
    """

    transport: Literal["tcp", "udp"] = "tcp"
    timeout_s: float = 5.0
    realtime: bool = False
    loop: bool = False


class Source(Protocol):
    """Open camera or file. It has one owner; other threads may only set the stop event.

    Attributes:
        stream: FFmpeg's stream, for the decoder.
        choice: Which of several video streams this is, in words; None where there is only one.
    """

    stream: av.VideoStream
    choice: str | None

    def packets(self) -> Iterator[Packet]:
        """Yield packets as they come; end when a file ends or the stop event is set.

        Raises:
            SourceError: The stream broke, fell silent, or ended though it is live.
        """
        ...

    def close(self) -> None:
        """Close the camera or file. Closing twice is allowed."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
