"""Addresses of brokers, and a mosquitto that does not start."""

from pathlib import Path

import pytest

from benchmarks.measuring.broker import Address, mosquitto, parse_address
from edge.errors import ConfigError, PublishError


def test_mosquitto_that_does_not_start_says_why(tmp_path: Path) -> None:
    program = tmp_path / "mosquitto"
    program.write_text("#!/bin/sh\necho no such option; exit 3\n")
    program.chmod(0o755)
    with pytest.raises(PublishError, match="no such option"), mosquitto(str(program)):
        pass


@pytest.mark.parametrize("text", ["localhost", ":1883", "host:port", "host:0", "host:65536", ""])
def test_a_broker_is_a_host_and_a_port(text: str) -> None:
    with pytest.raises(ConfigError, match="expected host:port"):
        parse_address(text)


def test_a_broker_may_have_an_address_of_any_kind() -> None:
    assert parse_address("[::1]:1883") == Address("::1", 1883, "given")
    assert parse_address("nvr.example:8883") == Address("nvr.example", 8883, "given")
