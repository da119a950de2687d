"""Reads recordings (``file:`` and paths) at their own pace or as fast as possible."""

import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from urllib.parse import unquote

import av
import av.error

from edge.errors import SourceError
from edge.video.packet import Packet
from edge.video.sample import Arrival
from edge.video.sources.base import SourceSettings
from edge.video.sources.container import Container, seconds

# A longer gap between two packets of a recording counts as a jump of its clock.
_LONGEST_GAP_S = 10.0
# A shorter one counts as none, as the clock stands still: a loop would take a core.
_SHORTEST_GAP_S = 0.001
_FALLBACK_RATE = 25.0

# Allowed formats, by FFmpeg's names. Without this list FFmpeg shows a text file as terminal art
# ("tty"), and a playlist disguised as a video may name other files and hosts.
_FORMATS = (
    "mov,matroska,mpegts,mpeg,avi,asf,flv,dhav,ivf,h264,hevc,mjpeg,"
    "image2,jpeg_pipe,png_pipe,webp_pipe,bmp_pipe"
)
_OPTIONS = {
    "format_whitelist": _FORMATS,
    "protocol_whitelist": "file",
    "pattern_type": "none",  # a '%' in a picture's name is no pattern
}


class FileSource(Container):
    """Recording, or a single picture.

    Args:
        url: ``file:`` URL or path.
        settings: Settings, of which ``realtime`` and ``loop`` are used.
        stop: Event that ends ``packets`` when set.
    """

    def __init__(self, url: str, settings: SourceSettings, stop: Event) -> None:
        path = path_of(url)
        if not path.is_file():
            raise SourceError(f"{path} is not a file; expected a video or a picture")
        super().__init__(str(path), _OPTIONS)
        self._settings = settings
        self._stop = stop

    def packets(self) -> Iterator[Packet]:
        """Yield the packets; ``arrival.pts_s`` goes on over loops."""
        opened_wall, opened = time.time(), time.monotonic()
        clock = _MediaClock(self.stream)
        while True:
            empty = True
            for data in self.demux():
                empty = False
                media_s, pts_s = clock.read(data)
                if self._settings.realtime:
                    if self._stop.wait(max(0.0, opened + media_s - time.monotonic())):
                        return
                    arrival = Arrival(time.time(), time.monotonic(), pts_s)
                elif self._stop.is_set():
                    return
                else:
                    arrival = Arrival(opened_wall + media_s, opened + media_s, pts_s)
                yield Packet(arrival, data.is_keyframe, data.size, data)
            if empty or not self._settings.loop:
                return
            self.rewind()
            clock.next_round()

    def explain(self, exc: av.error.FFmpegError) -> str | None:
        if isinstance(exc, (av.error.InvalidDataError, av.error.ArgumentError)):
            return "is not a video or picture that FFmpeg can read"
        return None


class _MediaClock:
    """Continuous time of a recording, also over missing, repeated and jumping times."""

    def __init__(self, stream: av.VideoStream) -> None:
        self._interval_s = 1 / float(stream.average_rate or _FALLBACK_RATE)
        if self._interval_s < _SHORTEST_GAP_S:
            self._interval_s = 1 / _FALLBACK_RATE
        self._ahead_s = 0.0  # of the recording's clock, which stood still for one packet
        self._now_s = -self._interval_s
        self._last_dts_s: float | None = None
        self._round_s = 0.0

    def read(self, packet: "av.Packet[av.VideoStream]") -> tuple[float, float | None]:
        """Return seconds since the first packet, and the presentation time if any."""
        dts_s = seconds(packet.dts, packet.time_base)
        pts_s = seconds(packet.pts, packet.time_base)
        step_s, ahead_s = self._interval_s, 0.0
        if dts_s is not None and self._last_dts_s is not None:
            stated_s = dts_s - self._last_dts_s
            if _SHORTEST_GAP_S <= stated_s <= _LONGEST_GAP_S:
                step_s = max(0.0, stated_s - self._ahead_s)
            elif 0 <= stated_s < _SHORTEST_GAP_S:
                ahead_s = step_s
        self._last_dts_s, self._ahead_s = dts_s, ahead_s
        self._now_s += step_s
        return self._now_s, None if pts_s is None else self._round_s + pts_s

    def next_round(self) -> None:
        """Record that the recording starts again."""
        self._last_dts_s = None
        self._round_s = self._now_s + self._interval_s


def path_of(url: str) -> Path:
    """Return the path of a recording.

    Raises:
        SourceError: The URL names another host.
    """
    if not url.lower().startswith("file:"):
        return Path(url)
    rest = url[len("file:") :]
    if rest.startswith("//"):
        host, slash, path = rest[2:].partition("/")
        if host not in {"", "localhost"}:
            raise SourceError(f"{url} names the host {host!r}; expected file:///path or file:path")
        rest = slash + path
    return Path(unquote(rest))
