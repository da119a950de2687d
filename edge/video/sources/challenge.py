"""Reads how a camera wants clients to log in, and answers as FFmpeg does. Pure.

FFmpeg knows Basic, and Digest with MD5 (RFC 2617). It reads algorithm and parameters with their
case, takes Digest before Basic, and the last of several challenges of a kind.
"""

import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import md5
from secrets import token_hex
from typing import Final

# As FFmpeg reads them. Without steps back, so that a long word costs no more than its length.
_PARAMETER: Final = re.compile(
    r'[\s,]*+([^=]++)=(?:"((?:[^"\\]++|\\.)*+)"?+|([^\s,]*+))', re.DOTALL
)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_QOP_AUTH: Final = re.compile(r"(?<![^\s,])auth(?![^\s,])")
_KNOWN_HASHES: Final = {"", "MD5", "MD5-sess"}
# Longest values that FFmpeg keeps; it cuts off the rest.
_LONGEST: Final = {"realm": 199, "nonce": 299, "opaque": 299}


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to log in that a camera offers.

    Attributes:
        scheme: ``basic``, ``digest``, or another one, in lower case.
        text: Parameters as the camera wrote them.
    """

    scheme: str
    text: str = ""

    @property
    def parameters(self) -> dict[str, str]:
        """Parameters by name."""
        found, at = {}, 0
        while match := _PARAMETER.match(self.text, at):
            name, quoted, plain = match.groups()
            found[name] = plain if quoted is None else _ESCAPED.sub(r"\1", quoted)
            at = match.end()
        return found

    @property
    def known(self) -> bool:
        """Whether FFmpeg can answer it."""
        return self.scheme == "basic" or (
            self.scheme == "digest" and self.algorithm in _KNOWN_HASHES
        )

    @property
    def algorithm(self) -> str:
        return self.parameters.get("algorithm", "")

    @property
    def obstacle(self) -> str | None:
        """Why a camera may refuse the right password in FFmpeg's answer; None without a reason."""
        if self.scheme != "digest":
            return None
        given = self.parameters
        if given.get("qop") and not _wants_qop(given):
            return f"its Digest wants qop={given['qop']}, expected auth"
        if self.algorithm == "MD5-sess" and not _wants_qop(given):
            return "its Digest with MD5-sess has no qop=auth, without which nobody can check it"
        if "\\" in self.text:
            return "its Digest has a backslash or a quote, which FFmpeg does not return unchanged"
        for name, longest in _LONGEST.items():
            if len(given.get(name, "").encode()) > longest:
                return (
                    f"the {name} of its Digest is longer than the {longest} bytes that FFmpeg keeps"
                )
        return None

    def __str__(self) -> str:
        hashed = f" with {self.algorithm}" if self.algorithm else ""
        return self.scheme.capitalize() + hashed


def challenge_of(header: str) -> Challenge:
    """Read the value of one header ``WWW-Authenticate``."""
    scheme, _, text = header.partition(" ")
    return Challenge(scheme.lower(), text)


def chosen(challenges: Sequence[Challenge]) -> Challenge | None:
    """Return the challenge that FFmpeg takes, also if it cannot answer it."""
    for scheme in ("digest", "basic"):
        for challenge in reversed(challenges):
            if challenge.scheme == scheme:
                return challenge
    return None


def authorization(
    challenge: Challenge, method: str, uri: str, user: str, password: str
) -> str | None:
    """Return the header that answers a challenge; None if FFmpeg cannot answer it."""
    if not challenge.known:
        return None
    if challenge.scheme == "basic":
        return f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"
    given = challenge.parameters
    realm, nonce = given.get("realm", ""), given.get("nonce", "")
    secret, request = _md5(f"{user}:{realm}:{password}"), _md5(f"{method}:{uri}")
    once = token_hex(8)
    if challenge.algorithm == "MD5-sess":
        secret = _md5(f"{secret}:{nonce}:{once}")
    fields = {"username": user, "realm": realm, "nonce": nonce, "uri": uri}
    if _wants_qop(given):
        fields["response"] = _md5(f"{secret}:{nonce}:00000001:{once}:auth:{request}")
    else:
        fields["response"] = _md5(f"{secret}:{nonce}:{request}")
    for name in ("algorithm", "opaque"):
        if given.get(name):
            fields[name] = given[name]
    if _wants_qop(given):
        fields |= {"qop": "auth", "cnonce": once}
    header = ", ".join(f'{name}="{value}"' for name, value in fields.items())
    return f"Digest {header}, nc=00000001" if _wants_qop(given) else f"Digest {header}"


def _wants_qop(given: dict[str, str]) -> bool:
    """Whether FFmpeg finds ``auth`` among the qualities of protection: it must come first."""
    qop = given.get("qop", "")
    return qop.find("auth") >= 0 and _QOP_AUTH.match(qop, qop.find("auth")) is not None


def _md5(text: str) -> str:
    return md5(text.encode(), usedforsecurity=False).hexdigest()  # RFC 2617 has nothing better
