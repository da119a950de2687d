"""Secrets: found in the file beside the configuration, and masked wherever they would show."""

from collections.abc import Callable
from pathlib import Path

import pytest
from config_text import changed

from edge.config.models import Config
from edge.config.urls import passwords
from edge.system.redact import redact


def secrets_file(tmp_path: Path, text: str, mode: int = 0o600) -> None:
    path = tmp_path / "secrets.yaml"
    path.write_text(text)
    path.chmod(mode)


SECRET = changed("broker.example", "b, username: u, password: !secret broker")


def test_a_secret_comes_from_the_file_beside_exactly_as_written(
    load: Callable[..., Config], tmp_path: Path
) -> None:
    secrets_file(tmp_path, "broker: 007_0\n")
    password = load(SECRET).mqtt.password
    assert password is not None
    assert password.get_secret_value() == "007_0"


def test_what_the_file_calls_a_secret_is_masked_wherever_it_stands(
    load: Callable[..., Config], tmp_path: Path
) -> None:
    secrets_file(tmp_path, "broker_user: hushuser\n")
    config = load(changed("broker.example", "b, username: !secret broker_user"))
    assert config.mqtt.username == "hushuser"
    assert redact("refused hushuser") == "refused ***"


def test_a_secret_that_is_not_there_names_the_alternatives(
    problems: Callable[..., list[str]], tmp_path: Path
) -> None:
    secrets_file(tmp_path, "brocker: hushhush\n")
    assert problems(SECRET) == [
        ("edge.yaml:3: mqtt.password: no secret 'broker' in secrets.yaml; did you mean 'brocker'?")
    ]


@pytest.mark.parametrize("content", ["", "- a\n", "broker: [a]\n", "broker: 1\nbroker: 2\n", "a"])
def test_a_secrets_file_of_another_shape_is_refused(
    problems: Callable[..., list[str]], tmp_path: Path, content: str
) -> None:
    secrets_file(tmp_path, content)
    (line,) = problems(SECRET)
    assert line.startswith("edge.yaml:3: mqtt.password: expected only lines such as")


def test_a_missing_or_broken_secrets_file_is_told_with_its_name(
    problems: Callable[..., list[str]], tmp_path: Path
) -> None:
    (line,) = problems(SECRET)
    assert line.startswith(
        "edge.yaml:3: mqtt.password: cannot read secrets.yaml: No such file or directory; expected"
    )
    secrets_file(tmp_path, "broker: 'hush\n")
    (line,) = problems(SECRET)
    assert "secrets.yaml:2:1: not valid YAML" in line
    assert "hush" not in line


def test_every_secret_is_masked_from_then_on_and_nothing_else(
    load: Callable[..., Config], tmp_path: Path
) -> None:
    secrets_file(tmp_path, "broker: brokerpw\n")
    load(
        """\
device: {id: "${BOX}"}
bundle: b
mqtt: {host: h, username: "${BROKER_USER}", password: !secret broker}
prompts: {p: {text: a dog}}
cameras:
  one: {url: "rtsp://viewer:plainpw@192.0.2.1/x"}
  two: {url: "rtsp://${CAM_USER}:${CAM_PW}@${CAM_HOST}:554/x?token=${TOKEN}"}
""",
        BOX="nvr-01",
        BROKER_USER="brokeruser",
        CAM_USER="viewer2",
        CAM_PW="p%40ss%23word",
        CAM_HOST="cam.example",
        TOKEN="tok-123",
    )
    said = "brokerpw plainpw p%40ss%23word p@ss#word tok-123"
    assert redact(said) == "*** *** *** *** ***"
    kept = "nvr-01 brokeruser viewer viewer2 cam.example 554 192.0.2.1"
    assert redact(kept) == kept


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("rtsp://me:plain@192.0.2.1/x", {"plain"}),
        ("rtsp://me:p@ss@192.0.2.1/x", {"p@ss"}),
        ("rtsp://me:a/b?c#d@192.0.2.1/x", {"a/b?c#d"}),
        ("rtsp://me:plain@[192.0.2.1/x", {"plain"}),
        ("rtsp://me:plain@192.0.2.1/x@2", {"plain"}),
        ("rtsp://me@192.0.2.1:554/x", set()),
        ("rtsp://192.0.2.1/x@2", set()),
        ("clips/a.mp4", set()),
        ("rtsp://192.0.2.1/s?token=hush&x=1", {"hush"}),
        ("rtsp://me:pw@192.0.2.1/s?Password=hush", {"hush", "pw"}),
        ("rtsp://192.0.2.1/user=admin&password=hush&channel=1&stream=0.sdp", {"hush"}),
        ("rtsp://192.0.2.1/user=admin_password=hu_sh_channel=1_stream=0.sdp", {"hu_sh"}),
        ("rtsp://192.0.2.1/user=admin&password=&channel=1", set()),
        ("rtsp://192.0.2.1/keyframe/1?channel=2", set()),
    ],
)
def test_a_password_is_found_even_in_a_url_that_is_not_valid(url: str, secret: set[str]) -> None:
    assert passwords(url) == secret


def test_no_message_and_no_repr_holds_a_secret(
    problems: Callable[..., list[str]], load: Callable[..., Config], tmp_path: Path
) -> None:
    """A canary in every place that can hold one, each beside something wrong."""
    secrets_file(tmp_path, "broker: canary1\n")
    text = """\
device: {id: nvr-01}
bundle: b
mqtt: {host: h, username: u, password: !secret broker, port: "${CANARY}"}
prompts: {p: {text: a dog, off_after: "${CANARY}"}}
cameras:
  a: {url: "rtsp://viewer:canary2@[192.0.2.1/x"}
  b: {url: "rtsp://viewer:canary/3@192.0.2.1/x"}
  c: {url: "rtps://viewer:canary4@192.0.2.1/x"}
  d: {url: "rtsp://viewer:${CANARY}@192.0.2.1/x", loop: canary4, sample: {fps: "${CANARY}"}}
  e: {url: ["rtsp://viewer:canary2@h/"]}
"""
    lines = problems(text, CANARY="canary5")
    assert len(lines) == 9
    assert "canary" not in "\n".join(lines)

    good = load(changed("192.0.2.10", "viewer:canary6@192.0.2.10", SECRET))
    assert "canary" not in repr(good) + str(good.model_dump()) + good.model_dump_json()
