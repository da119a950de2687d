"""Reads cameras over ``rtsp://`` and ``rtsps://``."""

import errno
import time
from collections.abc import Iterator
from threading import Event

import av.error

from edge.errors import SourceError
from edge.video.packet import Packet
from edge.video.sample import Arrival
from edge.video.sources.base import SourceSettings
from edge.video.sources.container import Container, seconds
from edge.video.sources.inquiry import inquire

_OPTIONS = {
    "allowed_media_types": "video",
    # FFmpeg takes the codec from the SDP instead of watching the stream for a second: the first
    # frame comes after 0.1 s instead of 1 s (measured). fflags=nobuffer would drop the first GOP.
    "analyzeduration": "0",
    "probesize": "32",
}


class RtspSource(Container):
    """RTSP camera.

    Silence is the time without a picture: FFmpeg says that bytes came when its waiting ends amid a
    packet, and does not say it when that ends between two.

    One read may take half the timeout. When the first read times out, FFmpeg returns the frame that
    its parser still held; so silence is measured here, from the last packet that really came.

    Args:
        url: URL, with credentials where the camera requires them.
        settings: Settings, of which ``transport`` and ``timeout_s`` are used.
        stop: Event that ends ``packets`` when set: with the next packet, at the latest after half
            the timeout. Opening cannot be stopped; it takes at most twice the timeout.
    """

    def __init__(self, url: str, settings: SourceSettings, stop: Event) -> None:
        self._url, self._settings = url, settings
        self._stop = stop
        self._last_arrival = Arrival.now()
        self._let_go = False  # the parser's frame, by the read before
        if url.lower().startswith("rtsps:"):
            self.silence_hint = " over TLS: try rtsp:// in case its port is a plain one"
        super().__init__(
            url,
            {"rtsp_transport": settings.transport, **_OPTIONS},
            open_timeout_s=settings.timeout_s,
            read_timeout_s=settings.timeout_s / 2,
        )

    def packets(self) -> Iterator[Packet]:
        """Yield packets as they come in.

        ``arrival`` is one frame interval after the camera sent the picture: FFmpeg's parser
        recognises the end of a picture only when the next one begins.
        """
        while not self._stop.is_set():
            try:
                yield from self._packets_until_silence()
            except TimeoutError as exc:
                self._let_go = True
                if self._is_silent():
                    raise SourceError(f"{self.name} {self._silence}") from exc

    def explain(self, exc: av.error.FFmpegError) -> str | None:
        match exc:
            case av.error.InvalidDataError():
                return "does not answer as an RTSP camera: check the port and path of its url"
            case av.error.OSError(errno=93):  # EPROTONOSUPPORT, from the status 461
                transport = self._settings.transport
                other = "udp" if transport == "tcp" else "tcp"
                return f"does not send over {transport}: try transport: {other}"
            case av.error.OSError(errno=errno.EIO) if self._is_silent():
                return (
                    f"{self._silence}, though bytes came: the line is far too slow, or the camera "
                    "was set to another codec"
                )
        return None

    def explain_opening(self, exc: av.error.FFmpegError) -> str | None:
        """Ask the camera itself: FFmpeg keeps its words back."""
        if isinstance(exc, av.error.OSError) and self.explain(exc) is not None:
            return None
        wrong_password = isinstance(exc, av.error.HTTPUnauthorizedError)
        return inquire(self._url, self._settings.timeout_s, log_in=not wrong_password)

    @property
    def _silence(self) -> str:
        return f"sent no picture for {self._settings.timeout_s:g} s"

    def _is_silent(self) -> bool:
        return time.monotonic() - self._last_arrival.monotonic >= self._settings.timeout_s

    def _packets_until_silence(self) -> Iterator[Packet]:
        asked = time.monotonic()
        for data in self.demux():
            wall, monotonic = time.time(), time.monotonic()
            held, self._let_go = not self._let_go, monotonic - asked >= self._settings.timeout_s / 2
            if held and self._let_go:
                # This is the parser's last frame, released because the read timed out; it is not an
                # arrival. Its data came directly after the previous packet. After a frame that was
                # let go the parser holds none: what comes next came while we waited.
                wall, monotonic = self._last_arrival.wall, self._last_arrival.monotonic
            self._last_arrival = Arrival(wall, monotonic, seconds(data.pts, data.time_base))
            yield Packet(self._last_arrival, data.is_keyframe, data.size, data)
            if self._stop.is_set():
                return
            asked = time.monotonic()
        raise SourceError(f"{self.name} ended the stream")
