import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.config.load import load_config
from edge.config.models import Config
from edge.config.urls import passwords
from edge.errors import ConfigError
from edge.system.redact import redact

GOOD = """\
device: {id: nvr-01}
bundle: bundles/current
mqtt: {host: broker.example}
prompts:
  intruder: {text: a person climbs a fence}
cameras:
  yard: {url: rtsp://192.0.2.10/stream2}
"""


def changed(old: str, new: str, text: str = GOOD) -> str:
    assert text.count(old) == 1
    return text.replace(old, new)


def added(line: str, text: str = GOOD) -> str:
    return f"{text}{line}\n"


def test_a_small_file_gets_the_defaults(load: Callable[..., Config]) -> None:
    config = load(GOOD)
    assert isinstance(config, Config)
    assert config.mqtt.port == 1883
    assert config.engine.kind == "auto"
    assert config.prompts["intruder"].on.for_ == 2
    assert config.cameras["yard"].prompts is None


def test_relative_paths_are_taken_from_the_files_folder_and_absolute_ones_are_kept(
    load: Callable[..., Config], tmp_path: Path
) -> None:
    config = load(
        changed(
            "{host: broker.example}",
            "{host: b, tls: {ca: ca.pem, cert: /etc/cert.pem, key: keys/key.pem}}",
        )
    )
    assert config.bundle == tmp_path / "bundles/current"
    assert config.state_dir == Path("/var/lib/edge")
    assert config.mqtt.tls is not None
    assert (config.mqtt.tls.ca, config.mqtt.tls.cert, config.mqtt.tls.key) == (
        tmp_path / "ca.pem",
        Path("/etc/cert.pem"),
        tmp_path / "keys/key.pem",
    )


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("file:clips/a b.mp4", "file:{folder}/clips/a%20b.mp4"),
        ("file:a%20b.mp4", "file:{folder}/a%20b.mp4"),
        ("clips/a.mp4", "{folder}/clips/a.mp4"),
        ("/srv/a.mp4", "/srv/a.mp4"),
        ("file:///srv/a.mp4", "file:///srv/a.mp4"),
        ("RTSP://192.0.2.1/x", "RTSP://192.0.2.1/x"),
        ("rtsp://[2001:db8::1]:554/x", "rtsp://[2001:db8::1]:554/x"),
    ],
)
def test_a_cameras_url_may_be_a_file_beside_the_configuration(
    load: Callable[..., Config], tmp_path: Path, written: str, meant: str
) -> None:
    config = load(changed("rtsp://192.0.2.10/stream2", f'"{written}"'))
    url = config.cameras["yard"].url.get_secret_value()
    assert url == meant.format(folder=tmp_path)


@pytest.mark.parametrize("written", ["keys/site.pub", "[keys/site.pub]"])
def test_one_key_needs_no_brackets(
    load: Callable[..., Config], tmp_path: Path, written: str
) -> None:
    assert load(GOOD).bundle_keys == ()
    assert load(f"{GOOD}bundle_keys: {written}\n").bundle_keys == (tmp_path / "keys/site.pub",)


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("[]", "expected at least 1, found an empty list"),
        ("", "expected a list, found nothing"),
        ("~", "expected a list, found nothing"),
        ("${KEYS:}", "expected some text"),
    ],
)
def test_keys_that_are_asked_for_and_not_named_are_not_taken_for_none(
    problems: Callable[..., list[str]], written: str, found: str
) -> None:
    [line] = problems(f"{GOOD}bundle_keys: {written}\n")
    assert f"bundle_keys: {found}" in line.replace("[0]", "")


def test_a_file_named_without_a_folder_has_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "edge.yaml").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    assert load_config(Path("edge.yaml"), {}).bundle == tmp_path / "bundles/current"


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("10s", 10), ("1.5m", 90), ("2 h", 7200), ("7", 7)]
)
def test_durations_have_units_and_plain_numbers_are_seconds(
    load: Callable[..., Config], text: str, seconds: float
) -> None:
    config = load(
        changed("a person climbs a fence}", f"x, off_after: {text}, cooldown: '{text}'}}")
    )
    assert config.prompts["intruder"].off_after == seconds
    assert config.prompts["intruder"].cooldown == seconds


@pytest.mark.parametrize("written", ["16:9", '"16:9"', "1:4", "4:1", "1080:1920"])
def test_the_shape_of_a_cameras_picture_needs_no_quotes(
    load: Callable[..., Config], written: str
) -> None:
    text = changed(
        "url: rtsp://192.0.2.10/stream2", f"url: rtsp://192.0.2.10/stream2, aspect: {written}"
    )
    assert load(text).cameras["yard"].aspect == written.strip('"')


def test_a_shape_and_a_turn_may_come_from_variables(load: Callable[..., Config]) -> None:
    old = "url: rtsp://192.0.2.10/stream2"
    text = changed(old, f"{old}, aspect: '${{SHAPE}}', rotate: '${{TURN}}'")
    yard = load(text, SHAPE="4:3", TURN="270").cameras["yard"]
    assert (yard.aspect, yard.rotate) == ("4:3", 270)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("aspect: 1.78", "aspect: expected width:height of the picture, such as 16:9"),
        ("aspect: 16/9", "aspect: expected width:height of the picture, such as 16:9"),
        ("aspect: 16:0", "aspect: expected width:height of a picture, from 1:4 to 4:1"),
        ("aspect: 0:9", "aspect: expected width:height of a picture, from 1:4 to 4:1"),
        ("aspect: 9:1", "aspect: expected width:height of a picture, from 1:4 to 4:1"),
        ("rotate: 45", "rotate: expected 0, 90, 180 or 270"),
        ("rotate: -90", "rotate: expected 0, 90, 180 or 270"),
    ],
)
def test_a_shape_and_a_turn_that_no_camera_has_are_refused(
    problems: Callable[..., list[str]], written: str, expected: str
) -> None:
    (line,) = problems(
        changed("url: rtsp://192.0.2.10/stream2", f"url: rtsp://192.0.2.10/stream2, {written}")
    )
    assert f"cameras.yard.{expected}" in line


def test_on_and_off_are_words_though_yaml_1_1_calls_them_booleans(
    load: Callable[..., Config],
) -> None:
    config = load(
        added("embeddings: {publish: off}", changed("a fence}", "a fence, on: {for: 1, of: 2}}"))
    )
    assert config.embeddings.publish == "off"
    assert config.prompts["intruder"].on.of == 2


def test_names_of_digits_stay_names_and_the_protocol_may_be_a_number(
    load: Callable[..., Config],
) -> None:
    config = load(changed("yard:", "007:", changed("broker.example}", "b, protocol: 5}")))
    assert list(config.cameras) == ["007"]
    assert config.mqtt.protocol == "5"


def test_one_sentence_or_one_prompt_need_no_list(load: Callable[..., Config]) -> None:
    config = load(changed("stream2}", "stream2, prompts: intruder}"))
    assert config.cameras["yard"].prompts == ("intruder",)
    assert config.prompts["intruder"].text == ("a person climbs a fence",)


def test_cameras_can_share_settings_by_an_alias_and_write_over_them(
    load: Callable[..., Config],
) -> None:
    config = load(
        """\
device: {id: nvr-01}
bundle: b
mqtt: {host: broker.example}
prompts:
  intruder: {text: a person climbs a fence}
cameras:
  yard: &camera
    url: rtsp://192.0.2.10/x
    sample: {fps: 5}
    timeout: 3s
  door:
    <<: *camera
    url: rtsp://192.0.2.11/x
    timeout: 9s
"""
    )
    door = config.cameras["door"]
    assert (door.sample.fps, door.timeout) == (5, 9)
    assert door.url.get_secret_value() == "rtsp://192.0.2.11/x"


# --- variables and secrets


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


# --- one test per way to be wrong


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "{url: rtsp://192.0.2.10/stream2}",
            "{ulr: rtsp://192.0.2.10/stream2}",
            [
                "edge.yaml: 2 problems",
                "edge.yaml:7: cameras.yard: missing key 'url'",
                "edge.yaml:7: cameras.yard: unknown key 'ulr'; did you mean 'url'?",
            ],
        ),
        (
            "device: {id: nvr-01}",
            "device: {id: nvr-01, colour: red}",
            ["edge.yaml:1: device: unknown key 'colour'; expected one of id"],
        ),
        (
            "bundle: bundles/current",
            "bundel: b\nbundle: b",
            ["edge.yaml:2: unknown key 'bundel'; did you mean 'bundle'?"],
        ),
        ("bundle: bundles/current\n", "", ["edge.yaml:1: missing key 'bundle'"]),
        (
            "bundle: bundles/current",
            "bundle: ' '",
            ["edge.yaml:2: bundle: expected some text, found ' '"],
        ),
        (
            "id: nvr-01",
            "id: 5",
            ["edge.yaml:1: device.id: expected text, found a number: write it in quotes"],
        ),
        (
            "id: nvr-01",
            "id: true",
            ["edge.yaml:1: device.id: expected text, found a boolean: write it in quotes"],
        ),
        (
            "id: nvr-01",
            "id: yard/1",
            [
                (
                    "edge.yaml:1: device.id: expected 1 to 64 letters, digits, '_', '.' or '-', a letter "
                    "or digit first (a name becomes a level of MQTT topics), found 'yard/1'"
                )
            ],
        ),
        (
            "yard:",
            "'a/#':",
            [
                (
                    "edge.yaml:7: cameras.'a/#': expected 1 to 64 letters, digits, '_', '.' or '-', a "
                    "letter or digit first (a name becomes a level of MQTT topics), found 'a/#'"
                )
            ],
        ),
        ("host: broker.example", "host:", ["edge.yaml:3: mqtt.host: expected text, found nothing"]),
        (
            "{host: broker.example}",
            "broker.example",
            ["edge.yaml:3: mqtt: expected a section of keys and values, found 'broker.example'"],
        ),
        (
            "broker.example}",
            "b, port: 88830}",
            ["edge.yaml:3: mqtt.port: expected at most 65535, found 88830"],
        ),
        (
            "broker.example}",
            "b, port: mqtt}",
            ["edge.yaml:3: mqtt.port: expected a whole number, found 'mqtt'"],
        ),
        (
            "broker.example}",
            "b, port: 1.5}",
            ["edge.yaml:3: mqtt.port: expected a whole number, found 1.5"],
        ),
        (
            "broker.example}",
            "b, keepalive: 3 parsecs}",
            [
                (
                    "edge.yaml:3: mqtt.keepalive: expected a duration such as 10s, 500ms or 5m, "
                    "found '3 parsecs'"
                )
            ],
        ),
        (
            "broker.example}",
            "b, keepalive: 1s}",
            ["edge.yaml:3: mqtt.keepalive: expected at least 5, found 1.0"],
        ),
        (
            "broker.example}",
            "b, protocol: 3}",
            ["edge.yaml:3: mqtt.protocol: expected 'auto', '5' or '3.1.1', found '3'"],
        ),
        (
            "broker.example}",
            "b, password: 12345}",
            ["edge.yaml:3: mqtt.password: expected text, found a number: write it in quotes"],
        ),
        (
            "broker.example}",
            "b, password: hush}",
            ["edge.yaml:3: mqtt: expected a username beside the password"],
        ),
        (
            "broker.example}",
            "b, tls: {cert: a.pem}}",
            ["edge.yaml:3: mqtt.tls: expected cert and key together, found only cert"],
        ),
        (
            "broker.example}",
            "b, tls: {key: a.pem}}",
            ["edge.yaml:3: mqtt.tls: expected cert and key together, found only key"],
        ),
        (
            "a person climbs a fence",
            "[a dog, ' ']",
            ["edge.yaml:5: prompts.intruder.text[1]: expected some text, found ' '"],
        ),
        (
            "a person climbs a fence",
            "[]",
            ["edge.yaml:5: prompts.intruder.text: expected at least 1, found an empty list"],
        ),
        (
            "a person climbs a fence",
            "{a: b}",
            ["edge.yaml:5: prompts.intruder.text: expected a list, found a section"],
        ),
        (
            "a fence}",
            "a fence, on: {for: 4}}",
            ["edge.yaml:5: prompts.intruder.on: expected for <= of, found for: 4 and of: 3"],
        ),
        (
            "a fence}",
            "a fence, threshold: .nan}",
            ["edge.yaml:5: prompts.intruder.threshold: expected a number, found '.nan'"],
        ),
        (
            "a fence}",
            "a fence, threshold: nan}",
            ["edge.yaml:5: prompts.intruder.threshold: expected a finite number, found 'nan'"],
        ),
        (
            "prompts:\n  intruder: {text: a person climbs a fence}",
            "prompts: {}",
            ["edge.yaml:4: prompts: expected at least 1, found an empty section"],
        ),
        (
            "stream2}",
            "stream2, prompts: [intruder, intuder]}",
            [
                (
                    "edge.yaml:7: cameras.yard.prompts[1]: there is no prompt 'intuder'; "
                    "did you mean 'intruder'?"
                )
            ],
        ),
        (
            "stream2}",
            "stream2, prompts: dog}",
            [
                (
                    "edge.yaml:7: cameras.yard.prompts: there is no prompt 'dog'; "
                    "expected one of intruder"
                )
            ],
        ),
        (
            "stream2}",
            "stream2, sample: {fps: 0}}",
            ["edge.yaml:7: cameras.yard.sample.fps: expected at least 0.001, found 0"],
        ),
        (
            "stream2}",
            "stream2, loop: perhaps}",
            ["edge.yaml:7: cameras.yard.loop: expected true or false, found 'perhaps'"],
        ),
        (
            "rtsp://",
            "rtps://",
            [
                (
                    "edge.yaml:7: cameras.yard.url: expected one of rtsp, rtsps, file, found 'rtps'; "
                    "did you mean 'rtsps'?"
                )
            ],
        ),
        (
            "rtsp://192.0.2.10/stream2",
            "rtsp:192.0.2.10",
            [
                (
                    "edge.yaml:7: cameras.yard.url: expected a host behind the scheme, such as "
                    "rtsp://192.0.2.10/stream2"
                )
            ],
        ),
        (
            "//192.0.2.10/",
            "//viewer:a/b@192.0.2.10/",
            [
                (
                    "edge.yaml:7: cameras.yard.url: expected user:password@host:port/path; in a "
                    "password write / as %2F, ? as %3F, # as %23, @ as %40, : as %3A"
                )
            ],
        ),
        (
            "url: rtsp://192.0.2.10/stream2",
            "url: ''",
            ["edge.yaml:7: cameras.yard.url: expected a URL or a path"],
        ),
    ],
)
def test_a_wrong_value_is_told_with_its_line_key_and_remedy(
    problems: Callable[..., list[str]], old: str, new: str, expected: list[str]
) -> None:
    assert problems(changed(old, new)) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "engine: {kind: opnvino}",
            (
                "engine.kind: expected 'auto', 'openvino', 'onnxruntime', 'tensorrt' or 'null', found 'opnvino'; "
                "did you mean 'openvino'?"
            ),
        ),
        ("outbox: []", "outbox: expected a section of keys and values, found an empty list"),
        ("device: {id: b}", "duplicate key 'device', first given in line 1"),
        ("background: {a: b}", "background: expected a list, found a section"),
        ("snapshots: !include x", "snapshots: expected a plain value or !secret NAME, found the tag '!include'"),
        ("snapshots: !!python/name:os.system", "snapshots: expected a plain value or !secret NAME, found the tag 'python/name:os.system'"),
        ("? [a]\n: b", "expected a word as key, found a collection"),
        ("<<: 5", "expected a section to merge with <<"),
        ('background: "\\0"', "background: expected Unicode text, found a NUL or half a character"),
        ('background: "\\ud800"', "background: expected Unicode text, found a NUL or half a character"),
    ],
)  # fmt: skip
def test_a_wrong_line_is_told_with_its_number(
    problems: Callable[..., list[str]], line: str, expected: str
) -> None:
    assert f"edge.yaml:8: {expected}" in problems(added(line))


def test_duplicate_cameras_are_refused_though_yaml_would_keep_the_last(
    problems: Callable[..., list[str]],
) -> None:
    assert problems(added("  yard: {url: rtsp://192.0.2.11/x}")) == [
        "edge.yaml:8: cameras: duplicate key 'yard', first given in line 7"
    ]


def test_everything_wrong_is_told_at_once_in_the_order_of_the_file(
    problems: Callable[..., list[str]],
) -> None:
    text = """\
device: {id: "a b"}
mqtt: {host: "${NOWHERE}", port: 0}
prompts:
  intruder: {text: "", off_after: soon}
cameras:
  yard: {ulr: x, prompts: [intuder]}
  yard: {}
"""
    lines = problems(text)
    assert lines[0] == "edge.yaml: 10 problems"
    assert [line.split(":")[1] for line in lines[1:]] == list("1122446667")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "device: {id: a\nbundle: b\n",
            "edge.yaml:2:7: not valid YAML: expected ',' or '}', but got ':'",
        ),
        (
            "a: b\n\tc: d\n",
            "edge.yaml:2:1: not valid YAML: found character '\\t' that cannot start any token",
        ),
        ("a: 'b\n", "edge.yaml:2:1: not valid YAML: found unexpected end of stream"),
        ("a: *b\n", "edge.yaml:1:4: not valid YAML: found undefined alias 'b'"),
        ("a: 1\n---\nb: 2\n", "edge.yaml:2:1: not valid YAML: but found another document"),
        (
            "a: {b: ${C}}\n",
            (
                "edge.yaml:1:9: not valid YAML: expected ',' or '}', but got '{'; "
                'inside { } and [ ] write "${NAME}" with quotes'
            ),
        ),
        ("a: \x07\n", "edge.yaml:1: expected text, found a control character"),
        ("[" * 5000, "edge.yaml:1:22: not valid YAML: nested too deeply"),
        ("&a [*a]\n", None),
        ("a: &a\n  <<: *a\n", None),
        ('a: "\\UFFFFFFFF"\n', None),
        ("- a\n- b\n", "edge.yaml:1: expected a section of keys and values, found a list"),
        (
            "just a word\n",
            "edge.yaml:1: expected a section of keys and values, found 'just a word'",
        ),
    ],
)
def test_what_is_not_our_yaml_is_refused_with_line_and_column(
    problems: Callable[..., list[str]], text: str, expected: str | None
) -> None:
    (line,) = problems(text)
    assert line == expected or expected is None


def test_an_empty_file_misses_every_key_it_needs(problems: Callable[..., list[str]]) -> None:
    assert [line.rpartition(" ")[2] for line in problems("# nothing\n")[1:]] == [
        "'bundle'",
        "'cameras'",
        "'device'",
        "'mqtt'",
        "'prompts'",
    ]


def test_aliases_that_multiply_are_stopped(problems: Callable[..., list[str]]) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    (line,) = problems("\n".join(lines))
    assert "at most 100000 values, found more: does an alias contain itself?" in line


def test_a_file_that_is_not_there_or_not_text_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*nowhere\.yaml: No such file"):
        load_config(tmp_path / "nowhere.yaml", {})
    with pytest.raises(ConfigError, match="Is a directory"):
        load_config(tmp_path, {})
    (tmp_path / "latin.yaml").write_bytes("a: b\nc: Hänsel\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin\.yaml:2: expected YAML in UTF-8"):
        load_config(tmp_path / "latin.yaml", {})
    (tmp_path / "video.mp4").write_bytes(os.urandom(2 * 1024 * 1024))
    with pytest.raises(ConfigError, match="at most 1 MiB"):
        load_config(tmp_path / "video.mp4", {})


def test_a_byte_order_mark_is_no_part_of_the_first_key(load: Callable[..., Config]) -> None:
    assert load("\ufeff" + GOOD).device.id == "nvr-01"


def test_the_null_engine_is_named_by_the_word_and_by_yamls_null(
    load: Callable[..., Config], problems: Callable[..., list[str]]
) -> None:
    assert load(added("engine: {kind: null}")).engine.kind == "null"
    assert load(added("engine: {kind: 'null'}")).engine.kind == "null"
    assert problems(added("engine: {kind: }")) == [
        "edge.yaml:8: engine.kind: expected a value, found nothing; null asks for the default"
    ], "an engine that computes nothing is never what an empty line means"


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("{host: broker.example}", "\n  host: b\n  tls:\n    # ca: ca.pem", "mqtt.tls"),
        ("{host: broker.example}", "{host: b, password: , username: a}", "mqtt.password"),
        ("stream2}", "stream2, prompts: }", "cameras.yard.prompts"),
        ("a person climbs a fence}", "a cat, when: }", "prompts.intruder.when"),
    ],
)
def test_a_key_without_a_value_is_not_taken_for_the_default(
    load: Callable[..., Config],
    problems: Callable[..., list[str]],
    old: str,
    new: str,
    place: str,
) -> None:
    [line] = problems(changed(old, new))
    assert f" {place}: expected a value, found nothing" in line
    key = place.rpartition(".")[2]
    load(changed(old, new.replace(f"{key}:", f"{key}: null").split("\n    #", maxsplit=1)[0]))


@pytest.mark.parametrize(
    "nothing",
    [
        "\\u200b",
        "\\ufeff\\u2060",
        "\\u00ad \\u200d",
        "\\u3164",
        "\\u2800",
        "\\ufe0f",
        "\\u0301",
        "\\t",
    ],
)
def test_a_sentence_that_nobody_can_see_is_refused(
    problems: Callable[..., list[str]], load: Callable[..., Config], nothing: str
) -> None:
    [line] = problems(changed("a person climbs a fence", f'"{nothing}"'))
    assert "prompts.intruder.text" in line
    assert "expected some text" in line
    for seen in ("자동차", "a\\u0301", "🚗", "कार"):
        load(changed("a person climbs a fence", f'"{seen}"'))


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("a fence}", "a fence, threshold: true}", "threshold"),
        ("a fence}", "a fence, cooldown: false}", "cooldown"),
        ("a fence}", "a fence, false_alarms_per_day: true}", "false_alarms_per_day"),
        ("a fence}", "a fence, on: {for: true, of: 3}}", "on.for"),
        ("stream2}", "stream2, sample: {fps: true}}", "sample.fps"),
        ("stream2}", "stream2, timeout: true}", "timeout"),
    ],
)
def test_a_yes_is_no_number(
    problems: Callable[..., list[str]], old: str, new: str, place: str
) -> None:
    [line] = problems(changed(old, new))
    assert f"{place}: expected a number" in line


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("a fence}", "a fence, false_alarms_per_day: 5e-324}", "expected at least 0.001"),
        ("a fence}", "a fence, off_after: 1e300}", "expected a duration of at most 3650d"),
        ("a fence}", "a fence, cooldown: 9999d}", "expected a duration of at most 3650d"),
        ("stream2}", "stream2, sample: {fps: 5e-324}}", "expected at least 0.001"),
    ],
)
def test_a_number_that_means_never_is_refused(
    problems: Callable[..., list[str]], old: str, new: str, found: str
) -> None:
    [line] = problems(changed(old, new))
    assert found in line


@pytest.mark.parametrize("key", ["false_alarms_per_day: 2", "even: true", "start: quiet"])
def test_a_fixed_threshold_has_no_settings_of_a_learned_one(
    problems: Callable[..., list[str]], load: Callable[..., Config], key: str
) -> None:
    load(changed("a fence}", f"a fence, {key}}}"))
    [line] = problems(changed("a fence}", f"a fence, threshold: 0.2, {key}}}"))
    assert f"expected threshold or {key.partition(':')[0]}, found both" in line


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
