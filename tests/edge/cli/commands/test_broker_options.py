"""The broker's options: alone, and before a configuration."""

from pathlib import Path

import pytest
from command import Run

from edge.cli.commands.broker_options import PASSWORD_VARIABLE, broker_of
from edge.config.models import MqttConfig
from edge.errors import ConfigError

CONFIGURED = MqttConfig.model_validate({
    "host": "nvr.example",
    "port": 8883,
    "username": "box",
    "password": "pass-of-the-box",
    "topic_prefix": "site",
    "tls": {"ca": "/ca.pem", "cert": "/box.pem", "key": "/box.key"},
})  # fmt: skip


def password_of(broker: MqttConfig) -> str | None:
    return None if broker.password is None else broker.password.get_secret_value()


def test_a_password_without_a_user_is_refused_and_not_ignored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, "pass-of-this-test")
    with pytest.raises(ConfigError, match="expected --username"):
        broker_of(None)
    assert password_of(broker_of(None, username="me")) == "pass-of-this-test"
    monkeypatch.delenv(PASSWORD_VARIABLE)
    assert broker_of(None).password is None


def test_without_a_configuration_the_defaults_count() -> None:
    broker = broker_of(None)
    assert (broker.host, broker.port, broker.topic_prefix) == ("localhost", 1883, "edge")


def test_each_option_counts_before_the_configuration_and_the_rest_stays() -> None:
    assert broker_of(CONFIGURED) == CONFIGURED
    for broker, changed in (
        (broker_of(CONFIGURED, host="other.example"), {"host": "other.example"}),
        (broker_of(CONFIGURED, port=1884), {"port": 1884}),
        (broker_of(CONFIGURED, prefix="home"), {"topic_prefix": "home"}),
    ):
        assert broker == CONFIGURED.model_copy(update=changed)
    tls = broker_of(CONFIGURED, ca=Path("/other.pem")).tls
    assert tls is not None
    assert (tls.ca, tls.cert) == (Path("/other.pem"), Path("/box.pem"))


def test_another_user_does_not_get_the_password_of_the_configured_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert password_of(broker_of(CONFIGURED, username="viewer")) is None
    monkeypatch.setenv(PASSWORD_VARIABLE, "pass-of-this-test")
    assert password_of(broker_of(CONFIGURED, username="viewer")) == "pass-of-this-test"
    # The configuration may have its password from this variable: it is not refused.
    assert password_of(broker_of(CONFIGURED)) == "pass-of-the-box"


@pytest.mark.parametrize(
    "command", [("alerts",), ("retire",), ("prompts", "show"), ("prompts", "reset")]
)
def test_every_command_connects_to_the_broker_of_the_options(
    edge: Run, tmp_path: Path, command: tuple[str, ...]
) -> None:
    config = tmp_path / "edge.yaml"
    config.write_text(
        "device: {id: box}\nbundle: b\nmqtt: {host: 127.0.0.1, port: 1}\n"
        "cameras: {yard: {url: 'file:yard.mp4'}}\nprompts: {car: {text: a car}}\n"
    )
    name, *rest = command
    outcome = edge(name, "--config", config, "--host", "localhost", "--port", 2, *rest)
    assert outcome.code == 5
    assert "localhost:2" in outcome.err
    assert "127.0.0.1:1" in edge(name, "--config", config, *rest).err  # negative control
