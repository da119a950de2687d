"""What ``mqtt.host`` and the texts of a CONNECT may be: known to be wrong at the start, or used."""

from collections.abc import Callable

import pytest
from pydantic import ValidationError

from edge.config.models import Config, MqttConfig

GOOD = """\
device: {{id: nvr-01}}
bundle: bundles/current
mqtt: {{host: {host}}}
prompts: {{intruder: {{text: a person climbs a fence}}}}
cameras: {{yard: {{url: rtsp://192.0.2.10/stream2}}}}
"""


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "broker.example",
        "broker.example.",
        "my_broker-1",
        "192.0.2.1",
        "2001:db8::1",
        "fe80::1%eth0",
        "bröker.example",
        "a" * 63 + ".example",
    ],
)
def test_a_host_is_a_name_or_an_address(load: Callable[..., Config], host: str) -> None:
    assert load(GOOD.format(host=f'"{host}"')).mqtt.host == host


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("broker..example", "without an empty part"),
        (".example", "without an empty part"),
        ("broker.${SITE:}.example", "without an empty part"),
        ("a" * 64 + ".example", "at most 63 characters"),
        ("ö" * 60 + ".example", "at most 63 characters"),
        (".".join(["a" * 60] * 5), "at most 253 characters"),
        ("192.0.2.256", "four numbers up to 255"),
        ("broker example", "letters, digits"),
        ("broker\\r", "letters, digits"),
        ("broker.example/mqtt", "letters, digits"),
        ("broker.example:1884", "write host: broker.example, port: 1884"),
        ("[2001:db8::1]:1884", "write host: 2001:db8::1, port: 1884"),
        ("[2001:db8::1]", "write host: '2001:db8::1'"),
        ("2001:db8::zz", "an IPv4 or an IPv6 address"),
        ("mqtt://broker.example", "not a URL: write host: broker.example,"),
        ("mqtts://broker.example:8884", "write host: broker.example, port: 8884, tls: {}"),
        ("wss://broker.example/mqtt", "websockets are not spoken"),
    ],
)
def test_what_can_be_no_host_is_refused_with_what_to_write(
    problems: Callable[..., list[str]], host: str, said: str
) -> None:
    [line] = problems(GOOD.format(host=f'"{host}"'))
    assert "mqtt.host: expected " in line
    assert said in line


@pytest.mark.parametrize("scheme", ["", "mqtt://"])
def test_a_password_in_the_host_is_not_in_the_message(
    problems: Callable[..., list[str]], scheme: str
) -> None:
    [line] = problems(GOOD.format(host=f'"{scheme}box:hunter22-secret@broker.example:1884"'))
    assert "hunter22-secret" not in line
    assert "mqtt.host: expected a host" in line


@pytest.mark.parametrize("key", ["client_id", "username", "password"])
@pytest.mark.parametrize("text", ["a\0b", "x" * 65_536, "secret\n", "\rsecret"])
def test_what_mqtt_cannot_carry_is_refused(key: str, text: str) -> None:
    others = {"username": "box"} if key == "password" else {}
    with pytest.raises(ValidationError, match=r"U\+0000|65535 bytes|line breaks"):
        MqttConfig.model_validate({"host": "b", key: text} | others)
    MqttConfig.model_validate({"host": "b", key: "x" * 65_535} | others)


def test_an_empty_password_is_none(problems: Callable[..., list[str]]) -> None:
    """As of a variable that a script has set to nothing."""
    text = GOOD.format(host="b, username: box, password: '${PW}'")
    [line] = problems(text, PW="")
    assert "mqtt.password: expected some text" in line
