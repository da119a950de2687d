"""Finds the secrets of a box, and masks them in any text, however it writes them.

A known secret is masked as it is, escaped as in URLs, JSON, XML and Python, in hexadecimal, and in
base64 at each alignment, as in the header of a login. What only looks like a secret is masked too.
"""

import base64
import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from edge.backup.content import CREDENTIALS, SECRETS, config_content
from edge.config.load import read_state_dir
from edge.errors import ConfigError
from edge.system.redact import MASK, redact, registered_secrets

# Shorter ones would mask parts of most words.
_SHORTEST: Final = 3
_SHORTEST_LINE: Final = 6
_SHORTEST_BASE64: Final = 5
_LONGEST_FILE: Final = 64 * 1024
# Not PWD and OLDPWD, the shell's folders, nor TOKENIZERS_PARALLELISM, which a library sets.
_NAMES: Final = re.compile(
    r"PASS|(?<!^)(?<!^OLD)PWD|SECRET|TOKEN(?!IZ)|KEY|CRED|AUTH", re.IGNORECASE
)
_WORDS_OF_SETTINGS: Final = frozenset({"true", "false", "yes", "none", "null", "off"})
_RUN: Final = Path("/run/credentials/edge.service")

_WORDS: Final = (
    r"(?:pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key|credential|auth(?:orization)?)"
)
_LIKELY: Final = (
    re.compile(
        r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*-----|\Z)", re.DOTALL
    ),
    # password: word, "token": "word", ?key=word
    re.compile(
        rf"(?P<kept>\b[\w.-]*{_WORDS}[\w-]*[\"']?\s*[:=]\s*[\"']?)(?!\$\{{|!secret\b)"
        r"(?:(?:Basic|Bearer|Digest)\s+)?[^\s\"'&,;}]+",
        re.IGNORECASE,
    ),
    re.compile(r"(?P<kept>\b(?:Basic|Bearer)\s+)[A-Za-z0-9+/=_.-]{8,}", re.IGNORECASE),
)


class Masker:
    """Masks secrets in texts.

    Args:
        secrets: What is known to be secret.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        known = sorted((word for word in secrets if len(word) >= _SHORTEST), key=len, reverse=True)
        forms = [form for word in known for form in _forms(word)]
        self._known = re.compile("|".join(forms) or r"(?!)")

    def __call__(self, text: str) -> str:
        """Return the text without secrets."""
        for likely in _LIKELY[:1]:
            text = likely.sub(MASK, text)
        text = redact(self._known.sub(MASK, text))
        for likely in _LIKELY[1:]:
            text = likely.sub(lambda match: f"{match['kept']}{MASK}", text)
        return text


def _forms(secret: str) -> Iterator[str]:
    """Patterns of the ways in which a text may write a secret."""
    yield "".join(map(_any_escape, secret))
    raw = secret.encode("utf-8", "surrogatepass")
    if len(raw) < _SHORTEST_BASE64:
        return
    yield f"(?i:{raw.hex()})"
    for offset in range(3):
        padded = bytes(offset) + raw + bytes(2)
        # Characters that depend on the secret alone.
        first, last = -(-offset * 8 // 6), (offset + len(raw)) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield re.escape(encode(padded).decode()[first:last])


def _any_escape(character: str) -> str:
    """Pattern of one character: as it is, or as URLs, JSON, Python or XML escape it."""
    code = ord(character)
    percent = "".join(f"%(?:25)*{byte:02x}" for byte in character.encode("utf-8", "surrogatepass"))
    ways = [
        rf"\\*{re.escape(character)}",
        f"(?i:{percent})",
        rf"(?i:\\+u{code:04x})",
        rf"(?i:&#x0*{code:x};)",
        f"&#0*{code};",
    ]
    if code < 256:
        ways.append(rf"(?i:\\+x{code:02x})")
    if character in "&<>\"'":
        ways.append(
            {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;"}[character]
        )
    if character == " ":
        ways.append(r"\+")
    return f"(?:{'|'.join(ways)})"


def secrets_of(config: Path, environments: Iterable[Mapping[str, str]]) -> set[str]:
    """Find the secrets of a box.

    Args:
        config: Configuration file; what it names and what lies beside it is read, as far as it can
            be.
        environments: Variables of processes.
    """
    found: set[str] = set()
    variables = list(environments)
    for environment in (*variables, {}):
        with contextlib.suppress(ConfigError):  # a broken file has no secrets that could be known
            read_state_dir(config, environment)
    found |= registered_secrets()
    for environment in variables:
        found |= {
            value
            for name, value in environment.items()
            if _NAMES.search(name) and value.lower() not in _WORDS_OF_SETTINGS
        }
    folder = config.absolute().parent
    for line in _lines(folder / SECRETS):
        found.add(line.partition(":")[2].split(" #")[0].strip().strip("\"'"))
    named: tuple[str, ...] = ()
    with contextlib.suppress(ConfigError):
        content = config_content(config)
        named = tuple(name for name in (*content.files, *content.elsewhere) if _is_key(name))
    handed = Path(os.environ.get("CREDENTIALS_DIRECTORY", _RUN))
    for root in (folder / CREDENTIALS, handed, _RUN, *(folder / name for name in named)):
        for path in [root, *sorted(root.rglob("*"))] if root.is_dir() else [root]:
            found |= {line for line in _lines(path) if len(line) >= _SHORTEST_LINE}
            found |= set(_lines(path)[:1])
    return {word for word in found if len(word) >= _SHORTEST and "-----" not in word}


def _is_key(name: str) -> bool:
    return Path(name).suffix in {".key", ".pem"} and not name.endswith("ca.pem")


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_bytes()[:_LONGEST_FILE].decode("utf-8", "replace")
    except OSError:
        return []
    return [line.strip() for line in text.splitlines() if line.strip()]


def environment_of(pid: int | None) -> dict[str, str]:
    """Return the variables of a process, as far as they can be read."""
    try:
        content = Path(f"/proc/{pid}/environ").read_bytes().decode("utf-8", "replace")
    except OSError:
        return {}
    pairs = (entry.partition("=") for entry in content.split("\0"))
    return {name: value for name, equals, value in pairs if equals}
