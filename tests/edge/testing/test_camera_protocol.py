"""The camera on the wire, spoken to by hand: status codes, sessions, packets, ends."""

import struct
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raw_rtsp import RawClient

from edge.testing import AccessUnit, Clip, TestCamera

TCP = "RTP/AVP/TCP;unicast;interleaved=0-1"


@pytest.fixture(scope="module")
def camera(clips: dict[str, Clip]) -> Iterator[TestCamera]:
    with TestCamera({"street": clips["h264"], "lobby/door": clips["hevc"]}) as camera:
        yield camera


def test_describe_names_the_codec_and_its_parameter_sets(
    camera: TestCamera, clips: dict[str, Clip], connect: Callable[[str], RawClient]
) -> None:
    url = camera.url("lobby/door")
    status, headers, sdp = connect(url).request("DESCRIBE", url, Accept="application/sdp")
    assert (status, headers["Content-Type"]) == (200, "application/sdp")
    assert headers["Content-Base"] == f"{url}/"
    assert "a=rtpmap:96 H265/90000\r\n" in sdp
    for (parameter_set,) in clips["hevc"].parameter_sets:
        assert b64encode(parameter_set).decode() in sdp


@pytest.mark.parametrize(
    ("request_line", "headers", "expected"),
    [
        ("OPTIONS street", {}, 200),
        ("DESCRIBE street", {}, 200),
        ("DESCRIBE nowhere", {}, 404),
        ("DESCRIBE street/more", {}, 404),
        ("SETUP street/track1", {"Transport": TCP}, 200),
        ("SETUP street/track1", {"Transport": "RTP/AVP;unicast;client_port=5000-5001"}, 461),
        ("SETUP street/track1", {"Transport": f"RTP/AVP;unicast;client_port=2-3,{TCP}"}, 200),
        ("SETUP street/track1", {}, 461),
        ("SETUP street/track1", {"Transport": "RTP/AVP/TCP;interleaved=256-257"}, 400),
        ("PLAY street", {}, 454),
        ("PLAY street", {"Session": "12345678"}, 454),
        ("TEARDOWN street", {"Session": "12345678"}, 454),
        ("GET_PARAMETER street", {}, 200),
        ("GET_PARAMETER street", {"Session": "12345678"}, 454),
        ("RECORD street", {}, 501),
    ],
)
def test_a_lone_request_gets_its_status(
    camera: TestCamera,
    connect: Callable[[str], RawClient],
    request_line: str,
    headers: dict[str, str],
    expected: int,
) -> None:
    method, path = request_line.split()
    url = camera.url("street").replace("street", path)
    client = connect(url)
    client.send(
        "".join(
            [f"{method} {url} RTSP/1.0\r\nCSeq: 1\r\n"]
            + [f"{name}: {value}\r\n" for name, value in headers.items()]
            + ["\r\n"]
        ).encode()
    )
    assert client.response()[0] == expected


def test_a_session_can_be_set_up_played_kept_alive_and_torn_down(
    camera: TestCamera,
    connect: Callable[[str], RawClient],
    until: Callable[[Callable[[], object]], None],
) -> None:
    url = camera.url("street")
    client = connect(url)
    client.play(url)
    assert client.interleaved()[0] == 1  # a sender report first
    _, headers, _ = client.request("OPTIONS", url)
    assert {"DESCRIBE", "GET_PARAMETER"} <= set(headers["Public"].split(", "))
    assert client.request("SETUP", f"{url}/track1", Transport=TCP)[0] == 455
    assert client.request("TEARDOWN", url)[0] == 454

    other = connect(url)
    session = other.request("SETUP", f"{url}/track1", Transport=TCP)[1]["Session"]
    assert session.endswith(";timeout=60")
    session = session.partition(";")[0]
    assert other.request("PLAY", camera.url("lobby/door"), Session=session)[0] == 454
    assert other.request("GET_PARAMETER", url, Session=session)[0] == 200
    assert other.request("TEARDOWN", url, Session=session)[0] == 200
    assert other.at_end()
    other.close()
    client.close()
    until(lambda: camera.clients == 0)


@pytest.mark.parametrize("auth", ["basic", "digest"])
def test_a_stranger_is_asked_for_a_password_before_anything_else(
    clips: dict[str, Clip], connect: Callable[[str], RawClient], auth: Literal["basic", "digest"]
) -> None:
    with TestCamera({"street": clips["h264"]}, user="u", password="p", auth=auth) as camera:
        url = f"rtsp://127.0.0.1:{camera.port}/nowhere"
        client = connect(url)
        status, headers, _ = client.request("DESCRIBE", url)
        assert (status, headers["WWW-Authenticate"].split()[0].lower()) == (401, auth)
        basic = b64encode(b"u:p").decode()
        status, _, _ = client.request("DESCRIBE", url, Authorization=f"Basic {basic}")
        assert status == {"basic": 404, "digest": 401}[auth]
        assert client.request("SETUP", url, Authorization="Digest response=x")[0] == 401


@pytest.mark.parametrize("name", ["h264", "h264-bframes", "hevc", "hevc-bframes"])
def test_the_packets_are_the_clip_pass_after_pass_in_continuous_time(
    clips: dict[str, Clip], connect: Callable[[str], RawClient], name: str
) -> None:
    clip = clips[name]
    with TestCamera({"street": clip}) as camera:
        client = connect(camera.url("street"))
        client.play(camera.url("street"), "RTP/AVP/TCP;unicast;interleaved=4-5")
        count = 2 * len(clip.units) + 1  # two passes and the beginning of the third
        reports, units = _receive_units(client, count, rtp=4, rtcp=5)
    expected = [
        (round((number * clip.duration_s + unit.pts_s) * 90_000), unit.nals)
        for number in range(3)
        for unit in clip.units
    ][:count]
    first = units[0][0] - expected[0][0]
    got = [((time - first) % 2**32, nals) for time, nals in units]
    assert [time for time, _ in got] == [time for time, _ in expected]
    assert [nals for _, nals in got] == [nals for _, nals in expected]
    # The sender report ties the clip's first moment to the wall clock of its pass.
    ntp, time = struct.unpack(">QI", reports[0][8:20])
    assert (time - first) % 2**32 == 0
    assert ntp / 2**32 - 2_208_988_800 == pytest.approx(camera.loops("street")[0][0], abs=1e-3)


def _receive_units(
    client: RawClient, count: int, *, rtp: int, rtcp: int
) -> tuple[list[bytes], list[tuple[int, tuple[bytes, ...]]]]:
    """Sender reports and (RTP time, NAL units) of the next access units."""
    reports: list[bytes] = []
    units: list[tuple[int, tuple[bytes, ...]]] = []
    payloads: list[bytes] = []
    expected_sequence: int | None = None
    hevc_or_h264_fragment = {28: "h264", 49: "hevc"}
    while len(units) < count:
        channel, packet = client.interleaved()
        if channel == rtcp:
            reports.append(packet)
            continue
        assert channel == rtp
        _, marker, sequence, time, _ = struct.unpack(">BBHII", packet[:12])
        assert expected_sequence in {None, sequence}
        expected_sequence = (sequence + 1) % 2**16
        payloads.append(packet[12:])
        if marker >> 7:
            units.append((time, _join(payloads, hevc_or_h264_fragment)))
            payloads = []
    return reports, units


def _join(payloads: list[bytes], kinds: dict[int, str]) -> tuple[bytes, ...]:
    """Undo the fragmentation of one access unit (the fragment type names its codec)."""
    nals: list[bytes] = []
    for payload in payloads:
        if kinds.get(payload[0] & 0x1F) == "h264":
            start, header, rest = (
                payload[1] & 0x80,
                [payload[0] & 0xE0 | payload[1] & 0x1F],
                payload[2:],
            )
        elif kinds.get(payload[0] >> 1 & 0x3F) == "hevc":
            start, rest = payload[2] & 0x80, payload[3:]
            header = [payload[0] & 0x81 | (payload[2] & 0x3F) << 1, payload[1]]
        else:
            nals.append(payload)
            continue
        nals = [*nals, bytes(header) + rest] if start else [*nals[:-1], nals[-1] + rest]
    return tuple(nals)


def test_a_malformed_request_is_answered_with_400_and_the_end(
    camera: TestCamera, connect: Callable[[str], RawClient]
) -> None:
    client = connect(camera.url("street"))
    # So much behind it that the camera cannot have read it all before it answers.
    client.send(b"GET / HTTP/1.1\r\n\r\n" + b"trailing rubbish" * 20_000)
    assert client.response()[0] == 400
    assert client.at_end()


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(garbage=st.binary(max_size=300))
def test_garbage_costs_only_its_own_connection(
    camera: TestCamera, connect: Callable[[str], RawClient], garbage: bytes
) -> None:
    url = camera.url("street")
    connect(url).send(garbage)
    assert connect(url).request("DESCRIBE", url)[0] == 200


def test_without_loop_the_connection_ends_after_the_last_frame(
    clips: dict[str, Clip], connect: Callable[[str], RawClient]
) -> None:
    with TestCamera({"street": clips["h264"]}, loop=False) as camera:
        client = connect(camera.url("street"))
        client.play(camera.url("street"))
        _, units = _receive_units(client, len(clips["h264"].units), rtp=0, rtcp=1)
        assert [nals for _, nals in units] == [unit.nals for unit in clips["h264"].units]
        assert client.at_end()


def test_a_client_that_does_not_read_holds_up_nobody(
    clips: dict[str, Clip],
    connect: Callable[[str], RawClient],
    until: Callable[[Callable[[], object]], None],
) -> None:
    flood = AccessUnit(0.0, 0.0, keyframe=True, nals=(b"\x65" + bytes(50_000_000),))
    big = Clip("h264", (flood,), clips["h264"].parameter_sets, duration_s=60.0)
    with TestCamera({"big": big, "street": clips["h264"]}) as camera:
        connect(camera.url("big")).play(camera.url("big"))
        until(lambda: camera.loops("big"))  # from here on the camera waits for the client
        client = connect(camera.url("street"))
        client.play(camera.url("street"))
        client.interleaved()


def test_clients_that_never_leave_do_not_hold_up_the_end(
    clips: dict[str, Clip],
    connect: Callable[[str], RawClient],
    until: Callable[[Callable[[], object]], None],
) -> None:
    before = set(threading.enumerate())
    with TestCamera({"street": clips["h264"]}) as camera:
        url = camera.url("street")
        client = connect(url)
        connect(url)
        client.play(url)
        connect(url).send(b"OPTIONS")
        client.request("GET_PARAMETER", url)
        until(lambda: camera.clients == 3)  # the one that said nothing whole has no answer to await
    assert camera.clients == 0
    assert set(threading.enumerate()) == before
    with pytest.raises(ConnectionRefusedError):
        connect(url)


def test_credentials_come_in_pairs_and_kinds(clips: dict[str, Clip]) -> None:
    with pytest.raises(ValueError, match="user and password together"):
        TestCamera(clips, user="u")
    with pytest.raises(ValueError, match="one of basic, digest, digest-sha-256, found 'ntlm'"):
        TestCamera(clips, user="u", password="p", auth="ntlm")  # type: ignore[arg-type]  # the point of the test


def test_an_unknown_clip_has_no_url(camera: TestCamera) -> None:
    with pytest.raises(KeyError, match="lobby/door"):
        camera.url("nowhere")
