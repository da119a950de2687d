"""``edge-calibrate eval`` on a clip with planted events, through the whole pipeline."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from command import Outcome, Run
from numpy.typing import NDArray

from edge.errors import ConfigError
from edge.system import command_line
from edge.video.preprocess import Preprocessor


def document(outcome: Outcome) -> dict[str, Any]:
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.out)


def test_planted_events_are_hit_once_each_with_nothing_false(
    calibrate: Run, clips: Path, bundle: Path, label_file: Callable[..., Path]
) -> None:
    told = document(calibrate("eval", clips, label_file(), "--bundle", bundle, "--json"))
    (judgement,) = told["clips"]
    assert (judgement["recall"]["count"], judgement["recall"]["of"]) == (2, 2)
    assert (judgement["precision"]["count"], judgement["precision"]["of"]) == (2, 2)
    assert judgement["false_alarms"]["count"] == 0
    # Two of three samples at 2 fps: half a second after the first that counts.
    assert judgement["delays"]["median_s"] == pytest.approx(0.5, abs=0.11)
    assert judgement["under_alert"] < 0.01
    assert (told["total"]["state"], told["total"]["asked_per_day"]) == ("prior", 1.0)
    (trace,) = told["traces"]
    assert [sample["t"] for sample in trace["samples"]] == pytest.approx(
        [0.5 * index for index in range(40)]
    )
    assert trace["alerts"][0]["ended_s"] == pytest.approx(5.5)


def test_wrong_labels_give_misses_and_false_alarms(
    calibrate: Run, clips: Path, bundle: Path, label_file: Callable[..., Path]
) -> None:
    """Negative control: labels where green is."""
    labels = label_file(
        {"clip": "yard.mp4", "prompt": "red", "start_s": 8.0, "end_s": 10.0, "tol_s": 0.1}
    )
    told = document(calibrate("eval", clips, labels, "--bundle", bundle, "--json"))
    assert told["total"]["recall"]["value"] == 0
    assert told["total"]["false_alarms"]["count"] == 2
    assert told["total"]["under_alert"] == pytest.approx(5 / 17.8, abs=0.02)


def test_passes_are_sampled_elsewhere_and_counted_each(
    calibrate: Run, clips: Path, bundle: Path, label_file: Callable[..., Path]
) -> None:
    arguments = ("eval", clips, label_file(), "--bundle", bundle, "--repeat", 3, "--json")
    told = document(calibrate(*arguments))
    assert (told["passes"], told["total"]["recall"]["count"]) == (3, 6)
    times = [sample["t"] for sample in told["traces"][0]["samples"]]
    assert times == sorted(times)
    phases = {round(t % 0.5, 1) for t in times}
    assert len(phases) > 1
    assert told["total"]["delays"]["count"] == 6


def test_a_configurations_rules_are_found_by_name_and_by_sentence(
    calibrate: Run,
    clips: Path,
    bundle: Path,
    label_file: Callable[..., Path],
    tmp_path: Path,
) -> None:
    config = tmp_path / "edge.yaml"
    config.write_text(
        f"""
device: {{id: box}}
bundle: {bundle}
mqtt: {{host: broker}}
prompts:
  fire: {{text: red, threshold: 0.3, on: {{for: 1, of: 1}}, zones: gate, enabled: false}}
  grass: {{text: green}}
cameras:
  yard: {{url: "rtsp://192.0.2.1/", zones: {{gate: [[0, 0], [1, 0], [1, 1]]}}}}
"""
    )
    event = {"clip": "yard.mp4", "start_s": 3, "end_s": 6}
    labels = label_file(
        event | {"prompt": "fire"},
        event | {"prompt": "red", "start_s": 13, "end_s": 16},
        event | {"prompt": "snow"},
    )
    outcome = calibrate("eval", clips, labels, "--config", config, "--json")
    assert "rule 'fire': its second look is not asked here" in outcome.err
    told = document(outcome)
    (judgement,) = told["clips"]
    assert (judgement["rule"], judgement["recall"]["count"], judgement["state"]) == (
        "fire",
        2,
        "fixed",
    )
    assert judgement["delays"]["worst_s"] == pytest.approx(0, abs=0.11)  # one sample is enough
    assert told["left_out"] == ["snow"]
    outcome = calibrate("eval", clips, labels, "--config", config, "--prompt", "snow")
    assert outcome.code == 2
    assert "expected rules of" in outcome.err
    assert "fire, grass" in outcome.err


def test_after_a_warm_up_the_passes_begin_anew(
    calibrate: Run, clips: Path, bundle: Path, label_file: Callable[..., Path]
) -> None:
    arguments = ("eval", clips, label_file(), "--bundle", bundle, "--json", "--warm-up", 100)
    told = document(calibrate(*arguments))
    assert told["total"]["recall"]["count"] == 2
    assert told["traces"][0]["samples"][0]["t"] == 0
    assert told["warm_up_s"] == 100


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, str | None]] = []
        self.links: list[str | None] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs).get("class")))
        self.links += [value for name, value in attrs if name in {"src", "href"}]
        if tag not in {"meta", "link", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs).get("class")))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_report_is_one_page_that_shows_events_alerts_and_what_is_false(
    calibrate: Run,
    clips: Path,
    bundle: Path,
    label_file: Callable[..., Path],
    tmp_path: Path,
) -> None:
    hostile = "red <b>"
    labels = label_file(
        {"clip": "yard.mp4", "prompt": hostile, "start_s": 3.0, "end_s": 6.0, "tol_s": 0.1}
    )
    out = tmp_path / "report.html"
    outcome = calibrate("eval", clips, labels, "--bundle", bundle, "--out", out)
    assert outcome.code == 0, outcome.err
    assert "1/1" in outcome.out
    text = out.read_text()
    page = Page()
    page.feed(text)
    assert page.open == []
    assert page.links == []
    assert not re.search(r"https?://|<script|<b>", text)
    assert ("polyline", "margin") in page.tags
    assert [page.tags.count(("rect", kind)) for kind in ("label", "hit", "false")] == [1, 1, 1]
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--bundle", "nowhere"), 3, "nowhere"),
        (("--prompt", "green"), 2, "found none; a label's prompt is a rule's name or sentence"),
        (("--out", "nowhere/report.html"), 2, "expected an existing folder"),
        (("--config", "nowhere.yaml"), 2, "nowhere.yaml"),
    ],
)
def test_a_mistake_is_a_message_and_an_exit_code(
    calibrate: Run,
    clips: Path,
    bundle: Path,
    label_file: Callable[..., Path],
    arguments: tuple[str, str],
    code: int,
    said: str,
) -> None:
    outcome = calibrate("eval", clips, label_file(), "--bundle", bundle, *arguments)
    assert outcome.code == code
    assert said in outcome.err
    assert "Traceback" not in outcome.err


def test_a_broken_clip_is_named(
    calibrate: Run, bundle: Path, label_file: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "yard.mp4").write_bytes(b"no video")
    outcome = calibrate("eval", tmp_path, label_file(), "--bundle", bundle)
    assert outcome.code == 4
    assert "yard.mp4" in outcome.err


def test_labels_that_no_model_can_watch_for_are_left_out_with_a_note(
    calibrate: Run, clips: Path, bundle: Path, label_file: Callable[..., Path]
) -> None:
    event = {"clip": "yard.mp4", "start_s": 3, "end_s": 6, "tol_s": 0.1}
    labels = label_file(event | {"prompt": "red"}, event | {"prompt": "something"})
    outcome = calibrate("eval", clips, labels, "--bundle", bundle, "--json")
    assert document(outcome)["left_out"] == ["something"]
    assert "left out: prompt 'something' has nothing to be compared against" in outcome.err


def test_a_missing_package_of_the_extra_is_named_and_ours_is_not_hidden(
    monkeypatch: pytest.MonkeyPatch, calibrate: Run
) -> None:
    def missing(name: str) -> Callable[[str], None]:
        def find(_module: str) -> None:
            raise ModuleNotFoundError(name=name)

        return find

    monkeypatch.setattr(command_line, "find_spec", missing("scipy.stats"))
    outcome = calibrate("eval", ".", "events.json")
    assert outcome.code == ConfigError.exit_code
    assert "expected the package scipy" in outcome.err
    assert "[calibrate]" in outcome.err
    monkeypatch.setattr(command_line, "find_spec", missing("calibration.slip"))
    with pytest.raises(ModuleNotFoundError):
        calibrate("eval", ".", "events.json")


CONFIG = """\
device: {{id: box}}
bundle: {bundle}
engine: {{precision: fp32}}
mqtt: {{host: broker}}
prompts: {{fire: {{text: red}}}}
cameras:
  gate: {{url: "file:gate.mp4"}}
  yard: {{url: "file:yard.mp4", aspect: "8:3", rotate: 90, sample: {{fps: 1}}}}
"""


def test_a_camera_says_how_its_clips_are_seen_and_options_count_before_it(
    calibrate: Run,
    clips: Path,
    bundle: Path,
    label_file: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shapes: list[tuple[int, int]] = []
    preprocess = Preprocessor.__call__

    def noting(self: Preprocessor, picture: av.VideoFrame) -> NDArray[np.int8]:
        shapes.append((picture.width, picture.height))
        return preprocess(self, picture)

    monkeypatch.setattr(Preprocessor, "__call__", noting)
    config = tmp_path / "edge.yaml"
    config.write_text(CONFIG.format(bundle=bundle))
    line = ("eval", clips, label_file(), "--config", config, "--json")

    def seen(*options: object) -> tuple[float, set[tuple[int, int]], str]:
        shapes.clear()
        found = document(calibrate(*line, *options))
        return found["fps"], set(shapes), found["model"]

    fps, sizes, model = seen()
    assert (fps, sizes) == (2, {(64, 48)})
    assert "fp32" in model  # the configuration's precision
    assert "int8" in seen("--precision", "int8")[2]
    assert seen("--camera", "yard")[:2] == (1, {(171, 64)})
    assert seen("--camera", "yard", "--fps", 2, "--rotate", 0)[:2] == (2, {(128, 48)})
    assert seen("--camera", "gate", "--aspect", "1:1")[:2] == (2, {(64, 64)})


def test_a_camera_that_is_not_there_is_refused(
    calibrate: Run, clips: Path, bundle: Path, label_file: Callable[..., Path], tmp_path: Path
) -> None:
    config = tmp_path / "edge.yaml"
    config.write_text(CONFIG.format(bundle=bundle))
    line = ("eval", clips, label_file(), "--camera", "yrad")
    outcome = calibrate(*line, "--config", config)
    assert outcome.code == 2
    assert "--camera: expected one of gate, yard, found 'yrad'" in outcome.err
    outcome = calibrate(*line)
    assert outcome.code == 2
    assert "--camera: expected --config beside it" in outcome.err


def test_one_of_several_rules_that_is_not_there_or_not_labelled_is_refused(
    calibrate: Run, clips: Path, bundle: Path, label_file: Callable[..., Path], tmp_path: Path
) -> None:
    config = tmp_path / "edge.yaml"
    config.write_text(CONFIG.format(bundle=bundle).replace("red}}", "red}, grass: {text: green}}"))
    line = ("eval", clips, label_file(), "--config", config, "--prompt", "fire", "--prompt")
    outcome = calibrate(*line, "grsas")
    assert outcome.code == 2
    assert "found grsas; there are fire, grass" in outcome.err
    outcome = calibrate(*line, "green")
    assert outcome.code == 2
    assert "--prompt: expected labels of 'green', found none" in outcome.err
    assert calibrate(*line, "red").code == 0  # negative control
