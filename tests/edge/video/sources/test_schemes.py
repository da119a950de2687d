from pathlib import Path

import pytest

from edge.config.urls import SCHEMES
from edge.errors import ConfigError, SourceError
from edge.video.sources import open_source


@pytest.mark.parametrize("url", ["http://user:s3cr3t@camera/video", "v4l2:/dev/video0"])
def test_an_unknown_scheme_names_the_known_ones_and_no_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_source(url)
    message = str(caught.value)
    assert all(scheme in message for scheme in SCHEMES)
    assert "s3cr3t" not in message


@pytest.mark.parametrize("path", ["clip.mp4", "/none/a:b.mp4", "./http:clip.mp4", "FILE:none.mp4"])
def test_what_has_no_scheme_is_a_path(path: str) -> None:
    with pytest.raises(SourceError, match="is not a file"):
        open_source(path)


def test_the_case_of_a_scheme_does_not_matter(clip: Path) -> None:
    with open_source(f"FILE:{clip}") as source:
        assert sum(1 for _ in source.packets()) == 40
