"""Reads what a camera says to an RTSP request, and what follows from it. Pure.

``parse_reply`` reads one reply, ``explain`` says it in words with what to do about it, and
``authorization`` answers a challenge as FFmpeg does (RFC 2617: Basic, and Digest with MD5).
"""

import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import md5
from secrets import token_hex
from typing import Final

from edge.system.redact import redact

_STATUS_LINE: Final = re.compile(r"RTSP/\d\.\d +(\d{3})(?: +(.*))?")
# Without steps back, so that a long word costs a camera's bytes no more than their length.
_PARAMETER: Final = re.compile(r'(?<![\w-])([\w-]++)\s*+=\s*+(?:"([^"]*+)"|([^\s,"]++))')
_KNOWN_HASHES: Final = {"", "MD5", "MD5-SESS"}
_MEANING: Final = {
    401: "refused the user name or password",
    403: "forbids this stream to this user",
    404: "has no such stream",
}
_ADVICE: Final = {
    401: "check the credentials in the camera's url",
    400: "check the path in the camera's url, and escape its special characters",
    403: "check the user's rights in the camera",
    404: "check the path of the camera's url against its manual",
    406: "check the path of the camera's url: there is no stream to describe",
    453: "end other viewers of the camera (apps, recorders), or give its substream",
    454: "end other viewers of the camera, or restart it",
    461: "choose the other transport (tcp or udp)",
    500: "restart the camera, or update its firmware",
    503: "end other viewers of the camera, or wait until it has started",
    551: "update the camera's firmware",
}
_LONGEST_REASON: Final = 120


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to log in that a camera offers.

    Attributes:
        scheme: ``basic``, ``digest``, or another one, in lower case.
        parameters: Parameters by name, in lower case.
    """

    scheme: str
    parameters: dict[str, str]

    @property
    def known(self) -> bool:
        """Whether FFmpeg can answer it."""
        if self.scheme == "digest":
            qop = self.parameters.get("qop", "auth").replace(",", " ").split()
            return self.algorithm in _KNOWN_HASHES and "auth" in qop
        return self.scheme == "basic"

    @property
    def algorithm(self) -> str:
        return self.parameters.get("algorithm", "").upper()

    def __str__(self) -> str:
        hashed = f" with {self.algorithm}" if self.algorithm else ""
        return self.scheme.capitalize() + hashed


@dataclass(frozen=True, slots=True)
class CameraReply:
    """What a camera said to one request.

    Attributes:
        method: Method of the request.
        status: Status, such as 200.
        reason: The camera's words for it.
        headers: Names in lower case, with values, in order; a name may stand there twice.
        body: Body.
    """

    method: str
    status: int
    reason: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """Return the first value of a header, given in lower case."""
        return next((value for key, value in self.headers if key == name), None)

    @property
    def challenges(self) -> list[Challenge]:
        """Ways to log in that the camera offers."""
        return [
            Challenge(scheme.lower(), _parameters(rest))
            for key, value in self.headers
            if key == "www-authenticate"
            for scheme, _, rest in [value.partition(" ")]
        ]


def parse_reply(method: str, head: str) -> CameraReply | None:
    """Return the reply whose status line and headers are ``head``; None if that is not RTSP."""
    first, *lines = head.strip().splitlines() or [""]
    match = _STATUS_LINE.fullmatch(first.strip())
    if match is None:
        return None
    pairs = (line.partition(":") for line in lines)
    headers = tuple((name.strip().lower(), value.strip()) for name, _, value in pairs)
    return CameraReply(method, int(match[1]), printable(match[2] or ""), headers)


def explain(reply: CameraReply, *, has_password: bool) -> str:
    """Say what a camera answered instead of a stream, and what to do about it."""
    said = f"answers {reply.method} with {f'{reply.status} {reply.reason}'.strip()!r}"
    if reply.status == 401:
        offered = reply.challenges
        if offered and not any(challenge.known for challenge in offered):
            names = " or ".join(str(challenge) for challenge in offered)
            return (
                f"{said} and offers only {names}, expected Digest with MD5, or Basic: allow one of "
                "these in the camera's settings (RTSP authentication)"
            )
        if not has_password:
            return f"{said}: write user:password@ before the host in the camera's url"
    if 300 <= reply.status < 400:
        target = redact(printable(reply.header("location") or "nowhere"))
        return f"{said} and sends us to {target}, which failed: give that address if it is right"
    if reply.status in _MEANING:
        said = f"{_MEANING[reply.status]} ({reply.status}), it {said}"
    return f"{said}: {_ADVICE.get(reply.status, 'see the log or the manual of the camera')}"


def authorization(
    challenges: Sequence[Challenge], method: str, uri: str, user: str, password: str
) -> str | None:
    """Return the header that answers a challenge; None if none of them can be answered."""
    known = [challenge for challenge in challenges if challenge.known]
    digests = [challenge for challenge in known if challenge.scheme == "digest"]
    if not digests:
        basic = b64encode(f"{user}:{password}".encode()).decode()
        return f"Basic {basic}" if known else None
    given = digests[0].parameters
    realm, nonce = given.get("realm", ""), given.get("nonce", "")
    secret, request = _md5(f"{user}:{realm}:{password}"), _md5(f"{method}:{uri}")
    once = token_hex(8)
    if digests[0].algorithm == "MD5-SESS":
        secret = _md5(f"{secret}:{nonce}:{once}")
    fields = {"username": user, "realm": realm, "nonce": nonce, "uri": uri}
    if "qop" in given:
        proof = _md5(f"{secret}:{nonce}:00000001:{once}:auth:{request}")
    else:
        proof = _md5(f"{secret}:{nonce}:{request}")
    fields["response"] = proof
    if "opaque" in given:
        fields["opaque"] = given["opaque"]
    header = ", ".join(f'{name}="{value}"' for name, value in fields.items())
    if digests[0].algorithm:
        header += f", algorithm={given['algorithm']}"
    if "qop" in given or digests[0].algorithm == "MD5-SESS":
        header += f', qop=auth, nc=00000001, cnonce="{once}"'
    return f"Digest {header}"


def printable(text: str) -> str:
    """Return what a camera says, short and without control characters."""
    return "".join(c if c.isprintable() else "?" for c in text[:_LONGEST_REASON]).strip()


def _parameters(text: str) -> dict[str, str]:
    return {name.lower(): quoted or plain for name, quoted, plain in _PARAMETER.findall(text)}


def _md5(text: str) -> str:
    return md5(text.encode(), usedforsecurity=False).hexdigest()  # RFC 2617 has nothing better
