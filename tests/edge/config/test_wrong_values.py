"""Values that cannot be meant: each is refused with its line, its key and what to do."""

from collections.abc import Callable

import pytest
from config_text import added, changed


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
