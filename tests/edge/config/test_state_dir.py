"""Where the state is, for commands that have none of the service's variables and secrets."""

from pathlib import Path

import pytest

from edge.config.load import load_config, read_state_dir
from edge.errors import ConfigError


def test_it_is_read_whatever_is_wrong_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "edge.yaml"
    path.write_text("state_dir: kept\nmqtt: {password: '${NOT_SET}'}\nnonsense: !secret gone\n")
    assert read_state_dir(path, {}) == tmp_path / "kept"
    with pytest.raises(ConfigError):  # negative control
        load_config(path, {})


def test_its_default_and_its_variables_are_those_of_the_daemon(tmp_path: Path) -> None:
    path = tmp_path / "edge.yaml"
    path.write_text("{}")
    assert read_state_dir(path, {}) == Path("/var/lib/edge")
    path.write_text("state_dir: ${ROOM}/edge")
    assert read_state_dir(path, {"ROOM": "/data"}) == Path("/data/edge")


@pytest.mark.parametrize("wrong", ["[a]", "${NOT_SET}", "true", '"a\\0b"', '" "', "''", ""])
def test_a_wrong_one_is_refused(tmp_path: Path, wrong: str) -> None:
    path = tmp_path / "edge.yaml"
    path.write_text(f"state_dir: {wrong}\n")
    with pytest.raises(ConfigError, match="state_dir"):
        read_state_dir(path, {})
