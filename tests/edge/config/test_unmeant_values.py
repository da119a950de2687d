"""Values that look right and that nobody can mean: no key, no sentence, no number."""

from collections.abc import Callable

import pytest
from config_text import GOOD, changed

from edge.config.models import Config


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
