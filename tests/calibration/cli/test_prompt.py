"""``edge-calibrate prompt``: examples in a clip to a line in a configuration, and out again."""

import json
import re
from pathlib import Path

import pytest
import yaml
from command import Run

from calibration.edit import put, take
from edge.config.load import load_config
from edge.config.prompt import SharpenedConfig
from edge.errors import ConfigError

RECORD = SharpenedConfig(threshold=0.1, hysteresis=0.05)
WEIGHED = SharpenedConfig(
    texts=(0.25, 0.75), templates=(1,), negatives=(1,), threshold=-0.001, hysteresis=0
)
EVENTS = ("--event", "3-6", "--event", "13-16")  # where the clip is red

CONFIG = """\
# what we watch
device: {id: box}
bundle: BUNDLE
mqtt: {host: broker, password: "${SECRET:hush-5f1d}", username: me}
prompts:
  fire:            # red
    text: [blue, red]
    threshold: -0.9
    # cold things
    negatives: [green]

  grass: {text: green}
cameras: {yard: {url: "rtsp://192.0.2.1/"}}
"""


@pytest.fixture
def config(tmp_path: Path, bundle: Path) -> Path:
    path = tmp_path / "edge.yaml"
    path.write_text(CONFIG.replace("BUNDLE", str(bundle)))
    return path


@pytest.mark.parametrize("name", ["fire", "grass"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_record_goes_in_and_out_and_nothing_else_changes(name: str, end: str) -> None:
    text = CONFIG.replace("\n", end)
    with_it = put(text, name, RECORD)
    assert yaml.safe_load(with_it)["prompts"][name]["sharpened"] == {
        "threshold": 0.1,
        "hysteresis": 0.05,
    }
    assert [line for line in text.split(end) if line not in with_it.split(end)] == (
        [] if name == "fire" else ["  grass: {text: green}"]
    )
    assert take(with_it, name) == text


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffprompts: {c: {text: b}}",
        "---\nprompts:\n  c: { text: [b,d], off_after: +5 }   # e\n...\n",
        "\n\nprompts:\n    c:            # four spaces\n        text:\n          - b\n\n\n# end\n",
        "prompts:\n  c:\n    text: b\n       and so on\n    on: ~\n    loop: True\n",
        'prompts:\n  c:\n    text: "\\u00e9 \\\n      d"\n    cooldown: 0.50\nx: !secret y\n',
        "x: &a {y: 1}\nz: *a\nprompts:\n  c:\n    <<: *a\n    text: >-\n      b\n      d\n",
    ],
)
def test_every_other_byte_stays_however_the_file_is_written(text: str) -> None:
    with_it = put(text, "c", RECORD)
    assert with_it.count("sharpened") == 1
    assert take(with_it, "c") == text


def test_a_second_record_takes_the_place_of_the_first() -> None:
    once = put(CONFIG, "fire", RECORD)
    twice = put(once, "fire", WEIGHED)
    assert twice.count("sharpened") == 1
    assert yaml.safe_load(twice)["prompts"]["fire"]["sharpened"]["texts"] == [0.25, 0.75]
    assert take(twice, "fire") == CONFIG


def test_nothing_to_take_out_changes_nothing() -> None:
    assert take(CONFIG, "fire") == CONFIG


@pytest.mark.parametrize(
    "text",
    [
        "prompts:\n  a: &x {text: b}\n  c: *x\n",  # one text, two rules
        "prompts:\n  c:\n    sharpened:\n      threshold: 1\n    text: b\n",
        "prompts:\n  c:\n    ? [text]\n    : b\n",
    ],
)
def test_what_cannot_be_edited_safely_is_left_to_its_owner(text: str) -> None:
    with pytest.raises(ConfigError, match="by hand"):
        put(text, "c", RECORD)


@pytest.mark.parametrize("text", ["[1", "prompts: {}", "prompts: {c: 3}", "3", ""])
def test_a_rule_that_is_not_there_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match=r"expected a prompt 'c'|not YAML"):
        put(text, "c", RECORD)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("prompts: {c: {text: b}}\nmqtt: {password: hush, x: [}", "line 2:28: not valid YAML"),
        ("prompts: {c: {text: b}}\nx: " + "[" * 5000, "line 2:24: .* nested too deeply"),
        ("prompts: {c: {text: b}}\nx: &a [*a]", "line 2: .* does an alias contain itself"),
        ('prompts: {c: {text: "\\UFFFFFFFF"}}', "line 1: not valid YAML"),
        ("prompts: {c: {text: b}}\n\x07", "line 2: .* control character"),
    ],
)
def test_a_file_that_the_daemon_would_refuse_is_named_by_line_and_never_quoted(
    text: str, line: str
) -> None:
    with pytest.raises(ConfigError, match=f"not YAML: {line}") as caught:
        put(text, "c", RECORD)
    assert "hush" not in str(caught.value)


def test_examples_weigh_the_sentences_and_the_record_is_what_the_daemon_loads(
    calibrate: Run, clips: Path, config: Path
) -> None:
    """Of the synonyms blue and red the clip's events are red; the threshold is absurd."""
    arguments = ("prompt", clips / "yard.mp4", *EVENTS, "--config", config, "--name", "fire")
    told = json.loads(calibrate(*arguments, "--json").out)
    assert told["helps"]
    blue, red = told["sharpened"]["texts"]
    assert red > 0.6 > blue
    assert told["left_out"]["before"]["rightness"] < 0.7
    assert told["left_out"]["after"]["rightness"] > 0.95
    before, after = told["clip"]
    assert (before["under_alert"], after["under_alert"]) == (pytest.approx(1, abs=0.1), 0)
    assert after["recall"]["count"] == 2

    text = config.read_text()
    outcome = calibrate(*arguments, "--apply")
    assert outcome.code == 0, outcome.err
    assert f"{red:.2f}  red" in outcome.out
    loaded = load_config(config, {}).prompts["fire"].sharpened
    assert loaded is not None
    assert loaded.texts == pytest.approx((blue, red))
    assert list(config.parent.iterdir()) == [config]

    assert calibrate("prompt", "--config", config, "--name", "fire", "--undo").code == 0
    assert config.read_text() == text


def test_examples_that_do_not_help_change_nothing_and_end_with_one(
    calibrate: Run, clips: Path, config: Path
) -> None:
    text = config.read_text()
    arguments = ("prompt", clips / "yard.mp4", *EVENTS, "--config", config, "--name", "grass")
    outcome = calibrate(*arguments, "--apply")
    assert outcome.code == 1, outcome.out
    assert "do not help" in outcome.out
    assert config.read_text() == text


def test_without_a_configuration_the_record_is_printed(
    calibrate: Run, clips: Path, bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "report.html"
    arguments = ("--text", "blue", "--text", "red", "--negative", "green", "--bundle", bundle)
    outcome = calibrate("prompt", clips / "yard.mp4", *EVENTS, *arguments, "--out", out)
    assert outcome.code == 0, outcome.out + outcome.err
    record = yaml.safe_load(outcome.out.splitlines()[-1])["sharpened"]
    assert set(record) == {"texts", "templates", "negatives", "threshold", "hysteresis"}
    assert out.read_text().count("<polyline") == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "expected a clip and events in it"),
        (("yard.mp4",), "expected a clip and events in it"),
        (("yard.mp4", "--event", "5-4", "--text", "red"), "two times in seconds .* found '5-4'"),
        (("yard.mp4", "--event", "a-b", "--text", "red"), "two times in seconds .* found 'a-b'"),
        (("yard.mp4", "--event", "1-3", "--event", "2-4", "--text", "red"), "found 1-3 and 2-4"),
        (("yard.mp4", "--event", "1-3"), "expected --text with the rule's sentence"),
        (("yard.mp4", "--event", "1-3", "--text", "red"), "two events with wanted .*, found 1"),
        (("yard.mp4", "--event", "91-93", "--text", "red"), "found none at 4 a second"),
        (("yard.mp4", "--event", "1-3", "--text", "red", "--apply"), "need --config and --name"),
        (("--undo",), "need --config and --name"),
    ],
)
def test_a_mistake_is_said(
    calibrate: Run, clips: Path, bundle: Path, arguments: tuple[str, ...], said: str
) -> None:
    words = [clips / word if word == "yard.mp4" else word for word in arguments]
    outcome = calibrate("prompt", *words, "--bundle", bundle)
    assert outcome.code == 2
    assert re.search(said, outcome.err), outcome.err


def test_a_rule_that_is_not_in_the_configuration_is_named(
    calibrate: Run, clips: Path, config: Path
) -> None:
    outcome = calibrate(
        "prompt", clips / "yard.mp4", *EVENTS, "--config", config, "--name", "water"
    )
    assert outcome.code == 2
    assert "prompts fire, grass, found 'water'" in outcome.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--undo", "--apply"), "--apply: --undo takes --config and --name only"),
        (("--undo", "yard.mp4", "--event", "3-6"), "clip, --event: --undo takes"),
        (("--undo", "--json"), "--json: --undo takes"),
    ],
)
def test_an_option_that_undo_would_ignore_is_refused_and_nothing_changes(
    calibrate: Run, config: Path, options: tuple[str, ...], said: str
) -> None:
    before = config.read_text()
    outcome = calibrate("prompt", "--config", config, "--name", "fire", *options)
    assert (outcome.code, said in outcome.err) == (2, True), outcome.err
    assert config.read_text() == before


def test_a_rule_without_its_file_is_refused(calibrate: Run) -> None:
    outcome = calibrate("prompt", "yard.mp4", "--event", "3-6", "--text", "a", "--name", "fire")
    assert outcome.code == 2
    assert "--name: expected --config beside it" in outcome.err
