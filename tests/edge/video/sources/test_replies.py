import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from known import known

from edge.video.sources.challenge import authorization, chosen
from edge.video.sources.replies import CameraReply, explain, parse_reply

ONLY_SHA = 'WWW-Authenticate: Digest realm="a,b c=\'x\'", nonce="n", algorithm=SHA-256'
BOTH = f'{ONLY_SHA}\r\nWWW-Authenticate: Digest realm="r", nonce="n", algorithm="MD5", qop="auth"'


def refused(headers: str) -> CameraReply:
    return known(parse_reply("DESCRIBE", f"RTSP/1.0 401 Unauthorized\r\n{headers}"))


def test_a_reply_keeps_the_cameras_own_words() -> None:
    reply = known(parse_reply("SETUP", "RTSP/1.0 453 Zu wenig\x07 Bandbreite\nX: 1: 2\nX: 3"))
    assert (reply.status, reply.reason) == (453, "Zu wenig? Bandbreite")
    assert reply.headers == (("x", "1: 2"), ("x", "3"))
    said = explain(reply, has_password=True)
    assert said.startswith("answers SETUP with '453 Zu wenig? Bandbreite': end other viewers")


def test_a_status_without_words_is_said_by_its_number() -> None:
    reply = known(parse_reply("PLAY", "RTSP/1.0 599"))
    assert explain(reply, has_password=True).startswith("answers PLAY with '599': see the log")


@pytest.mark.parametrize(
    ("headers", "has_password", "words"),
    [
        (ONLY_SHA, True, "offers only Digest with SHA-256, expected Digest with MD5, or Basic"),
        ("WWW-Authenticate: Bearer realm=x", True, "offers only Bearer, expected"),
        (BOTH, True, "check the credentials"),
        ("WWW-Authenticate: Basic realm=x", True, "check the credentials"),
        ("", True, "check the credentials"),
        (BOTH, False, "write user:password@"),
    ],
)
def test_a_refusal_says_whether_the_password_or_the_way_to_log_in_is_wrong(
    headers: str, has_password: bool, words: str
) -> None:
    said = explain(refused(headers), has_password=has_password)
    assert words in said
    assert "401" in said


def test_a_challenge_is_answered_as_the_standard_computes_it() -> None:
    # RFC 2617, section 3.5, without qop as RFC 2069 has it.
    headers = (
        'WWW-Authenticate: Digest realm="testrealm@host.com", '
        'nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"'
    )
    challenge = known(chosen(refused(headers).challenges))
    proof = authorization(challenge, "GET", "/dir/index.html", "Mufasa", "Circle Of Life")
    assert 'response="670fd8c2df070c60b045671b8b24ff02"' in known(proof)
    basic = known(chosen(refused("WWW-Authenticate: Basic realm=x").challenges))
    assert authorization(basic, "GET", "/", "Aladdin", "open sesame") == (
        "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    )
    sha = known(chosen(refused(ONLY_SHA).challenges))
    assert authorization(sha, "GET", "/", "u", "p") is None


@pytest.mark.parametrize("head", ["", "HTTP/1.1 400 Bad Request", "RTSP/1.0", "\x16\x03\x01"])
def test_what_is_no_reply_is_none(head: str) -> None:
    assert parse_reply("OPTIONS", head) is None


@given(st.text(max_size=200), st.booleans())
def test_no_text_breaks_the_reader(text: str, has_password: bool) -> None:
    parse_reply("OPTIONS", text)
    reply = parse_reply("DESCRIBE", f"RTSP/1.0 401 {text}\r\nWWW-Authenticate: Digest {text}")
    if reply is not None:
        assert explain(reply, has_password=has_password).isprintable()
        for challenge in reply.challenges:
            authorization(challenge, "DESCRIBE", "rtsp://h/", "u", "p")


@pytest.mark.parametrize("header", ["a" * 16_000, "a=" * 8_000, 'a="' * 5_000, "a" + " " * 16_000])
def test_a_long_challenge_takes_no_longer_than_its_bytes(header: str) -> None:
    reply = known(parse_reply("DESCRIBE", f"RTSP/1.0 401 x\nWWW-Authenticate: Digest {header}"))
    began = time.process_time()
    explain(reply, has_password=True)
    assert time.process_time() - began < 1  # it was nine seconds


def test_the_way_to_log_in_is_printed_without_control_characters() -> None:
    reply = refused("WWW-Authenticate: \x1b[2J\x01x algorithm=\x07y")
    assert explain(reply, has_password=True).isprintable()
