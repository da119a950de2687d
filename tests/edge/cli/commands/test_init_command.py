"""The first configuration that `edge init` writes, from options and from answers."""

import os
import pty
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from command import Run

from edge.config.load import load_config

URL = "rtsp://viewer:canary%40word@192.0.2.10/stream2"
PASSWORD = "canary-of-the-broker"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_options_become_a_configuration_that_the_daemon_reads(
    edge: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_MQTT_PASSWORD", PASSWORD)
    (tmp_path / "ca.pem").touch()
    done = edge(
        "init", "--device", "nvr-01", "--broker", "broker.example", "--username", "nvr-01",
        "--ca", "ca.pem", "--camera", f"yard={URL}", "--rule", "a person", "--rule", "cost: ${A}",
        "--bundle", "model",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert done.out.splitlines() == ["edge.yaml: written, with its passwords in secrets.yaml"]
    config = load_config(tmp_path / "edge.yaml", {})
    assert config.device.id == "nvr-01"
    assert config.bundle == tmp_path / "model"
    assert (config.mqtt.host, config.mqtt.port, config.mqtt.username) == (
        "broker.example", 8883, "nvr-01",
    )  # fmt: skip
    assert config.mqtt.password is not None
    assert config.mqtt.password.get_secret_value() == PASSWORD
    assert config.mqtt.tls is not None
    assert config.mqtt.tls.ca == tmp_path / "ca.pem"
    assert [rule.text for rule in config.prompts.values()] == [("a person",), ("cost: ${A}",)]
    assert config.cameras["yard"].url.get_secret_value() == URL


def test_passwords_are_in_the_file_of_secrets_alone(edge: Run, tmp_path: Path) -> None:
    edge("init", "--broker", "localhost", "--camera", URL)
    assert "canary" not in (tmp_path / "edge.yaml").read_text()
    secrets = tmp_path / "secrets.yaml"
    assert "canary%40word" in secrets.read_text()
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o600


def test_without_secrets_there_is_no_such_file(edge: Run, tmp_path: Path) -> None:
    assert edge("init", "--broker", "b", "--camera", "rtsp://192.0.2.10/x").code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["edge.yaml"]
    config = load_config(tmp_path / "edge.yaml", {})
    assert list(config.prompts) == ["person", "car"]
    assert (list(config.cameras), config.mqtt.port, config.mqtt.tls) == (["camera-1"], 1883, None)


def test_a_clip_is_found_from_another_folder_too(edge: Run, tmp_path: Path) -> None:
    edge("init", "box/edge.yaml", "--broker", "b", "--camera", "clips/yard.mp4")
    config = load_config(tmp_path / "box" / "edge.yaml", {})
    assert config.cameras["camera-1"].url.get_secret_value() == str(tmp_path / "clips/yard.mp4")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--camera", "rtsp://192.0.2.1/x"], "expected --broker"),
        (["--broker", "b"], "expected --camera"),
        (["--broker", "b:9x", "--camera", "x.mp4"], "--broker: mqtt.port: expected a whole number"),
        (["--broker", "b", "--camera", "http://192.0.2.1/"], "--camera: cameras.camera-1.url"),
        (["--broker", "b", "--camera", "a b=x.mp4"], "--camera: cameras"),
        (["--broker", "b", "--camera", "x.mp4", "--rule", " "], "--rule: prompts"),
        (["--broker", "b", "--camera", "x.mp4", "--device", "a/b"], "--device: device.id"),
    ],
)
def test_what_is_missing_or_wrong_is_said_and_nothing_is_written(
    edge: Run, tmp_path: Path, arguments: list[str], said: str
) -> None:
    done = edge("init", *arguments)
    assert done.code == 2
    assert said in done.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["edge.yaml", "secrets.yaml"])
def test_a_file_that_is_there_stays(edge: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine: 1")
    done = edge("init", "--broker", "b", "--camera", URL)
    assert (done.code, "expected a new file" in done.err) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine: 1"


def test_on_a_terminal_it_asks_until_an_answer_is_right(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    answers = ["nvr 01", "nvr-01", "broker.example", "", "yard=rtsp://192.0.2.1/s", "a dog", ""]
    os.write(ours, "".join(f"{answer}\n" for answer in answers).encode())
    done = subprocess.run(
        [sys.executable, "-m", "edge", "init"],
        stdin=theirs, capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[4])},
    )  # fmt: skip
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 0, done.stderr
    assert "device.id: expected 1 to 64 letters" in done.stderr
    config = load_config(tmp_path / "edge.yaml", {})
    assert (config.device.id, config.mqtt.username) == ("nvr-01", None)
    assert [rule.text for rule in config.prompts.values()] == [("a dog",), ("a car",)]
    assert list(config.cameras) == ["yard"]
