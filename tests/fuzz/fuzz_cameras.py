"""Targets: what a camera or a recording says, and what FFmpeg makes of it."""

from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Event
from typing import Final

from fuzz_draw import Draw, damaged
from fuzz_target import Target, file_with, peer
from tiny_bundle import tiny_facts

from edge.errors import SourceError
from edge.system import redact
from edge.testing.protocol.rtsp import BadRequest, RequestParser
from edge.video.decode import Decoder, kept_frames
from edge.video.preprocess import Preprocessor
from edge.video.sampler import Sampler
from edge.video.sources.base import Source, SourceSettings
from edge.video.sources.challenge import authorization
from edge.video.sources.file import FileSource
from edge.video.sources.inquiry import inquire
from edge.video.sources.replies import explain, parse_reply
from edge.video.sources.rtsp import RtspSource

_SETTINGS: Final = SourceSettings(timeout_s=0.4)
_WORDS: Final = (
    "RTSP/1.0 200 OK\r\n", "RTSP/1.0 401 Unauthorized\r\n", "RTSP/1.0 453 Not Enough\r\n",
    "RTSP/1.0 302 Found\r\nLocation: ", "CSeq: 1\r\n", 'WWW-Authenticate: Digest realm="a", ',
    'nonce="b", qop="auth,auth-int", ', "algorithm=SHA-256", "algorithm=MD5-sess", 'opaque="c"',
    'WWW-Authenticate: Basic realm="a"\r\n', "Content-Length: ", "Content-Base: rtsp://h/s/\r\n",
    "Session: 1;timeout=60\r\n", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n", "\r\n\r\n",
    "v=0\r\n", "m=video 0 RTP/AVP 96\r\n", "a=control:trackID=1\r\n", "a=control:*\r\n",
    "a=rtpmap:96 H264/90000\r\n", "a=rtpmap:96 H265/90000\r\n", "a=fmtp:96 packetization-mode=1;",
    "sprop-parameter-sets=Z0IAHpWoKA9puAgICBA=,aM48gA==", "a=framerate:25\r\n", "m=audio 0 RTP/AVP 0\r\n",
    "a=range:npt=0-\r\n", "c=IN IP4 0.0.0.0\r\n", "b=AS:5000\r\n", "$\0", "$\1",
)  # fmt: skip


def _rtsp(data: bytes) -> None:
    """The test camera's own parser, in pieces as TCP may cut them."""
    parser = RequestParser()
    for start in range(0, len(data), 64):
        list(parser.feed(data[start : start + 64]))


def _reply(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    reply = parse_reply("DESCRIBE", text)
    if reply is not None:
        said = explain(reply, has_password=True) + explain(reply, has_password=False)
        assert said.isprintable(), said
        for challenge in reply.challenges:
            proof = authorization(challenge, "DESCRIBE", "rtsp://h/s", "user", "pw")
            assert proof is None or "\n" not in proof


def _inquiry(data: bytes) -> None:
    """What a camera answers to all questions together."""
    redact._secrets.clear()
    port = peer().say(data)
    said = inquire(f"rtsp://user:pw@127.0.0.1:{port}/s", 0.4, log_in=True)
    assert said is None or (said.isprintable() and "pw" not in said.split())


def _stream(data: bytes) -> None:
    """A camera's side of a whole connection: replies, description, packets of video."""
    port = peer().say(data)
    with RtspSource(f"rtsp://127.0.0.1:{port}/s", _SETTINGS, Event()) as source:
        _watch(source)


def _recording(data: bytes) -> None:
    """A small recording or picture, as it comes or with damage."""
    draw = Draw(data)
    name = draw.pick(sorted(_recordings()))
    whole = _recordings()[name]
    content = draw.rest() if draw.number(4) == 3 else damaged(whole, draw, 1 + draw.number(6))
    with file_with(content, name) as path, FileSource(str(path), _SETTINGS, Event()) as source:
        _watch(source)


def _watch(source: Source) -> None:
    """Decode and prepare pictures as a camera's thread does."""
    decoder = Decoder(source.stream)
    preprocess = Preprocessor(tiny_facts().image)
    with suppress(SourceError):
        for frame in kept_frames(source.packets(), decoder, Sampler(100.0, 0.0)):
            assert preprocess(frame.picture).shape == (3, 8, 8)


@cache
def _recordings() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (Path(__file__).parent / "clips").iterdir()}


_SOURCES: Final = (
    "edge.video.sources.container", "edge.video.sources.choice", "edge.video.decode",
    "edge.video.geometry", "edge.video.preprocess",
)  # fmt: skip
TARGETS: Final = {
    "rtsp": Target(_rtsp, (BadRequest,), ("edge.testing.protocol.rtsp",), _WORDS),
    "reply": Target(_reply, (), ("edge.video.sources.replies", "edge.video.sources.challenge"), _WORDS),
    "inquiry": Target(_inquiry, (), ("edge.video.sources.inquiry",), _WORDS),
    "stream": Target(_stream, (SourceError,), ("edge.video.sources.rtsp", *_SOURCES), _WORDS),
    "recording": Target(_recording, (SourceError,), ("edge.video.sources.file", *_SOURCES)),
}  # fmt: skip
