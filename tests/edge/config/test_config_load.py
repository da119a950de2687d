"""What a file that is right means: defaults, paths, durations, words, shared settings."""

from collections.abc import Callable
from pathlib import Path

import pytest
from config_text import GOOD, added, changed

from edge.config.load import load_config
from edge.config.models import Config


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
