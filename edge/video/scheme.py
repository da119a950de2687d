"""Says of what kind a camera's location is, by the scheme of its URL. Pure."""

import re
from typing import Final

from edge.config.urls import SCHEMES
from edge.errors import ConfigError
from edge.system.redact import redact

_SCHEME: Final = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+):")


def is_live(url: str) -> bool:
    """Whether ``url`` is a camera, which never ends by itself, not a recording or a picture.

    Raises:
        ConfigError: Unknown scheme.
    """
    return scheme_of(url) != "file"


def scheme_of(url: str) -> str:
    """Return the scheme of a URL; ``file`` for a path.

    Raises:
        ConfigError: Unknown scheme.
    """
    match = _SCHEME.match(url)
    scheme = match[1].lower() if match else "file"
    if scheme not in SCHEMES:
        raise ConfigError(
            f"{redact(url)} has the unknown scheme {scheme!r}; expected one of "
            f"{', '.join(SCHEMES)}, or a path"
        )
    return scheme
