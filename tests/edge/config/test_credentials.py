"""Secrets that systemd passes to the daemon (``LoadCredential``)."""

from pathlib import Path

import pytest

from edge.config.load import load_config
from edge.errors import ConfigError

TEXT = """
device: {id: a}
bundle: b
mqtt: {host: c, username: d, password: !secret broker}
prompts: {e: {text: a dog}}
cameras: {f: {url: !secret yard_url}}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "edge.yaml"
    path.write_text(TEXT)
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "yard_url").write_text("rtsp://viewer:p4ss@192.0.2.10/two\n")
    return path


def password(file: Path, folder: Path) -> str:
    config = load_config(file, {"CREDENTIALS_DIRECTORY": str(folder)})
    assert config.mqtt.password is not None
    assert config.cameras["f"].url.get_secret_value() == "rtsp://viewer:p4ss@192.0.2.10/two"
    return config.mqtt.password.get_secret_value()


@pytest.mark.parametrize("name", ["broker", "edge_broker"])
def test_a_credential_is_a_secret_by_its_name(file: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "passed"
    folder.mkdir()
    (folder / name).write_text("se same\n")
    assert password(file, folder) == "se same"


def test_a_credential_goes_before_what_lies_beside_the_file(file: Path, tmp_path: Path) -> None:
    (tmp_path / "credentials" / "broker").write_text("by hand")
    assert password(file, tmp_path / "nowhere") == "by hand"
    (tmp_path / "passed").mkdir()
    (tmp_path / "passed" / "edge_broker").write_text("by systemd")
    assert password(file, tmp_path / "passed") == "by systemd"
    (tmp_path / "secrets.yaml").write_text("broker: in the file\n")
    assert password(file, tmp_path / "passed") == "by systemd"


def test_a_missing_credential_is_named_and_its_content_is_not(file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="secrets"):
        load_config(file, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    (tmp_path / "credentials" / "broker").write_bytes(b"c4nary\xff")
    with pytest.raises(ConfigError, match="'broker' as text") as caught:
        load_config(file, {})
    assert "c4nary" not in str(caught.value)


@pytest.mark.parametrize("name", ["../secrets", "a/b", ".."])
def test_a_credential_is_a_file_of_its_folder(tmp_path: Path, name: str) -> None:
    file = tmp_path / "edge.yaml"
    file.write_text(TEXT.replace("!secret broker", f"!secret {name}"))
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_text("elsewhere")
    with pytest.raises(ConfigError, match=r"secrets\.yaml"):
        load_config(file, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
