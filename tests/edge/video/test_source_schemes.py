import pytest

from edge.errors import ConfigError
from edge.sources import SCHEMES, open_source, scheme_of


@pytest.mark.parametrize(
    ("url", "scheme"),
    [
        ("rtsp://user:secret@192.0.2.1/stream", "rtsp"),
        ("RTSPS://192.0.2.1", "rtsps"),
        ("file:clip.mp4", "file"),
        ("clip.mp4", "file"),
        ("/var/clips/a:b.mp4", "file"),
        ("./http:clip.mp4", "file"),
    ],
)
def test_the_scheme_is_what_stands_before_the_colon(url, scheme):
    assert scheme_of(url) == scheme


@pytest.mark.parametrize("url", ["http://user:s3cr3t@camera/video", "v4l2:/dev/video0"])
def test_an_unknown_scheme_names_the_known_ones_and_no_password(url):
    with pytest.raises(ConfigError) as caught:
        open_source(url)
    message = str(caught.value)
    assert all(scheme in message for scheme in SCHEMES)
    assert "s3cr3t" not in message
