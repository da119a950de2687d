"""Passwords never leave the process: one function masks them in any text.

FFmpeg puts the whole camera URL, password included, into its error messages, and a masked
configuration does not help there. So every message that crosses a seam goes through ``redact``,
and a logging filter does it once more for records that nobody thought of.
"""

import logging
import re
from urllib.parse import quote, unquote

MASK = "***"

# user:password@ in a URL of any scheme. The password may itself contain '@': the last '@' before
# a slash, quote or blank ends it (greedy).
_CREDENTIALS = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*://)(?P<userinfo>[^/\s'\"]*)@")

_secrets: set[str] = set()


def register_secret(secret: str) -> None:
    """Mask ``secret`` (and its percent-encoded forms) in every text from now on."""
    for form in (secret, quote(secret, safe=""), quote(secret), unquote(secret)):
        # A secret of one or two characters would mask half of every sentence.
        if len(form) > 2:
            _secrets.add(form)


def redact(text: str) -> str:
    """Return ``text`` with URL credentials and registered secrets replaced by ``***``."""
    text = _CREDENTIALS.sub(_mask_userinfo, text)
    for secret in sorted(_secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def _mask_userinfo(match: re.Match[str]) -> str:
    user, colon, _ = match["userinfo"].partition(":")
    return f"{match['scheme']}{user if colon else MASK}{':' + MASK if colon else ''}@"


class RedactFilter(logging.Filter):
    """Masks the finished message of a log record, exception text included."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = redact(record.getMessage())
        record.args = None
        if record.exc_info and not record.exc_text:
            record.exc_text = redact(logging.Formatter().formatException(record.exc_info))
        return True
