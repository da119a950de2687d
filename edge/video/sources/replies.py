"""Reads what a camera says to an RTSP request, and what follows from it. Pure.

``parse_reply`` reads one reply, ``explain`` says it in words with what to do about it.
"""

import re
from dataclasses import dataclass
from typing import Final

from edge.system.redact import redact
from edge.video.sources.challenge import Challenge, challenge_of, chosen

_STATUS_LINE: Final = re.compile(r"RTSP/\d\.\d +(\d{3})(?: +(.*))?")
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
_SET_LOGIN: Final = (
    "allow Digest with MD5, or Basic, in the camera's settings (RTSP authentication)"
)
_LONGEST_REASON: Final = 120


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
        return [challenge_of(value) for key, value in self.headers if key == "www-authenticate"]


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
        if offered and not _answerable(offered):
            return f"{said} and {_unanswerable(offered)}"
        if not has_password:
            return f"{said}: write user:password@ before the host in the camera's url"
    if 300 <= reply.status < 400:
        target = redact(printable(reply.header("location") or "nowhere"))
        return f"{said} and sends us to {target}, which failed: give that address if it is right"
    if reply.status in _MEANING:
        said = f"{_MEANING[reply.status]} ({reply.status}), it {said}"
    advice = _ADVICE.get(reply.status, "see the log or the manual of the camera")
    taken = chosen(reply.challenges)
    if reply.status == 401 and taken is not None and taken.obstacle is not None:
        advice += f". If they are right, {printable(taken.obstacle)}: {_SET_LOGIN}"
    return f"{said}: {advice}"


def _answerable(offered: list[Challenge]) -> bool:
    taken = chosen(offered)
    return taken is not None and taken.known


def _unanswerable(offered: list[Challenge]) -> str:
    names = printable(" or ".join(str(challenge) for challenge in offered))
    if any(challenge.known for challenge in offered):
        return f"offers {names}, of which FFmpeg takes the last Digest: {_SET_LOGIN} alone"
    return f"offers only {names}, expected Digest with MD5, or Basic: {_SET_LOGIN}"


def printable(text: str) -> str:
    """Return what a camera says, short and without control characters."""
    return "".join(c if c.isprintable() else "?" for c in text[:_LONGEST_REASON]).strip()
