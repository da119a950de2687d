"""What real cameras do: each habit of the test camera is streamed, or said for what it is."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from edge.config.models import CameraConfig
from edge.errors import SourceError, SourceRefused
from edge.testing import Clip, Habits, Login, TestCamera
from edge.video.decode import Decoder, kept_frames
from edge.video.probe import look_at
from edge.video.sampler import Sampler
from edge.video.sources import SourceSettings, open_source

PASSWORD = "s3cr3t-pass"
QUICK = SourceSettings(timeout_s=2.0)
METADATA = "m=application 0 RTP/AVP 107\na=rtpmap:107 vnd.onvif.metadata/90000"
AUDIO = "m=audio 0 RTP/AVP 0\na=rtpmap:0 PCMU/8000"
BACK_CHANNEL = f"{AUDIO}\na=sendonly"

STREAMED = {
    "nothing odd": Habits(),
    "parameter sets in the stream only": Habits(parameter_sets="not-told"),
    "empty parameter sets": Habits(parameter_sets="empty"),
    "half of the parameter sets": Habits(parameter_sets="no-pps"),
    "parameter sets that are no base64": Habits(parameter_sets="broken"),
    "parameter sets in the description only": Habits(bare=True),
    "lines that end in LF": Habits(line_end="\n"),
    "no control of the session": Habits(session_control=False),
    "no Content-Base": Habits(content_base=False),
    "neither of them": Habits(content_base=False, session_control=False),
    "a control with =": Habits(control="trackID=1"),
    "a control that is a URL": Habits(control="{base}/trackID=1"),
    "tracks after the video": Habits(later_media=(AUDIO, METADATA, BACK_CHANNEL)),
    "another channel than asked for": Habits(channel=6),
    "packets that nobody asked for": Habits(later_media=(METADATA,), unasked=True),
    "no markers": Habits(marker=False),
    "reports of 1970": Habits(reports="1970"),
    "no reports": Habits(reports="none"),
    "no GET_PARAMETER": Habits(keeps_alive=False, session_timeout_s=1),
}
LOGINS = {
    "no algorithm": Login(algorithms=("",)),
    "qop": Login(qop="auth"),
    "two qops": Login(qop="auth,auth-int"),
    "opaque": Login(opaque="5ccc069c403ebaf9f0171e9517f40e41"),
    "MD5 last": Login(algorithms=("SHA-256", "MD5")),
    "Basic too": Login(basic_too=True, realm="Login to 4A0B"),
    "a realm with commas": Login(realm="a,b c='x' 카메라"),
    "a realm of 190 bytes": Login(realm="R" * 190),
}
REFUSED = {
    "SHA-256 alone": (Login(algorithms=("SHA-256",)), "offers only Digest with SHA-256"),
    "SHA-256 last": (Login(algorithms=("MD5", "SHA-256")), "of which FFmpeg takes the last"),
    "a backslash": (Login(realm="Login to 4A0B,x=\\y"), "has a backslash or a quote"),
    "a backslash beside Basic": (Login(realm="a\\b", basic_too=True), "has a backslash or a quote"),
    "a realm of 210 bytes": (Login(realm="R" * 210), "longer than the 199 bytes"),
}


@contextmanager
def camera_with(habits: Habits, clip: Clip, *, secret: bool = False) -> Iterator[TestCamera]:
    user, password = ("admin", PASSWORD) if secret else (None, None)
    with TestCamera({"yard": clip}, user=user, password=password, habits=habits) as camera:
        yield camera


def pictures(url: str, count: int = 3) -> int:
    """Number of pictures that the product makes of a stream, up to ``count``."""
    with open_source(url, QUICK) as source:
        frames = kept_frames(source.packets(), Decoder(source.stream), Sampler(100.0))
        return sum(1 for _, _ in zip(range(count), frames, strict=False))


@pytest.mark.parametrize("habit", STREAMED)
def test_a_habit_of_a_camera_is_streamed(habit: str, recording: Clip) -> None:
    with camera_with(STREAMED[habit], recording) as camera:
        assert pictures(camera.url("yard")) == 3


@pytest.mark.parametrize("way", LOGINS)
def test_a_way_to_log_in_is_taken(way: str, recording: Clip) -> None:
    with camera_with(Habits(login=LOGINS[way]), recording, secret=True) as camera:
        assert pictures(camera.url("yard")) == 3
        assert camera.rejected_logins == 0


@pytest.mark.parametrize("way", REFUSED)
def test_a_way_to_log_in_that_ffmpeg_does_not_know_is_named(way: str, recording: Clip) -> None:
    login, words = REFUSED[way]
    with (
        camera_with(Habits(login=login), recording, secret=True) as camera,
        pytest.raises(SourceRefused) as error,
    ):
        pictures(camera.url("yard"))
    assert words in str(error.value)
    assert PASSWORD not in str(error.value)


def test_a_camera_without_any_parameter_sets_says_that_no_picture_came(recording: Clip) -> None:
    habits = Habits(parameter_sets="empty", bare=True)
    with camera_with(habits, recording) as camera, pytest.raises(SourceError) as error:
        look_at(CameraConfig.model_validate({"url": camera.url("yard"), "timeout": 0.5}))
    assert "sent packets for 2 s but no decodable frame" in str(error.value)


def test_a_camera_may_send_its_clients_on_to_one_that_wants_the_password(
    recording: Clip,
) -> None:
    with camera_with(Habits(), recording, secret=True) as last:
        sends_on = Habits(sends_on_to=last.url("yard", user="", password="").replace(":@", ""))
        with camera_with(sends_on, recording, secret=True) as first:
            assert pictures(first.url("yard")) == 3


def test_a_camera_that_sends_its_clients_on_to_nowhere_names_the_place(recording: Clip) -> None:
    with (
        camera_with(Habits(sends_on_to="rtsp://127.0.0.1:9/yard"), recording) as camera,
        pytest.raises(SourceError) as error,
    ):
        pictures(camera.url("yard"))
    assert "rtsp://127.0.0.1:9/yard" in str(error.value)
