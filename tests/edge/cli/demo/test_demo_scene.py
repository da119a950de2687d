"""The configuration that the demo writes, and the folder that it writes to."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge.cli.demo.scene import config_text, prepare
from edge.config.load import load_config
from edge.errors import ConfigError

# What YAML can carry, and the loader takes for a sentence.
SENTENCES = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"])).filter(
    str.strip
)


@given(sentences=st.lists(SENTENCES, min_size=1, max_size=5))
@example(sentences=["0E0", "1e3", "12", "true", "null", "~", "- a dog", '"a" dog', "a\\dog"])
def test_every_sentence_comes_through_the_file_as_it_was_typed(
    tmp_path_factory: pytest.TempPathFactory, sentences: list[str]
) -> None:
    path = tmp_path_factory.mktemp("config") / "edge.yaml"
    path.write_text(config_text(Path("b"), "rtsp://127.0.0.1/x", 1883, sentences), "utf-8")
    config = load_config(path, {})
    assert [prompt.text for prompt in config.prompts.values()] == [(text,) for text in sentences]


def test_a_variable_in_a_sentence_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "edge.yaml"
    path.write_text(config_text(Path("b"), "rtsp://127.0.0.1/x", 1883, ["a ${HOME}"]), "utf-8")
    assert load_config(path, {}).prompts["home"].text == ("a ${HOME}",)


def test_how_the_pictures_are_seen_goes_into_the_file(tmp_path: Path) -> None:
    path = tmp_path / "edge.yaml"
    path.write_text(config_text(Path("b"), "x.mp4", 1, ["a dog"], aspect="16:9", rotate=90))
    (camera,) = load_config(path, {}).cameras.values()
    assert (camera.aspect, camera.rotate) == ("16:9", 90)


def test_an_earlier_demo_is_cleared_away_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    prepare(out)
    (out / "edge.yaml").write_text(config_text(Path("b"), "x.mp4", 1, ["a dog"]))
    (out / "snapshots" / "01-dog.jpg").write_bytes(b"old")
    (out / "state").mkdir()
    (out / "state" / "outbox.db").write_bytes(b"old")
    (out / "notes.txt").write_text("mine")
    prepare(out)
    left = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    assert left == ["edge.yaml", "notes.txt"]


@pytest.mark.parametrize("foreign", ["photo.jpg", "edge.yaml"])
def test_a_folder_with_other_files_is_left_alone(tmp_path: Path, foreign: str) -> None:
    (tmp_path / foreign).write_text("mine")
    with pytest.raises(ConfigError, match="expected a new folder, or one of an earlier demo"):
        prepare(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [foreign]


def test_a_file_in_the_place_of_the_folder_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("")
    with pytest.raises(ConfigError, match="expected a folder that can be written"):
        prepare(tmp_path / "demo")
