import pytest

from edge.cli.commands.broker_options import PASSWORD_VARIABLE, broker_at
from edge.errors import ConfigError


def test_a_password_without_a_user_is_refused_and_not_ignored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, "pass-of-this-test")
    with pytest.raises(ConfigError, match="expected --username"):
        broker_at("localhost", 1883, None, None, "edge")
    password = broker_at("localhost", 1883, "me", None, "edge").password
    assert password is not None
    assert password.get_secret_value() == "pass-of-this-test"
    monkeypatch.delenv(PASSWORD_VARIABLE)
    assert broker_at("localhost", 1883, None, None, "edge").password is None
