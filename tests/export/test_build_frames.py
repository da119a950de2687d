"""How many calibration frames a build needs is said before the work."""

from pathlib import Path

import pytest
from tiny_bundle import tiny_facts
from tiny_window import tiny_window_facts

from calibration.limits import MIN_FRAMES
from edge.errors import ConfigError
from export.build import BuildRequest, read_frames


@pytest.mark.parametrize(
    ("length", "asked", "least"), [(1, 24, MIN_FRAMES), (8, 31, 32), (32, 64, 128)]
)
def test_too_few_frames_are_refused_with_the_least_number(
    tmp_path: Path, length: int, asked: int, least: int
) -> None:
    facts = tiny_facts() if length == 1 else tiny_window_facts()
    facts = facts.model_copy(update={"frames": length})
    request = BuildRequest("source", tmp_path / "out", calibration=tmp_path, frames=asked)
    with pytest.raises(ConfigError, match=f"--frames: expected at least {least}.* found {asked}"):
        read_frames(request, facts)
