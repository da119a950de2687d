"""What a camera says that gives no stream, through FFmpeg and by our own question."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from edge.errors import SourceError, SourceRefused
from edge.testing import TestCamera
from edge.testing.clip import Clip
from edge.video.sources import SourceSettings, open_source

QUICK = SourceSettings(timeout_s=1.0)


def failure(url: str) -> SourceError:
    with pytest.raises(SourceError) as caught:
        open_source(url, QUICK)
    assert "s3cr3t" not in f"{caught.value} {caught.value.__cause__!r}"
    return caught.value


@pytest.mark.parametrize(
    ("method", "line", "advice"),
    [
        ("OPTIONS", "503 Busy", "end other viewers"),
        ("DESCRIBE", "406 Not Acceptable", "check the path"),
        ("DESCRIBE", "400 Bad Request", "check the path"),
        ("DESCRIBE", "551 Option not supported", "firmware"),
        ("SETUP", "453 Not Enough Bandwidth", "end other viewers"),
        ("PLAY", "454 Session Not Found", "end other viewers"),
        ("PLAY", "599 只有一个用户", "the manual of the camera"),
    ],
)
def test_the_cameras_own_words_are_shown_with_what_to_do(
    camera: TestCamera, method: str, line: str, advice: str
) -> None:
    camera.faults.answers = {method: line}
    error = failure(camera.url("yard"))
    assert f"/yard answers {method} with '{line}'" in str(error)
    assert advice in str(error)
    assert not isinstance(error, SourceRefused)  # it may be over soon


def test_a_camera_that_logs_in_only_by_what_ffmpeg_does_not_know_says_so(recording: Clip) -> None:
    clips = {"yard": recording}
    with TestCamera(clips, user="viewer", password="s3cr3t-pass", auth="digest-sha-256") as camera:
        error = failure(camera.url("yard"))
    assert isinstance(error, SourceRefused)
    assert "offers only Digest with SHA-256, expected Digest with MD5, or Basic" in str(error)


def test_a_wrong_password_is_not_tried_again_by_the_question(camera: TestCamera) -> None:
    error = failure(camera.url("yard", password="s3cr3t-wrong"))
    assert "refused the user name or password (401)" in str(error)
    assert camera.rejected_logins == 1  # FFmpeg's own


def test_a_camera_that_wants_a_password_asks_for_one(camera: TestCamera) -> None:
    error = failure(camera.url("yard").replace("viewer:s3cr3t-pass@", ""))
    assert "answers DESCRIBE with '401 Unauthorized': write user:password@" in str(error)


@pytest.mark.parametrize(
    "host", ["no-such-camera.invalid", "cam..local", "a" * 64 + ".local", "küche.invalid"]
)
def test_an_unknown_host_is_named(host: str) -> None:
    assert f"has an unknown host '{host}'" in str(failure(f"rtsp://viewer:s3cr3t@{host}/yard"))


def test_a_host_with_an_address_where_nobody_listens_is_asked_at_the_other(
    camera: TestCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name often means ``::1`` or another IPv6 address first, and the camera has IPv4 only."""
    both = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, camera.port))
        for address in ("127.0.0.2", "127.0.0.1")
    ]
    resolve = socket.getaddrinfo

    def found(host: str, *more: Any, **words: Any) -> Any:
        return both if host == "localhost" else resolve(host, *more, **words)

    monkeypatch.setattr(socket, "getaddrinfo", found)
    camera.faults.answers = {"SETUP": "453 Not Enough Bandwidth"}
    error = failure(camera.url("yard").replace("127.0.0.1", "localhost"))
    assert "answers SETUP with '453 Not Enough Bandwidth'" in str(error)


def test_a_camera_that_is_off_is_told_from_a_wrong_host(camera: TestCamera) -> None:
    camera.power_off()
    error = failure(camera.url("yard"))
    assert f"Connection refused: nothing listens on port {camera.port}" in str(error)


@contextmanager
def server(answer: bytes) -> Iterator[int]:
    """A port that answers every connection with the same bytes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(4096)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "(it says 'HTTP/1.1 400 Bad Request')"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "it speaks TLS on this port; try rtsps://"),
        (b"", "it closes the connection"),
        (b"RTSP/1.0 403 No\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", "forbids this stream"),
        (b"\xff" * 40_000, "does not answer as an RTSP camera"),
        (
            b"RTSP/1.0 503 Busy\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
            "answers OPTIONS with '503 Busy'",
        ),
    ],
)
def test_what_is_no_camera_is_described(answer: bytes, words: str) -> None:
    with server(answer) as port:
        assert words in str(failure(f"rtsp://127.0.0.1:{port}/yard"))


def test_a_camera_without_tls_says_so(camera: TestCamera) -> None:
    silent = failure(camera.url("yard").replace("rtsp://", "rtsps://"))
    assert "did not answer within 1 s over TLS: try rtsp://" in str(silent)
    with server(b"RTSP/1.0 400 Bad Request\r\n\r\n") as port:
        error = failure(f"rtsps://127.0.0.1:{port}/yard")
    assert f"does not speak TLS on port {port}: try rtsp://" in str(error)


def test_a_camera_that_sends_us_on_names_the_place(camera: TestCamera) -> None:
    camera.faults.answers = {
        "DESCRIBE": "302 Moved\r\nLocation: rtsp://me:s3cr3t@127.0.0.1:9/there"
    }
    said = str(failure(camera.url("yard")))
    assert "'302 Moved' and sends us to rtsp://me:***@127.0.0.1:9/there, which failed" in said
