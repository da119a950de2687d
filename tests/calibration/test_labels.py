"""Labels of footage: what is wrong with them is said, all at once, before anything is played."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from calibration.labels import read_labels
from edge.errors import ConfigError

GOOD = {"clip": "yard.mp4", "prompt": "red", "start_s": 1, "end_s": 2.5, "tol_s": 0.2}


@pytest.fixture
def problems(tmp_path: Path) -> Callable[..., str]:
    (tmp_path / "yard.mp4").touch()

    def read(*events: dict[str, Any], text: str | None = None) -> str:
        path = tmp_path / "events.json"
        path.write_text(json.dumps({"events": events}) if text is None else text)
        with pytest.raises(ConfigError) as caught:
            read_labels(path, tmp_path)
        return str(caught.value).removeprefix(f"{path}: ")

    return read


def test_labels_are_read_with_their_uncertainty(tmp_path: Path) -> None:
    (tmp_path / "yard.mp4").touch()
    path = tmp_path / "events.json"
    path.write_text(json.dumps({"made_by": "us", "events": [GOOD | {"note": "far away"}]}))
    (label,) = read_labels(path, tmp_path)
    assert (label.clip, label.prompt, label.note) == ("yard.mp4", "red", "far away")
    assert label.span == pytest.approx((0.8, 2.7))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"end_s": 1}, "events[0].end_s: expected an end after the start at 1 s, found 1"),
        (
            {"start_s": -1},
            "events[0].start_s: input should be greater than or equal to 0, found -1",
        ),
        ({"start_s": "soon"}, "events[0].start_s: input should be a valid number"),
        ({"ende_s": 3}, "events[0].ende_s: unknown key; expected one of clip, prompt, start_s"),
        ({"prompt": "  "}, "events[0].prompt: string should have at least 1 character"),
        ({"clip": "yart.mp4"}, "events[0].clip: no file 'yart.mp4'"),
        ({"clip": "yart.mp4"}, "did you mean 'yard.mp4'?"),
    ],
)
def test_what_is_wrong_with_a_label_is_said(
    problems: Callable[..., str], change: dict[str, Any], said: str
) -> None:
    assert said in problems(GOOD | change)


def test_all_problems_are_said_at_once(problems: Callable[..., str]) -> None:
    said = problems(GOOD | {"end_s": 0.5}, {key: GOOD[key] for key in GOOD if key != "clip"})
    assert said.startswith("2 problems")
    assert "events[0].end_s" in said
    assert "events[1].clip: missing" in said


def test_each_missing_clip_is_named_once_however_many_events_it_has(
    problems: Callable[..., str],
) -> None:
    events = [GOOD | {"clip": clip} for clip in ("a.mp4", "b.mp4", "c.mp4") for _ in range(30)]
    said = problems(*events, GOOD | {"end_s": 0.5}).splitlines()
    assert said[0] == "4 problems"
    assert [line.split(": ", 1)[1].partition(" in ")[0] for line in said[1:4]] == [
        "events[0].clip (and of 29 more): no file 'a.mp4'",
        "events[30].clip (and of 29 more): no file 'b.mp4'",
        "events[60].clip (and of 29 more): no file 'c.mp4'",
    ]
    assert "events[90].end_s" in said[4]
    many = [GOOD | {"clip": f"{number}.mp4"} for number in range(25)]
    assert problems(*many).splitlines()[-1].endswith("and 5 more")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "expected JSON"),
        ("[]", "should be an object"),
        ('{"events": []}', "at least 1 item"),
        ("{}", "events: missing"),
        ('{"events": [{"start_s": NaN}]}', "events[0]"),
    ],
)
def test_a_file_of_something_else_is_refused(
    problems: Callable[..., str], text: str, said: str
) -> None:
    assert said in problems(text=text)


def test_a_missing_file_and_a_missing_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.json: cannot read the labels: No such file"):
        read_labels(tmp_path / "none.json", tmp_path)
    (tmp_path / "events.json").write_text(json.dumps({"events": [GOOD]}))
    with pytest.raises(ConfigError, match="gone: expected a folder with the clips"):
        read_labels(tmp_path / "events.json", tmp_path / "gone")
