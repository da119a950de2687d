"""Masks passwords in any text, so that no password leaves the process.

FFmpeg puts the whole camera URL, password included, into its error messages; masking the
configuration does not prevent that. So every message that crosses a module boundary goes through
``redact``, and a logging filter masks every log record once more.
"""

import json
import logging
import re
from urllib.parse import quote, unquote

MASK = "***"

# user:password@ in a URL of any scheme. The password may contain '@' itself: it ends at the last
# '@' before a slash, quote or blank (greedy match).
_CREDENTIALS = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*://)(?P<userinfo>[^/\s'\"]*)@")

_secrets: set[str] = set()
_any_secret = re.compile(r"(?!)")  # matches nothing


def register_secret(secret: str) -> None:
    """Mask ``secret`` in every text from now on, also as URLs, JSON and ``repr`` escape it."""
    global _any_secret  # noqa: PLW0603 - one process, one set of secrets
    forms = {
        secret,
        unquote(secret),
        quote(secret),
        quote(secret, safe=""),
        json.dumps(secret)[1:-1],
        repr(secret)[1:-1],
    }
    # A secret of one or two characters would mask parts of most sentences.
    new = {form for form in forms if len(form) > 2} - _secrets
    if not new:
        return
    _secrets.update(new)
    longest_first = sorted(_secrets, key=len, reverse=True)
    _any_secret = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")


def registered_secrets() -> frozenset[str]:
    """Return what is masked."""
    return frozenset(_secrets)


def redact(text: str) -> str:
    """Return ``text`` with URL credentials and registered secrets replaced by ``***``."""
    return _any_secret.sub(MASK, _CREDENTIALS.sub(_mask_userinfo, text))


def _mask_userinfo(match: re.Match[str]) -> str:
    user, colon, _ = match["userinfo"].partition(":")
    return f"{match['scheme']}{user if colon else MASK}{':' + MASK if colon else ''}@"


class RedactFilter(logging.Filter):
    """Masks secrets in the formatted message of a log record, its exception and its stack."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = redact(record.getMessage())
        record.args = None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        return True
