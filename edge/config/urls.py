"""Checks the camera URLs of the configuration and makes them complete."""

import re
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from edge.system.visible import is_visible

# Allowed schemes of a camera's URL; ``edge.video.sources`` opens each of them.
SCHEMES: Final = ("rtsp", "rtsps", "file")
_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+):")
_QUOTES: Final = "\"'`<"
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
# '?token=word', and '/user=me&password=word&channel=1' or the same with '_' for '&'.
_PARAMETER = re.compile(
    r"(?i:pass|pwd|secret|token|key|auth|credential)[a-z]*=([^&/?#]+?)(?=[&/?#]|_[a-z]+=|$)"
)
# Finds an unescaped password, which urlsplit does not find: 'rtsp://me:a/b@host/'.
_TO_THE_LAST_AT = re.compile(r"://[^:/@]*:(.*)@", re.DOTALL)


def resolve_url(url: str, folder: Path) -> str:
    """Check a camera URL without opening it.

    Args:
        url: ``rtsp://…``, ``rtsps://…``, ``file:…``, or a path.
        folder: Folder that relative paths start from.

    Returns:
        The URL, with an absolute path where it is a file.

    Raises:
        ValueError: Unknown scheme, no host, or an address that cannot be parsed. The message
            quotes nothing of the URL after its scheme.
    """
    if not is_visible(url):
        raise ValueError("expected a URL or a path")
    if url != url.strip() or url[0] in _QUOTES or _CONTROL.search(url):
        raise ValueError(
            "expected a URL or a path without blanks, quotes or line breaks around it; a file of"
            " variables or secrets may add them"
        )
    match = _SCHEME.match(url)
    if not match and "://" in url:
        raise ValueError("expected a URL that begins with its scheme, such as rtsp://")
    if not match:
        return str(folder / url)
    scheme = match[1].lower()
    if scheme not in SCHEMES:
        close = get_close_matches(scheme, SCHEMES, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"expected one of {', '.join(SCHEMES)}, found {scheme!r}{hint}")
    rest = url[match.end() :]
    if scheme == "file":
        return url if rest.startswith("/") else f"file:{quote(str(folder / unquote(rest)))}"
    _check_address(url)
    return url


def passwords(url: str) -> set[str]:
    """Return the parts of ``url`` that must never be shown, even if the URL is not valid."""
    found = set(_PARAMETER.findall(url))
    with suppress(ValueError):
        if password := urlsplit(url).password:
            return found | {password}
    return found | set(_TO_THE_LAST_AT.findall(url))


def _check_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # urlsplit checks it when it is read
    except ValueError:
        raise ValueError(
            "expected user:password@host:port/path; in a password write / as %2F, ? as %3F, "
            "# as %23, @ as %40, : as %3A"
        ) from None
    if not parts.hostname:
        raise ValueError("expected a host behind the scheme, such as rtsp://192.0.2.10/stream2")
