"""Files that a configuration names: looked for before the model is loaded."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edge.config.files import open_secrets, require_files
from edge.config.models import Config
from edge.errors import ConfigError

TEXT = """\
device: {id: nvr-01}
bundle: bundles/current
mqtt:
  host: broker.example
  tls:
    ca: ca.pem
    cert: box.pem
    key: box.key
prompts:
  intruder: {text: a person climbs a fence}
cameras:
  yard: {url: rtsp://192.0.2.10/stream2}
"""


def test_each_missing_file_has_its_line(load: Callable[..., Config], tmp_path: Path) -> None:
    config = load(TEXT)
    (tmp_path / "box.pem").write_text("a certificate")
    with pytest.raises(ConfigError) as caught:
        require_files(tmp_path / "edge.yaml", config)
    folder = tmp_path
    assert str(caught.value).splitlines() == [
        f"{folder}/edge.yaml:6: mqtt.tls.ca: expected a PEM file, found nothing at {folder}/ca.pem",
        f"{folder}/edge.yaml:8: mqtt.tls.key: expected a PEM file, found nothing at {folder}/box.key",
    ]


def test_files_that_are_there_are_fine(load: Callable[..., Config], tmp_path: Path) -> None:
    config = load(TEXT)
    for name in ("ca.pem", "box.pem", "box.key"):
        (tmp_path / name).touch()
    require_files(tmp_path / "edge.yaml", config)


def test_no_tls_needs_no_files(load: Callable[..., Config], tmp_path: Path) -> None:
    start, end = TEXT.index("  tls:"), TEXT.index("prompts:")
    require_files(tmp_path / "edge.yaml", load(TEXT[:start] + TEXT[end:]))


def test_secrets_that_every_user_can_read_are_pointed_out(tmp_path: Path) -> None:
    config, secrets = tmp_path / "edge.yaml", tmp_path / "secrets.yaml"
    assert open_secrets(config) is None
    secrets.write_text("broker: hushhush\n")
    secrets.chmod(0o640)
    assert open_secrets(config) is None
    secrets.chmod(0o644)
    tmp_path.chmod(0o750)  # what is in it cannot be reached
    assert open_secrets(config) is None
    tmp_path.chmod(0o755)
    assert open_secrets(config) == (f"every user of this machine can read {secrets}: chmod 600 it")
