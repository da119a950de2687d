"""Opens sources by the scheme of their URL (README.md lists the quirks of cameras)."""

from importlib import import_module  # noqa: TID251  a row of _OPENERS
from threading import Event

from edge.video.packet import Packet
from edge.video.scheme import is_live, scheme_of
from edge.video.sources.base import Source, SourceSettings

__all__ = ["Packet", "Source", "SourceSettings", "is_live", "open_source"]

# Openers, (url, settings, stop) -> Source. A module is imported when its scheme is first used.
_OPENERS = {
    "rtsp": "edge.video.sources.rtsp:RtspSource",
    "rtsps": "edge.video.sources.rtsp:RtspSource",
    "file": "edge.video.sources.file:FileSource",
}


def open_source(
    url: str, settings: SourceSettings | None = None, stop: Event | None = None
) -> Source:
    """Open a camera or file.

    Args:
        url: ``rtsp://``, ``rtsps://``, ``file:`` or a path.
        settings: Settings; default: a file as fast as possible, a camera over TCP.
        stop: Event that another thread sets to end ``packets``.

    Raises:
        ConfigError: Unknown scheme.
        SourceRefused: The camera answered with a refusal.
        SourceError: The source is not reachable or not a video.
    """
    module, _, opener = _OPENERS[scheme_of(url)].partition(":")
    source: Source = getattr(import_module(module), opener)(
        url, settings or SourceSettings(), stop or Event()
    )
    return source
