"""``edge detect``: named things in pictures, by a tiny detector that knows colours."""

import json
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from command import Outcome, Run
from numpy.typing import NDArray
from tiny_detector import tiny_detector_bundle

from edge.testing.synthetic import write_clip

COLOURS = {"red": (220, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 220)}


def scene() -> np.ndarray:
    """Twice the detector's input, 64 x 96: a red and a green square of 16 pixels on grey."""
    picture = np.full((64, 96, 3), 128, np.uint8)
    picture[16:32, 32:48] = COLOURS["red"]
    picture[32:48, 64:80] = COLOURS["green"]
    return picture


def write_png(path: Path, picture: NDArray[np.uint8]) -> Path:
    with av.open(path, "w", format="image2") as container:
        stream = container.add_stream("png", rate=1)
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = "rgb24"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
    return path


def read(path: Path) -> np.ndarray:
    with av.open(path) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_detector_bundle(tmp_path_factory.mktemp("detector") / "tiny").path


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_png(tmp_path_factory.mktemp("pictures") / "squares.png", scene())


def boxes(outcome: Outcome) -> dict[str, Any]:
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.out)


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_two_squares_are_two_labelled_boxes_in_the_pixels_of_the_picture(
    edge: Run, detector: Path, squares: Path, engine: str
) -> None:
    pytest.importorskip(engine)
    options = ("--bundle", detector, "--json", "--engine", engine)
    found = boxes(edge("detect", squares, "a red square. green. blue", *options))
    assert (found["height"], found["width"]) == (64, 96)
    assert found["phrases"] == ["a red square", "green", "blue"]
    by_phrase = {box["phrase"]: box for box in found["boxes"]}
    assert len(found["boxes"]) == 2
    assert by_phrase["a red square"]["pixels"] == pytest.approx([32, 16, 48, 32], abs=0.01)
    assert by_phrase["green"]["pixels"] == pytest.approx([64, 32, 80, 48], abs=0.01)
    assert by_phrase["green"]["box"] == pytest.approx([2 / 3, 0.5, 5 / 6, 0.75], abs=1e-5)
    assert [by_phrase[name]["class"] for name in ("a red square", "green")] == [0, 1]
    assert all(box["score"] > 0.9 for box in found["boxes"])


def test_a_picture_of_another_shape_is_letterboxed_and_its_boxes_find_back(
    edge: Run, detector: Path, tmp_path: Path
) -> None:
    wide = np.full((64, 192, 3), 128, np.uint8)  # lies between bars of 8 rows
    wide[32:64, 64:96] = COLOURS["blue"]
    path = write_png(tmp_path / "wide.png", wide)
    found = boxes(edge("detect", path, "blue", "--bundle", detector, "--json"))
    assert [box["pixels"] for box in found["boxes"]] == [pytest.approx([64, 32, 96, 64], abs=0.01)]


def test_phrases_may_come_in_one_argument_or_in_several(
    edge: Run, detector: Path, squares: Path
) -> None:
    one = edge("detect", squares, "red. green.", "--bundle", detector, "--json")
    two = edge("detect", squares, "red", "green. red", "--bundle", detector, "--json")
    assert boxes(one) == boxes(two)


def test_a_table_has_a_row_for_each_box(edge: Run, detector: Path, squares: Path) -> None:
    outcome = edge("detect", squares, "red. green.", "--bundle", detector)
    assert outcome.code == 0
    assert "squares.png: 2 boxes, tiny-detector fp32 on" in outcome.out
    rows = [line.split() for line in outcome.out.splitlines() if re.match(r"\s*(red|green) ", line)]
    assert sorted(row[0] for row in rows) == ["green", "red"]
    assert ["32", "16", "48", "32"] in [row[2:] for row in rows]


def test_no_box_is_an_answer(edge: Run, detector: Path, squares: Path) -> None:
    outcome = edge("detect", squares, "blue", "--bundle", detector)
    assert (outcome.code, "0 boxes" in outcome.out) == (0, True)
    assert boxes(edge("detect", squares, "blue", "--bundle", detector, "--json"))["boxes"] == []


def test_a_word_that_the_model_does_not_know_is_named(
    edge: Run, detector: Path, squares: Path
) -> None:
    outcome = edge("detect", squares, "red. a zorble", "--bundle", detector, "--json")
    assert boxes(outcome)["phrases"] == ["red", "a zorble"]
    assert "'a zorble' has a word that the model does not know" in outcome.err
    assert "'red'" not in outcome.err
    assert edge("detect", squares, "red. a green", "--bundle", detector).err == ""


def test_the_threshold_can_be_chosen(edge: Run, detector: Path, squares: Path) -> None:
    options = ("--bundle", detector, "--json")
    assert len(boxes(edge("detect", squares, "red", *options, "--threshold", 0.999))["boxes"]) == 0
    assert len(boxes(edge("detect", squares, "red", *options, "--threshold", 0))["boxes"]) == 24


def test_of_a_clip_the_first_frame_is_looked_at(edge: Run, detector: Path, tmp_path: Path) -> None:
    def draw(time_s: float) -> np.ndarray:
        return scene() if time_s < 0.5 else np.full((64, 96, 3), 128, np.uint8)

    path = write_clip(tmp_path / "c.mp4", width=96, height=64, fps=10, seconds=1, pattern=draw)
    found = boxes(edge("detect", path, "red. green.", "--bundle", detector, "--json"))
    assert {box["phrase"] for box in found["boxes"]} == {"red", "green"}


def test_boxes_are_those_of_the_picture_as_it_is_to_be_seen(
    edge: Run, detector: Path, tmp_path: Path
) -> None:
    def on_its_side(_: float) -> np.ndarray:
        return np.ascontiguousarray(np.rot90(scene()[:, ::2]))

    path = write_clip(
        tmp_path / "c.mp4",
        width=64,
        height=48,
        pixel_aspect=Fraction(1, 2),
        turn=270,
        pattern=on_its_side,
    )
    found = boxes(edge("detect", path, "red. green.", "--bundle", detector, "--json"))
    assert (found["height"], found["width"]) == (64, 96)
    by_phrase = {box["phrase"]: box["pixels"] for box in found["boxes"]}
    assert by_phrase["red"] == pytest.approx([32, 16, 48, 32], abs=0.01)
    assert by_phrase["green"] == pytest.approx([64, 32, 80, 48], abs=0.01)


def test_boxes_are_drawn_into_a_copy_of_the_same_size(
    edge: Run, detector: Path, squares: Path, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / "out.png"
    assert edge("detect", squares, "red. $green_", "--bundle", detector, "--out", out).code == 0
    drawn = read(out)
    assert drawn.shape == (64, 96, 3)
    blue = (0, 114, 178)  # the first class's colour, around the red square
    assert np.abs(drawn[24, 31:33].astype(int) - blue).max() < 60
    assert (drawn[24, 40] == COLOURS["red"]).all()
    empty = tmp_path / "empty.png"
    assert edge("detect", squares, "blue", "--bundle", detector, "--out", empty).code == 0
    assert (read(empty) == scene()).all()


@pytest.mark.parametrize("text", ["", " . ", "?"])
def test_no_phrase_is_a_wrong_argument(edge: Run, detector: Path, squares: Path, text: str) -> None:
    outcome = edge("detect", squares, text, "--bundle", detector)
    assert (outcome.code, "expected a phrase, found none" in outcome.err) == (2, True)


def test_too_many_phrases_name_the_first_that_does_not_fit(
    edge: Run, detector: Path, squares: Path
) -> None:
    phrases = [f"a {colour} square" for colour in ("red", "green", "blue", "red red")]
    outcome = edge("detect", squares, *phrases, "--bundle", detector)
    assert outcome.code == 2
    assert "no room for the phrase 'a red red square', number 4 of 4" in outcome.err


def test_a_model_without_boxes_is_named_with_the_way_out(
    edge: Run, bundle: Path, squares: Path
) -> None:
    outcome = edge("detect", squares, "red", "--bundle", bundle)
    assert outcome.code == 3
    assert (
        "expected a model that finds boxes (class P, or with regions), found tiny, class F"
        in outcome.err
    )


def test_a_picture_that_is_none_is_a_message(edge: Run, detector: Path, tmp_path: Path) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(b"no picture")
    outcome = edge("detect", path, "red", "--bundle", detector)
    assert outcome.code == 4
    assert "no decodable frame" in outcome.err


def test_where_the_copy_cannot_go_is_said_before_the_work(
    edge: Run, detector: Path, squares: Path, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / "none" / "out.png"
    outcome = edge("detect", squares, "red", "--bundle", detector, "--out", out)
    assert (outcome.code, "expected an existing folder" in outcome.err) == (2, True)


def test_the_help_has_an_example(edge: Run) -> None:
    outcome = edge("detect", "--help")
    assert outcome.code == 0
    assert 'edge detect yard.jpg "a car. a person."' in " ".join(
        outcome.out.replace("│", " ").split()
    )


@pytest.mark.parametrize(
    ("options", "size"),
    [((), (64, 96)), (("--aspect", "3:1"), (64, 192)), (("--rotate", 90), (96, 64)),
     (("--aspect", "16:9", "--rotate", 270), (96, 171))],
)  # fmt: skip
def test_the_picture_is_seen_as_the_options_say(
    edge: Run, detector: Path, squares: Path, options: tuple[str | int, ...], size: tuple[int, int]
) -> None:
    found = boxes(edge("detect", squares, "red", "--bundle", detector, "--json", *options))
    assert (found["height"], found["width"]) == size


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--aspect", "wide"), "--aspect: expected width:height of the picture, such as 16:9"),
        (("--aspect", "9:1"), "--aspect: expected width:height of a picture, from 1:4 to 4:1"),
        (("--rotate", 45), "--rotate: "),
    ],
)
@pytest.mark.parametrize("command", ["score", "detect"])
def test_a_picture_cannot_be_seen_in_an_impossible_way(
    edge: Run, squares: Path, command: str, options: tuple[str, str], said: str
) -> None:
    outcome = edge(command, squares, "red", *options)
    assert outcome.code == 2
    assert said in outcome.err
