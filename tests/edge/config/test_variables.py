"""Variables of the environment in a configuration: filled in as text, never as YAML."""

from collections.abc import Callable

import pytest
from config_text import changed

from edge.config.models import Config


def test_a_shape_and_a_turn_may_come_from_variables(load: Callable[..., Config]) -> None:
    old = "url: rtsp://192.0.2.10/stream2"
    text = changed(old, f"{old}, aspect: '${{SHAPE}}', rotate: '${{TURN}}'")
    yard = load(text, SHAPE="4:3", TURN="270").cameras["yard"]
    assert (yard.aspect, yard.rotate) == ("4:3", 270)


def test_variables_are_filled_in_with_defaults_and_escapes(load: Callable[..., Config]) -> None:
    config = load(
        changed(
            "example}", 'example, client_id: "h-${A}-${B:dflt}-${C:}-$${A}-$A", port: "${PORT}"}'
        ),
        A="one",
        PORT="8883",
    )
    assert config.mqtt.client_id == "h-one-dflt--${A}-$A"
    assert config.mqtt.port == 8883


def test_a_variable_set_to_nothing_is_set(load: Callable[..., Config]) -> None:
    assert load(changed("broker.example", "'x${A:y}'"), A="").mqtt.host == "x"


def test_a_missing_variable_is_named_with_key_and_line(problems: Callable[..., list[str]]) -> None:
    text = changed("//192", "//viewer:${YARD_PASSWORD}@192").replace("{url: ", "{url: '")
    assert problems(text.replace("stream2}", "stream2'}")) == [
        (
            "edge.yaml:7: cameras.yard.url: environment variable YARD_PASSWORD is not set: "
            "set it, or give a default as ${YARD_PASSWORD:default}"
        )
    ]


@pytest.mark.parametrize("text", ["${", "${}", "${1A}", "${A B}", "${A"])
def test_a_malformed_variable_is_refused_not_taken_literally(
    problems: Callable[..., list[str]], text: str
) -> None:
    (line,) = problems(changed("host: broker.example", f"host: 'x{text}'"), A="a")
    assert line.startswith("edge.yaml:3: mqtt.host: expected ${NAME} or ${NAME:default}")


def test_a_variable_cannot_bring_in_yaml(load: Callable[..., Config]) -> None:
    text = changed("a person climbs a fence", "'${A}'")
    assert load(text, A="x, on: 1\nbundle: y").prompts["intruder"].text == ("x, on: 1\nbundle: y",)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (" rtsp://me:s3cr3t-pw@192.0.2.10/x", "without blanks, quotes or line breaks"),
        ('"rtsp://me:s3cr3t-pw@192.0.2.10/x"', "without blanks, quotes or line breaks"),
        ("rtsp://me:s3cr3t-pw@192.0.2.10/x\n", "without blanks, quotes or line breaks"),
        ("rtsp://me:s3cr3t-pw@192.0.2.10/x\r\nFrom: me", "without blanks, quotes or line breaks"),
        ("url=rtsp://me:s3cr3t-pw@192.0.2.10/x", "begins with its scheme"),
    ],
)
def test_what_a_file_of_variables_adds_to_a_url_makes_no_path_of_it(
    problems: Callable[..., list[str]], url: str, said: str
) -> None:
    [line] = problems(changed("rtsp://192.0.2.10/stream2", '"${CAMERA}"'), CAMERA=url)
    assert "cameras.yard.url: expected a URL " in line
    assert said in line
    assert "s3cr3t-pw" not in line
