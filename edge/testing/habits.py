"""Defines the habits of the test camera: what real cameras do besides what the standards say.

Faults come and go while a camera runs; a habit is part of the camera.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

ParameterSets = Literal["told", "not-told", "empty", "no-pps", "broken"]
HashName = Literal["", "MD5", "SHA-256"]


@dataclass(frozen=True, slots=True)
class Login:
    """How a camera lets users log in by Digest.

    Attributes:
        realm: Name of the place that the password opens, as it stands between the quotes.
        algorithms: A challenge for each, in order; ``""`` names none, which means MD5.
        qop: Qualities of protection on offer, such as ``auth`` or ``auth,auth-int``.
        opaque: Text that the client must return.
        basic_too: Whether Basic is offered too, and taken.
    """

    realm: str = "edge.testing"
    algorithms: Sequence[HashName] = ("MD5",)
    qop: str = ""
    opaque: str = ""
    basic_too: bool = False


@dataclass(frozen=True, slots=True)
class Habits:
    """Habits of a camera. The defaults are those of a camera without any.

    Attributes:
        login: How users log in, where the camera asks for Digest.
        parameter_sets: What the session description says of the parameter sets: all of them,
            nothing at all, empty ones, those of the sequence only, or what is no base64.
        bare: Whether keyframes come without parameter sets, so that only the description has them.
        line_end: End of each line of replies and descriptions.
        session_control: Whether the description has ``a=control`` for the whole session.
        content_base: Whether DESCRIBE is answered with ``Content-Base``.
        control: ``a=control`` of the video; ``{base}`` stands for the URL of the stream.
        later_media: Descriptions of further media, after the video's. They can be set up and send
            nothing.
        channel: First interleaved channel that the camera takes, whatever was asked for.
        unasked: Whether packets of a track that nobody set up come with the video.
        marker: Whether the last packet of a picture has its marker.
        reports: Time that sender reports say; ``none`` sends no reports.
        keeps_alive: Whether GET_PARAMETER and SET_PARAMETER are known.
        session_timeout_s: Timeout that SETUP tells.
        sends_on_to: URL to which DESCRIBE sends every client (302), before it need log in.
    """

    login: Login = Login()
    parameter_sets: ParameterSets = "told"
    bare: bool = False
    line_end: Literal["\r\n", "\n"] = "\r\n"
    session_control: bool = True
    content_base: bool = True
    control: str = "track1"
    later_media: Sequence[str] = ()
    channel: int | None = None
    unasked: bool = False
    marker: bool = True
    reports: Literal["now", "1970", "none"] = "now"
    keeps_alive: bool = True
    session_timeout_s: int = 60
    sends_on_to: str | None = None


PLAIN = Habits()
