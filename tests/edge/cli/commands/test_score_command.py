"""``edge score``: what it says about pictures, clips and cameras."""

import json
import re
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from command import Outcome, Run
from known import known
from numpy.typing import NDArray
from tiny_window import tiny_window_bundle

from edge.cli.plot import plot_scores
from edge.cli.tables import clock, sparkline
from edge.testing import TestCamera
from edge.testing.synthetic import write_clip
from edge.video.preprocess import Preprocessor


def samples(outcome: Outcome) -> list[dict[str, Any]]:
    assert outcome.code == 0, outcome.err
    document = json.loads(outcome.out)
    assert list(document) == ["samples"]
    assert all(list(sample) == ["t", "scores"] for sample in document["samples"])
    found: list[dict[str, Any]] = document["samples"]
    return found


def test_json_has_the_margin_of_every_prompt_over_the_time_of_the_clip(
    edge: Run, bundle: Path, clip: Path
) -> None:
    found = samples(edge("score", clip, "red", "blue", "--bundle", bundle, "--json"))
    assert [sample["t"] for sample in found] == pytest.approx([0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5])
    winners = [max(sample["scores"], key=sample["scores"].get) for sample in found]
    assert winners == ["red"] * 4 + ["blue"] * 4
    assert all(list(sample["scores"]) == ["red", "blue"] for sample in found)
    assert all(sample["scores"]["red"] > 0.1 for sample in found[:4])
    assert all(sample["scores"]["red"] < 0.1 for sample in found[4:])


def test_the_time_is_that_of_the_clip_where_the_recording_starts_late(
    edge: Run, bundle: Path, tmp_path: Path
) -> None:
    path = write_clip(tmp_path / "late.ts", width=64, height=48, fps=10, seconds=2, bframes=2)
    with av.open(path) as container:
        stream = container.streams.video[0]
        assert known(stream.start_time) * known(stream.time_base) > 0
    found = samples(edge("score", path, "red", "--bundle", bundle, "--json"))
    assert [sample["t"] for sample in found] == pytest.approx([0, 0.5, 1, 1.5], abs=0.21)
    assert found[0]["t"] == 0


def test_a_model_of_several_frames_scores_a_clip_and_says_why_it_cannot_score_a_picture(
    edge: Run, clip: Path, red_picture: Path, tmp_path: Path
) -> None:
    bundle = tiny_window_bundle(tmp_path / "window").path
    found = samples(edge("score", clip, "red", "blue", "--bundle", bundle, "--json"))
    assert 0 < len(found) < 8
    outcome = edge("score", red_picture, "red", "--bundle", bundle)
    assert outcome.code == 4
    assert "takes together, found fewer; give a longer clip" in outcome.err


def test_fps_and_duration_choose_what_is_looked_at(edge: Run, bundle: Path, clip: Path) -> None:
    arguments = ("score", clip, "red", "--bundle", bundle, "--json", "--fps", 5, "--duration", 1)
    found = samples(edge(*arguments))
    assert [sample["t"] for sample in found] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])


def test_a_negative_and_a_background_take_from_the_margin(
    edge: Run, bundle: Path, red_picture: Path
) -> None:
    def margin(*options: str) -> float:
        [sample] = samples(
            edge("score", red_picture, "red", "--bundle", bundle, "--json", *options)
        )
        return sample["scores"]["red"]

    assert margin("--negative", "red red") < 0.05 < margin("--negative", "blue")
    assert margin("--background", "red green") < margin("--background", "green blue")


def test_a_clip_is_a_summary_and_a_row_per_time(edge: Run, bundle: Path, clip: Path) -> None:
    outcome = edge("score", clip, "red", "blue", "--bundle", bundle)
    assert outcome.code == 0
    # Which precision is the faster one of a graph this small is chance.
    assert re.search(r"colours\.mp4: 8 frames, tiny (int8|fp32) on", outcome.out)
    [summary] = [line for line in outcome.out.splitlines() if re.match(r"\s*red .*%", line)]
    assert re.search(r"0:0[01]\.\d +50% +████▁▁▁▁", summary)
    rows = [line.split() for line in outcome.out.splitlines() if re.match(r"\s*0:", line)]
    assert [row[0] for row in rows[:3]] == ["0:00.0", "0:00.5", "0:01.0"]
    assert len(rows) == 8
    assert float(rows[0][1]) > 0 > float(rows[0][2])


def test_a_long_clip_is_shown_in_a_screenful(edge: Run, bundle: Path, clip: Path) -> None:
    outcome = edge("score", clip, "red", "--bundle", bundle, "--fps", 60)
    assert "40 frames" in outcome.out
    long = write_clip(clip.parent / "long.mp4", width=64, height=48, fps=10, seconds=10)
    outcome = edge("score", long, "red", "--bundle", bundle, "--fps", 60)
    assert "100 frames" in outcome.out
    assert "best of 3 frames from" in outcome.out
    assert len([line for line in outcome.out.splitlines() if re.match(r"\s*0:", line)]) == 34


def test_a_picture_shows_what_each_prompt_was_understood_as(
    edge: Run, bundle: Path, red_picture: Path
) -> None:
    outcome = edge("score", red_picture, "red", "blue", "--bundle", bundle)
    assert outcome.code == 0
    assert "one frame" in outcome.out
    [red] = [line for line in outcome.out.splitlines() if line.strip().startswith("red ")]
    score, margin, concept = red.split()[1:4]
    assert float(score) > 0.9
    assert float(margin) > 0.1
    assert concept == "red"


def test_a_camera_is_looked_at_for_a_while(edge: Run, bundle: Path, camera: TestCamera) -> None:
    url = camera.url("yard")
    found = samples(edge("score", url, "red", "--bundle", bundle, "--json", "--duration", 1))
    assert found[0]["t"] == 0
    assert 2 <= len(found) <= 3
    assert found[-1]["t"] <= 1.0


def test_notes_go_to_stderr_and_json_alone_to_stdout(
    edge: Run, bundle: Path, red_picture: Path
) -> None:
    arguments = ("score", red_picture, "no red", "--bundle", bundle)
    outcome = edge(*arguments, "--json")
    assert len(samples(outcome)) == 1
    assert (
        "note: 'no red' is scored by its clauses; the daemon waits for 'red' not seen for 10 s"
        in (outcome.err)
    )
    assert list(samples(outcome)[0]["scores"]) == ["red"]
    assert "note" not in edge(*arguments).out


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_engine_and_precision_can_be_chosen(
    edge: Run, bundle: Path, red_picture: Path, engine: str
) -> None:
    pytest.importorskip(engine)
    options = ("--engine", engine, "--precision", "fp32")
    outcome = edge("score", red_picture, "red", "--bundle", bundle, *options)
    assert f"tiny fp32 on {engine}" in outcome.out


def picture(path: Path) -> np.ndarray:
    with av.open(path) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


def test_a_plot_has_a_line_for_each_prompt_and_the_threshold(
    edge: Run, bundle: Path, clip: Path, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    one, two = tmp_path / "one.png", tmp_path / "two.png"
    assert edge("score", clip, "red", "--bundle", bundle, "--plot", one).code == 0
    assert edge("score", clip, "red", "blue", "--bundle", bundle, "--plot", two).code == 0
    blue, orange = (0, 114, 178), (213, 94, 0)

    def drawn(path: Path, colour: tuple[int, int, int]) -> bool:
        return bool((picture(path) == colour).all(axis=-1).sum() > 100)

    assert [drawn(one, colour) for colour in (blue, orange)] == [True, False]
    assert [drawn(two, colour) for colour in (blue, orange)] == [True, True]


def test_the_threshold_is_a_dashed_line_at_its_height(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")

    def height(threshold: float) -> int:
        path = tmp_path / "scores.png"
        plot_scores(path, [0, 1, 2], {"red": [0, 0.5, 1]}, threshold, "a clip")
        pixels = picture(path).astype(int)
        is_grey = (np.ptp(pixels, axis=-1) < 3) & (pixels[..., 0] > 60) & (pixels[..., 0] < 190)
        [rows] = np.nonzero(is_grey.sum(axis=1) > 250)
        assert 1 <= len(rows) <= 3
        return int(rows[0])

    assert height(0.75) < height(0.5) < height(0.25)


@pytest.mark.parametrize(
    ("name", "words"),
    [("scores.doc", "expected a picture such as scores.png"), ("absent/scores.png", "no ")],
)
def test_a_plot_that_cannot_be_written_is_said_before_the_work(
    edge: Run, tmp_path: Path, name: str, words: str
) -> None:
    outcome = edge("score", "no-such-clip.mp4", "red", "--plot", tmp_path / name)
    assert outcome.code == 2
    assert words in outcome.err


def test_help_has_an_example(edge: Run) -> None:
    assert 'edge score clip.mp4 "a car on the road"' in edge("score", "--help").out


def test_bars_rise_with_the_margin_and_keep_the_highest_of_their_part() -> None:
    values = np.array([0, 1, 2, 3, 4, 5, 6, 7], np.float32)
    assert sparkline(values, 10, 0, 7).plain == "▁▂▃▄▅▆▇█"
    spike = np.zeros(1000, np.float32)
    spike[500] = 1
    assert sorted(sparkline(spike, 2, 0, 1).plain) == ["▁"] * 31 + ["█"]
    flat = sparkline(np.full(3, 0.5, np.float32), 2, 0.5, 0.5)
    assert flat.plain == "▁▁▁"


@pytest.mark.parametrize(
    ("t", "shown"), [(0, "0:00.0"), (59.96, "1:00.0"), (83.42, "1:23.4"), (3723.5, "1:02:03.5")]
)
def test_times_are_read_like_those_of_a_player(t: float, shown: str) -> None:
    assert clock(t) == shown


def test_the_picture_is_scored_as_the_options_say(
    edge: Run, bundle: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes: list[tuple[int, int]] = []
    preprocess = Preprocessor.__call__

    def noting(self: Preprocessor, picture: av.VideoFrame) -> NDArray[np.int8]:
        shapes.append((picture.width, picture.height))
        return preprocess(self, picture)

    monkeypatch.setattr(Preprocessor, "__call__", noting)
    line = ("score", clip, "red", "--bundle", bundle, "--fps", 1, "--json")
    samples(edge(*line))
    assert set(shapes) == {(64, 48)}  # negative control
    shapes.clear()
    samples(edge(*line, "--aspect", "3:4", "--rotate", 90))
    assert set(shapes) == {(48, 64)}
    shapes.clear()
    samples(edge(*line, "--aspect", "8:3"))
    assert set(shapes) == {(128, 48)}
