"""Opens sources by the scheme of their URL (README.md lists the quirks of cameras)."""

import re
from importlib import import_module  # noqa: TID251  a row of _OPENERS
from threading import Event

from edge.config.urls import SCHEMES
from edge.errors import ConfigError
from edge.system.redact import redact
from edge.video.packet import Packet
from edge.video.sources.base import Source, SourceSettings

__all__ = ["Packet", "Source", "SourceSettings", "is_live", "open_source"]

# Openers, (url, settings, stop) -> Source. A module is imported when its scheme is first used.
_OPENERS = {
    "rtsp": "edge.video.sources.rtsp:RtspSource",
    "rtsps": "edge.video.sources.rtsp:RtspSource",
    "file": "edge.video.sources.file:FileSource",
}
_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+):")


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
    module, _, opener = _OPENERS[_scheme(url)].partition(":")
    source: Source = getattr(import_module(module), opener)(
        url, settings or SourceSettings(), stop or Event()
    )
    return source


def is_live(url: str) -> bool:
    """Whether ``url`` is a camera, which never ends by itself, not a recording or a picture.

    Raises:
        ConfigError: Unknown scheme.
    """
    return _scheme(url) != "file"


def _scheme(url: str) -> str:
    match = _SCHEME.match(url)
    scheme = match[1].lower() if match else "file"
    if scheme not in SCHEMES:
        raise ConfigError(
            f"{redact(url)} has the unknown scheme {scheme!r}; expected one of "
            f"{', '.join(SCHEMES)}, or a path"
        )
    return scheme
