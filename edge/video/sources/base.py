"""What every source is: an iterator of packets, each stamped with the time it came in."""

from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Protocol, Self

import av

from edge.video.packet import Packet


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """How a source is opened; a scheme ignores what does not concern it.

    Attributes:
        transport: RTSP media over TCP or UDP.
        timeout_s: Silence after which a live stream counts as dead.
        realtime: Files: packets come at the pace of the recording, like a camera; otherwise as
            fast as they are taken, with the arrival that a live play from the opening would have
            had.
        loop: Files: start again at the end, time going on.
    """

    transport: Literal["tcp", "udp"] = "tcp"
    timeout_s: float = 5.0
    realtime: bool = False
    loop: bool = False


class Source(Protocol):
    """An open camera or file. One owner; only the stop event may be set from elsewhere.

    Attributes:
        stream: FFmpeg's stream, for the decoder.
    """

    stream: av.VideoStream

    def packets(self) -> Iterator[Packet]:
        """Yield packets as they come; end when a file ends or the stop event is set.

        Raises:
            SourceError: The stream broke, fell silent, or ended though it is live.
        """
        ...

    def close(self) -> None:
        """Let go of the camera or file. Closing twice is allowed."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
