"""Answers RTSP requests: the state machine of one connection, without a socket."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from secrets import token_hex
from urllib.parse import unquote, urlsplit

from edge.testing.clip import Clip
from edge.testing.faults import Faults
from edge.testing.habits import PLAIN, Habits
from edge.testing.protocol.auth import Authentication
from edge.testing.protocol.rtp import RtpStream
from edge.testing.protocol.rtsp import BadRequest, Response, RtspRequest
from edge.testing.protocol.sdp import OTHER_CONTROL, describe

_OTHER = re.compile(rf"/{OTHER_CONTROL}\d+$", re.ASCII)
_CHANNELS = re.compile(r"interleaved=(\d{1,3})-(\d{1,3})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Track:
    """Track that a client has set up.

    Attributes:
        name: Name of the clip.
        stream: RTP sender of the track.
        channels: Interleaved channels for RTP and RTCP.
    """

    name: str
    stream: RtpStream
    channels: tuple[int, int]


class Dialogue:
    """Turns requests into responses. The caller reads the attributes after each ``answer``.

    Attributes:
        track: Track that was set up last; None before SETUP.
        playing: Whether PLAY was answered with 200.
        finished: Whether TEARDOWN was answered with 200, so that the connection must be closed.
    """

    def __init__(
        self,
        clips: Mapping[str, Clip],
        authentication: Authentication,
        host: str,
        faults: Faults,
        habits: Habits = PLAIN,
    ) -> None:
        self._habits = habits
        self._clips = clips
        self._faults = faults
        self._authentication = authentication
        self._host = host
        self._session = token_hex(4).upper()
        self._methods = {
            "DESCRIBE": self._describe,
            "SETUP": self._set_up,
            "PLAY": self._play,
            "TEARDOWN": self._tear_down,
        }
        if habits.keeps_alive:
            self._methods["GET_PARAMETER"] = self._methods["SET_PARAMETER"] = self._keep_alive
        self.track: Track | None = None
        self.playing = False
        self.finished = False

    def answer(self, request: RtspRequest) -> Response:
        """Answer one request.

        Raises:
            BadRequest: The URI is invalid, or the transport names impossible channels.
        """
        status_line = self._faults.answers.get(request.method)
        if request.method == "OPTIONS":
            public = {"Public": ", ".join(["OPTIONS", *self._methods])}
            return Response(headers=public) if status_line is None else Response(status_line)
        method = self._methods.get(request.method)
        if method is None:
            return Response(501)
        target = self._habits.sends_on_to
        if target is not None and request.method == "DESCRIBE":
            return Response("302 Moved Temporarily", {"Location": target})
        authorization = request.headers.get("authorization", "")
        if not self._authentication.accepts(authorization, request.method):
            return Response(401, {"WWW-Authenticate": self._authentication.challenges()})
        if status_line is not None:
            return Response(status_line)
        name = self._clip_name(request.uri)
        return Response(404) if name is None else method(request, name)

    def _clip_name(self, uri: str) -> str | None:
        try:
            path = unquote(urlsplit(uri).path).strip("/")
        except ValueError as exc:
            raise BadRequest(f"expected an RTSP URL, found {uri[:80]!r}") from exc
        control = self._habits.control.removeprefix("{base}").strip("/")
        for name in (path, path.removesuffix(f"/{control}"), _OTHER.sub("", path)):
            if name in self._clips:
                return name
        return None

    def _describe(self, request: RtspRequest, name: str) -> Response:
        habits, faults, base = self._habits, self._faults, request.uri.rstrip("/")
        headers = {"Content-Type": "application/sdp"}
        if habits.content_base:
            headers["Content-Base"] = f"{base}/"
        body = describe(
            self._clips[name], self._host, faults.title, faults.other_media, habits, base
        )
        return Response(headers=headers, body=body)

    def _set_up(self, request: RtspRequest, name: str) -> Response:
        if self.playing:
            return Response(455)
        channels = _tcp_channels(request.headers.get("transport", ""))
        if channels is None:
            return Response(461)
        if self._habits.channel is not None:
            channels = self._habits.channel, self._habits.channel + 1
        if not _OTHER.search(request.uri):
            self.track = Track(name, RtpStream(self._clips[name].codec), channels)
        rtp, rtcp = channels
        return Response(
            headers={
                "Transport": f"RTP/AVP/TCP;unicast;interleaved={rtp}-{rtcp}",
                "Session": f"{self._session};timeout={self._habits.session_timeout_s}",
            }
        )

    def _play(self, request: RtspRequest, name: str) -> Response:
        track = self.track
        if track is None or track.name != name or not self._names_session(request):
            return Response(454)
        self.playing = True
        return Response(headers={"Session": self._session, "Range": "npt=0.000-"})

    def _keep_alive(self, request: RtspRequest, name: str) -> Response:  # noqa: ARG002 (as the others)
        if "session" in request.headers and not self._names_session(request):
            return Response(454)
        return Response()

    def _tear_down(self, request: RtspRequest, name: str) -> Response:  # noqa: ARG002 (as the others)
        if not self._names_session(request):
            return Response(454)
        self.finished = True
        return Response(headers={"Session": self._session})

    def _names_session(self, request: RtspRequest) -> bool:
        given = request.headers.get("session", "").partition(";")[0]
        return self.track is not None and given == self._session


def _tcp_channels(transport: str) -> tuple[int, int] | None:
    """Return the interleaved channels of the first TCP offer; None where there is no offer."""
    for offer in transport.split(","):
        if "RTP/AVP/TCP" in offer.upper():
            channels = _CHANNELS.search(offer)
            rtp, rtcp = (0, 1) if channels is None else (int(channels[1]), int(channels[2]))
            if max(rtp, rtcp) > 255:
                raise BadRequest("expected interleaved channels of at most 255")
            return rtp, rtcp
    return None
