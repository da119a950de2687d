"""The request parser and the dialogue behind it, under hostile bytes."""

import struct
from itertools import pairwise
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.testing.clip import Clip
from edge.testing.faults import Faults
from edge.testing.protocol.auth import authentication
from edge.testing.protocol.dialogue import Dialogue
from edge.testing.protocol.rtsp import MAX_BODY, MAX_HEAD, BadRequest, RequestParser, RtspRequest

TOKENS = st.text("ABCXYZ_", min_size=1, max_size=12)
VALUES = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=30)
URIS = st.builds("rtsp://camera/{}".format, st.text("abc/%20:[]@?#", max_size=20))
REQUESTS = st.builds(
    lambda method, uri, headers, cseq, body: RtspRequest(
        method,
        uri,
        {**headers, "cseq": str(cseq), **({"content-length": str(len(body))} if body else {})},
        body,
    ),
    TOKENS,
    URIS,
    st.dictionaries(st.sampled_from(["session", "transport", "authorization"]), VALUES),
    st.integers(0, 10**9),
    st.binary(max_size=40),
)
RTCP = st.binary(max_size=60).map(lambda data: b"$\x01" + struct.pack(">H", len(data)) + data)


def wire(request: RtspRequest) -> bytes:
    lines = [f"{request.method} {request.uri} RTSP/1.0"]
    lines += [f"{name.title()}:  {value} " for name, value in request.headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + request.body


def parse(chunks: list[bytes]) -> tuple[list[RtspRequest], bool]:
    """The requests before the first bad one, and whether there was a bad one."""
    parser = RequestParser()
    requests: list[RtspRequest] = []
    try:
        for chunk in chunks:
            requests.extend(parser.feed(chunk))
    except BadRequest:
        return requests, True
    return requests, False


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@given(st.lists(REQUESTS | RTCP, max_size=4), st.lists(st.integers(0, 10_000), max_size=6))
def test_requests_are_found_among_rtcp_however_the_stream_is_cut(
    messages: list[RtspRequest | bytes], places: list[int]
) -> None:
    stream = b"".join(wire(each) if isinstance(each, RtspRequest) else each for each in messages)
    expected = [each for each in messages if isinstance(each, RtspRequest)]
    assert parse(cut(stream, places)) == (expected, False)


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=4))
def test_garbage_is_refused_or_waited_for_but_never_crashes(
    garbage: bytes, places: list[int]
) -> None:
    parse(cut(garbage, places))
    parse([b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n" + garbage + b"\r\n\r\n"])


GOOD = b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n"


@pytest.mark.parametrize(
    "bad",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"OPTIONS * RTSP/1.0\r\n\r\n",
        b"OPTIONS * RTSP/1.0\r\nCSeq: one\r\n\r\n",
        b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nno colon\r\n\r\n",
        b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nX: a\nb\r\n\r\n",
        b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nX: \xff\r\n\r\n",
        b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nContent-Length: -1\r\n\r\n",
        b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY + 1),
        b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nX: " + b"x" * MAX_HEAD,
        b"x" * MAX_HEAD,
    ],
    ids=lambda bad: repr(bad[:60]),
)
def test_a_malformed_request_is_refused_after_the_good_ones_before_it(bad: bytes) -> None:
    assert parse([GOOD]) == ([RtspRequest("OPTIONS", "*", {"cseq": "1"})], False)
    assert parse([GOOD + bad]) == ([RtspRequest("OPTIONS", "*", {"cseq": "1"})], True)


METHODS = st.sampled_from(
    ["OPTIONS", "DESCRIBE", "SETUP", "PLAY", "PAUSE", "TEARDOWN", "GET_PARAMETER"]
)
LIKELY = st.sampled_from(
    [
        "RTP/AVP/TCP;interleaved=0-1",
        "RTP/AVP/TCP;interleaved=0-999",
        "RTP/AVP;unicast",
        "Basic !!",
        'Digest response="", uri=',
        "Digest username=u, nonce=ä",
    ]
)


@pytest.mark.parametrize("auth", ["basic", "digest", None])
@given(
    requests=st.lists(
        st.builds(
            RtspRequest,
            METHODS,
            st.sampled_from(["rtsp://h/h264", "rtsp://h/h264/track1", "rtsp://[", "*"]) | URIS,
            st.dictionaries(
                st.sampled_from(["session", "transport", "authorization"]), VALUES | LIKELY
            ),
        ),
        max_size=6,
    )
)
def test_no_sequence_of_requests_confuses_the_dialogue(
    clips: dict[str, Clip], auth: Literal["basic", "digest"] | None, requests: list[RtspRequest]
) -> None:
    user, password = ("u", "p") if auth else (None, None)
    authenticated = authentication(auth or "digest", user, password)
    dialogue = Dialogue(clips, authenticated, "127.0.0.1", Faults())
    for request in requests:
        try:
            response = dialogue.answer(request)
        except BadRequest:
            break
        assert response.encode("1").startswith(b"RTSP/1.0 ")
    # Nobody guesses a session or a password, so nothing may ever play.
    assert not dialogue.playing
    assert not dialogue.finished
    assert auth is None or dialogue.track is None
