"""What FFmpeg answers to a camera's challenges, and what we say where it cannot."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from known import known

from edge.errors import SourceError
from edge.video.sources import SourceSettings, challenge, open_source
from edge.video.sources.challenge import authorization, challenge_of, chosen
from edge.video.sources.replies import CameraReply, explain

PLAIN = 'Digest realm="r", nonce="n"'


@contextmanager
def refusing(*challenges: str) -> Iterator[tuple[str, list[str]]]:
    """A camera that refuses everybody with these challenges; what clients answer to them."""
    answers: list[str] = []
    headers = "".join(f"WWW-Authenticate: {challenge}\r\n" for challenge in challenges)

    def serve(client: socket.socket) -> None:
        with client, client.makefile("rwb") as stream:
            lines: list[str] = []
            for line in stream:
                lines.append(line.decode().strip())
                if lines[-1]:
                    continue
                (number,) = (line for line in lines if line.startswith("CSeq:"))
                answers.extend(
                    line.removeprefix("Authorization: ")
                    for line in lines
                    if line.startswith("Authorization:")
                )
                granted = lines[0].startswith("OPTIONS")
                status = "200 OK" if granted else "401 Unauthorized"
                said = f"RTSP/1.0 {status}\r\n{number}\r\n{'' if granted else headers}\r\n"
                stream.write(said.encode())
                stream.flush()
                lines.clear()

    def accept(listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(client,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, args=(listener,), daemon=True)
        thread.start()
        yield f"rtsp://u:s3cr3t@127.0.0.1:{listener.getsockname()[1]}/yard", answers
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def refusal(*challenges: str) -> tuple[str, list[str], str]:
    """The URL, what FFmpeg answered, and what we say about it."""
    with refusing(*challenges) as (url, answers), pytest.raises(SourceError) as caught:
        open_source(url, SourceSettings(timeout_s=2.0))
    return url, answers, str(caught.value)


@pytest.mark.parametrize(
    "challenges",
    [
        ['Basic realm="b"'],
        [PLAIN],
        ["Digest realm=r, nonce=n"],
        ['Digest realm="r",nonce="n",opaque="o",algorithm=MD5,qop="auth"'],
        ['digest realm="r", nonce="a=b,c d;/+==:\'", stale=TRUE'],
        ['Digest realm="摄像头", nonce="n", algorithm="MD5-sess", qop="auth"'],
        [PLAIN + ", algorithm=MD5-sess"],
        [PLAIN + ', qop="auth,auth-int"'],
        [PLAIN + ', qop="auth-int,auth"'],
        [PLAIN + ', qop=""'],
        [r'Digest realm="AC\ME", nonce="\\n"'],
        [r'Digest realm="the \"cam\" 1", nonce="n", opaque="\""'],
        ['Digest REALM="r", nonce="n"'],
        [PLAIN, 'Basic realm="b"'],
        [PLAIN + ', Basic realm="b"'],
        ['Basic realm="b"', PLAIN],
        [PLAIN + ", algorithm=SHA-256", 'Digest realm="r", nonce="m", algorithm=MD5'],
    ],
)
def test_we_answer_as_ffmpeg_does(challenges: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    url, (answer, *_), _ = refusal(*challenges)
    once = re.search('cnonce="([^"]*)"', answer)
    monkeypatch.setattr(challenge, "token_hex", lambda _: once[1] if once else "0")
    taken = known(chosen([challenge_of(header) for header in challenges]))
    ours = known(authorization(taken, "DESCRIBE", url.replace("u:s3cr3t@", ""), "u", "s3cr3t"))
    if taken.algorithm == "MD5-sess" and not once:  # FFmpeg keeps its cnonce to itself
        answer, ours = (re.sub('response="[^"]*"', "", text) for text in (answer, ours))
    assert ours.split(", ") == answer.split(", ")


@pytest.mark.parametrize(
    ("challenges", "words"),
    [
        ([PLAIN + ", algorithm=md5"], "offers only Digest with md5, expected Digest with MD5"),
        (
            [PLAIN + ", algorithm=MD5", PLAIN + ", algorithm=SHA-256"],
            "offers Digest with MD5 or Digest with SHA-256, of which FFmpeg takes the last Digest",
        ),
        (['Basic realm="b"', PLAIN + ", algorithm=SHA-256"], "FFmpeg takes the last Digest"),
        (["Negotiate abc"], "offers only Negotiate, expected"),
    ],
)
def test_a_camera_that_ffmpeg_cannot_answer_is_not_said_to_refuse_the_password(
    challenges: list[str], words: str
) -> None:
    _, answers, said = refusal(*challenges)
    assert not answers
    assert words in said
    assert "refused the user name" not in said
    assert "s3cr3t" not in said


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (PLAIN + ', qop="auth-int"', "its Digest wants qop=auth-int, expected auth"),
        (PLAIN + ", algorithm=MD5-sess", "has no qop=auth"),
        (r'Digest realm="AC\ME", nonce="n"', "has a backslash or a quote"),
        (f'Digest realm="{"r" * 200}", nonce="n"', "the realm of its Digest is longer than"),
        (f'Digest realm="r", nonce="{"n" * 300}"', "the nonce of its Digest is longer than"),
    ],
)
def test_what_may_spoil_the_right_password_is_said_beside_it(header: str, words: str) -> None:
    def said(header: str) -> str:
        headers = (("www-authenticate", header),)
        return explain(CameraReply("DESCRIBE", 401, "No", headers), has_password=True)

    assert "check the credentials in the camera's url. If they are right, " in said(header)
    assert words in said(header)
    assert said(PLAIN).endswith("check the credentials in the camera's url")  # negative control


@pytest.mark.parametrize(("name", "longest"), [("realm", 199), ("nonce", 299), ("opaque", 299)])
def test_ffmpeg_keeps_so_much_of_a_value_and_no_more(name: str, longest: int) -> None:
    values = {"realm": "r", "nonce": "n", "opaque": "o"} | {name: "x" * (longest + 1)}
    text = ", ".join(f'{key}="{value}"' for key, value in values.items())
    _, (answer, *_), _ = refusal(f"Digest {text}")
    assert f'{name}="{"x" * longest}"' in answer
