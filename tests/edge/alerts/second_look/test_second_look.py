"""Who is asked before an alert starts, how often, and what a no does."""

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import av
import numpy as np
import pytest
from engine_double import EngineDouble
from numpy.typing import NDArray
from present import present

from edge.alerts.second_look import Box, Confirm
from edge.alerts.second_look.base import PixelsOf
from edge.alerts.second_look.clip import ClipLook, ClipMargin
from edge.alerts.second_look.crops import CropScorer
from edge.alerts.second_look.detectors import CaptionDetector, RegionsDetector
from edge.alerts.second_look.second import SecondLooks
from edge.config.models import Config
from edge.config.prompt import PromptConfig
from edge.errors import ConfigError, InferenceError
from edge.model.bundle.manifest import ImageSpec, TextSpec
from edge.rules.bank import CompiledPrompt, PromptBank
from edge.rules.text import Tokenizer
from edge.scoring.captions import CaptionEncoder
from edge.scoring.scorers.frames import FrameScorer
from edge.video.crop import cut_out
from edge.video.preprocess import Preprocessor
from edge.video.sample import Arrival, Sample
from edge.video.worker import Edges

SPEC = ImageSpec(
    height=40, width=80, resize="stretch", interpolation="bilinear", mean=(0,) * 3, std=(1,) * 3
)
LEFT = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
ROWS = np.eye(3, dtype=np.float32)  # a car, a person, nothing


def bank_of(*names: str) -> PromptBank:
    prompts = tuple(
        CompiledPrompt(name, name, slice(row, row + 1), slice(2, 2), np.array([2]), None)
        for row, name in enumerate(names)
    )
    return PromptBank(prompts, ("a car", "a person", "nothing"), ROWS, (), "h")


BANK = bank_of("car", "person")


def config(
    car: dict[str, Any] | None = None,
    cameras: dict[str, dict[str, Any]] | None = None,
    **sections: dict[str, Any],
) -> Config:
    prompts = {"car": {"text": "a car"} | (car or {}), "person": {"text": "a person"}}
    settings = {
        "device": {"id": "box"},
        "bundle": "unused",
        "mqtt": {"host": "localhost"},
        "prompts": prompts,
        "cameras": cameras or {"yard": {"url": "file:x.mp4", "zones": {"left": LEFT}}},
        "detector": {"cooldown": 5},
    }
    return Config.model_validate(settings | sections)


class ScriptedRegions(EngineDouble):
    """A regions graph that sees a car at the left, a person at the right, and a shadow."""

    def __init__(self) -> None:
        self.calls = 0
        self.regions = np.array([[0.9, 0, 0], [0, 0.6, 0], [0.1, 0, 0]], np.float32)
        # centre x, centre y, width, height
        self.places = np.array([[0.2, 0.5, 0.2, 0.4], [0.8, 0.5, 0.1, 0.6], [0.5, 0.5, 0.1, 0.1]])

    def run(self, _tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        self.calls += 1
        return {"regions": self.regions[None], "boxes": self.places[None].astype(np.float32)}


def sample(sequence: int = 0, at: float = 0.0) -> Sample:
    pixels = np.zeros((3, SPEC.height, SPEC.width), np.int8)
    return Sample("yard", sequence, Arrival(at, at, None), pixels, (400, 800))


@pytest.fixture
def graph() -> ScriptedRegions:
    return ScriptedRegions()


def looks(graph: ScriptedRegions | None, settings: Config | None = None, **parts: Any) -> Confirm:
    settings = settings or config()
    detector = None if graph is None else RegionsDetector(graph, SPEC, threshold=0.3)
    made = SecondLooks(settings, 0.1, detector=detector, **parts)
    return made.prepare(settings.prompts, BANK, settings.cameras)


def test_an_alert_gets_the_boxes_of_its_own_sentence(graph: ScriptedRegions) -> None:
    look = looks(graph)
    (box,) = present(look("car", sample()).boxes)
    assert box.phrase == "a car"
    assert box.score == pytest.approx(0.9)
    assert box.box == pytest.approx((0.1, 0.3, 0.3, 0.7))
    (box,) = present(look("person", sample()).boxes)
    assert box.phrase == "a person"
    assert box.score == pytest.approx(0.6)


def test_alerts_of_one_sample_share_one_look_and_others_wait_for_the_cooldown(
    graph: ScriptedRegions,
) -> None:
    look = looks(graph)
    look("car", sample(0, 0.0))
    look("person", sample(0, 0.0))
    assert graph.calls == 1
    soon = look("car", sample(1, 4.9))
    assert (soon.confirmed, soon.boxes) == (True, None)
    assert "moments ago" in present(soon.reason)
    assert graph.calls == 1
    assert look("car", sample(2, 5.0)).boxes
    assert graph.calls == 2


@pytest.mark.parametrize(("place", "confirmed"), [(0.2, True), (0.8, False)])
def test_a_zone_is_where_it_must_stand(
    graph: ScriptedRegions, place: float, confirmed: bool
) -> None:
    graph.places[0, 0] = place
    finding = looks(graph, config(car={"zones": "left"}))("car", sample())
    assert finding.confirmed is confirmed
    assert bool(finding.boxes) is confirmed


def test_a_rule_with_a_zone_is_never_confirmed_unseen(graph: ScriptedRegions) -> None:
    look = looks(graph, config(car={"zones": ["left"]}))
    look("person", sample(0, 0.0))
    assert not look("car", sample(1, 1.0)).confirmed
    assert look("car", sample(2, 6.0)).confirmed


def test_without_a_detector_alerts_go_out_without_boxes() -> None:
    finding = looks(None)("car", sample())
    assert (finding.confirmed, finding.boxes) == (True, None)


def test_boxes_can_be_switched_off(graph: ScriptedRegions) -> None:
    finding = looks(graph, config(detector={"boxes": False}))("car", sample())
    assert (finding.confirmed, finding.boxes, graph.calls) == (True, None, 0)


@pytest.mark.parametrize(
    ("car", "message"),
    [
        ({"zones": "left"}, "expected a detector for zones or crop, found none"),
        ({"crop": True}, "expected a detector for zones or crop, found none"),
        ({"kind": "clip"}, "expected clip.bundle for kind: clip, found none"),
    ],
)
def test_what_there_is_nothing_for_is_refused_at_the_start(
    car: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        looks(None, config(car=car))


def test_a_camera_without_any_zone_of_its_rule_is_refused(graph: ScriptedRegions) -> None:
    cameras = {
        "yard": {"url": "file:x.mp4", "zones": {"left": LEFT}},
        "road": {"url": "file:y.mp4", "zones": {"gate": LEFT}},
    }
    with pytest.raises(ConfigError, match="one of its zones gate at camera 'yard', found left"):
        looks(graph, config(car={"zones": "gate"}, cameras=cameras))


def test_a_zone_that_no_camera_has_is_refused_beside_one_that_it_has(
    graph: ScriptedRegions,
) -> None:
    with pytest.raises(ConfigError, match=r"expected zones of a camera, found letf; .* have left"):
        looks(graph, config(car={"zones": ["left", "letf"]}))


@pytest.mark.parametrize(("car", "confirmed"), [({}, True), ({"zones": "left"}, False)])
def test_a_detector_that_fails_costs_the_boxes_and_not_the_alert(
    graph: ScriptedRegions, car: dict[str, str], confirmed: bool
) -> None:
    whole, graph.regions = graph.regions, np.full_like(graph.regions, np.nan)
    look = looks(graph, config(car=car))
    finding = look("car", sample(0, 0.0))
    assert (finding.confirmed, finding.boxes) == (confirmed, None)
    assert "the detector failed: expected finite regions" in present(finding.reason)
    graph.regions = whole
    assert look("car", sample(1, 1.0)).boxes is None
    assert graph.calls == 1  # a look that failed is one: the cooldown holds
    assert look("car", sample(2, 5.0)).boxes


def gone(_camera: str, _sequence: int, _spec: ImageSpec, _box: Edges | None) -> None:
    """No frame is held."""


def test_a_frame_that_is_gone_is_not_taken_for_an_empty_zone(
    tokenizer_json: bytes, spec: TextSpec
) -> None:
    never = EngineDouble()  # fails if it is asked without a picture
    detector = CaptionDetector(
        never, CaptionEncoder(lambda: nullcontext(never)), Tokenizer(tokenizer_json, spec),
        (SPEC, spec), 0.3, gone,
    )  # fmt: skip
    with pytest.raises(InferenceError, match="expected the frame of sample 7, found it gone"):
        detector.prepare(BANK, {})(sample(7))


class MeanColour(EngineDouble):
    """An image graph: red is a car, green a person, blue nothing."""

    def run(self, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        colours = tensors["pixels"].astype(np.float32).mean(axis=(2, 3)) + 128.001
        return {"embedding": colours / np.linalg.norm(colours, axis=1, keepdims=True)}


def frame(left: tuple[int, int, int], right: tuple[int, int, int]) -> av.VideoFrame:
    pixels = np.zeros((400, 800, 3), np.uint8)
    pixels[:, :400], pixels[:, 400:] = left, right
    return av.VideoFrame.from_ndarray(pixels, format="rgb24")


RED, BLUE = (255, 0, 0), (0, 0, 255)


def shows(picture: av.VideoFrame) -> PixelsOf:
    """Every camera shows this picture."""

    def pixels_of(
        _camera: str, _sequence: int, spec: ImageSpec, box: Edges | None
    ) -> NDArray[np.int8]:
        return Preprocessor(spec)(picture if box is None else cut_out(picture, box))

    return pixels_of


@pytest.mark.parametrize(("left", "confirmed"), [(RED, True), (BLUE, False)])
def test_a_crop_must_fit_by_itself(
    graph: ScriptedRegions, left: tuple[int, int, int], confirmed: bool
) -> None:
    crops = CropScorer(FrameScorer(MeanColour()), SPEC, shows(frame(left, RED)))
    settings = config(car={"crop": True})
    made = SecondLooks(settings, 0.1, detector=RegionsDetector(graph, SPEC, 0.3), crops=crops)
    look = made.prepare(settings.prompts, BANK, settings.cameras)
    assert look("car", sample()).confirmed is confirmed


def test_the_crop_of_everything_is_the_picture_itself() -> None:
    whole = frame(RED, BLUE)
    assert cut_out(whole, (0.0, 0.0, 1.0, 1.0)) is whole
    crops = CropScorer(FrameScorer(MeanColour()), SPEC, shows(whole))
    everything = Box("a car", 1.0, (0.0, 0.0, 1.0, 1.0))
    embedding = FrameScorer(MeanColour()).encode(Preprocessor(SPEC)(whole)[None])[0]
    expected = float(embedding[0] - embedding[2])
    assert crops.margin(BANK, "car", sample(), everything) == pytest.approx(expected)


@pytest.mark.parametrize("box", [(0.5, 0.5, 0.5, 0.5), (0.999, 0.999, 1.0, 1.0), (0, 0, 1e-9, 1)])
def test_a_box_of_nothing_is_still_a_picture(
    box: tuple[float, float, float, float],
) -> None:
    cut = cut_out(frame(RED, BLUE), box)
    assert cut.width >= 1
    assert cut.height >= 1


def test_a_crop_shows_what_is_in_the_box() -> None:
    cut = cut_out(frame(RED, BLUE), (0.6, 0.2, 0.9, 0.8), margin=0.0).to_ndarray(format="rgb24")
    assert cut.shape == (240, 240, 3)
    assert (cut == BLUE).all()


class ScriptedMargin(ClipMargin):
    """A clip model's margins: one answer for each question; an error is raised."""

    frames = 8
    threshold = 0.1

    def __init__(self, *margins: float | InferenceError | None) -> None:
        self.margins = list(margins)

    def __call__(self, _rule: str, _sample: Sample) -> float | None:
        margin = self.margins.pop(0)
        if isinstance(margin, InferenceError):
            raise margin
        return margin


class ScriptedClip(ClipLook):
    """A clip model that notes the rules and the samples that it is shown."""

    def __init__(self, *margins: float | InferenceError | None) -> None:
        self.margin = ScriptedMargin(*margins)
        self.seen: list[int] = []

    def prepare(self, prompts: Mapping[str, PromptConfig]) -> ClipMargin:
        self.prompts = prompts
        return self.margin

    def see(self, sample: Sample) -> None:
        self.seen.append(sample.sequence)


def test_a_clip_model_confirms_or_vetoes_what_the_frames_say(graph: ScriptedRegions) -> None:
    clip = ScriptedClip(None, 0.05, 0.3)
    look = looks(graph, config(car={"kind": "clip"}), clip=clip)
    assert list(clip.prompts) == ["car"]
    few, no, yes = (look("car", sample(n, 10.0 * n)) for n in range(3))
    assert (few.confirmed, few.reason) == (False, "fewer than 8 frames for the clip model so far")
    assert (no.confirmed, no.clip_margin) == (False, 0.05)
    assert (yes.confirmed, yes.clip_margin) == (True, 0.3)
    assert yes.boxes
    assert graph.calls == 1  # not for what the clip model denied
    assert look("person", sample(9, 90.0)).confirmed  # its rule has nothing to do with it


def test_a_clip_model_that_fails_confirms_nothing(graph: ScriptedRegions) -> None:
    broken = ScriptedClip(InferenceError("no memory"))
    look = looks(graph, config(car={"kind": "clip"}), clip=broken)
    finding = look("car", sample())
    assert (finding.confirmed, finding.reason) == (False, "the clip model failed: no memory")
    assert look("person", sample()).confirmed


def test_every_sample_is_shown_to_the_clip_model(graph: ScriptedRegions) -> None:
    clip = ScriptedClip()
    SecondLooks(config(), 0.1, clip=clip).see(sample(3))
    assert clip.seen == [3]


def test_by_regions_one_looks_again_after_a_second_and_by_a_detector_after_five(
    graph: ScriptedRegions,
) -> None:
    look = looks(graph, config(detector={}))
    look("car", sample(0, 0.0))
    assert look("car", sample(1, 0.9)).boxes is None
    assert look("car", sample(2, 1.0)).boxes
    settings = config(detector={"bundle": "another"})
    made = SecondLooks(settings, 0.1, detector=RegionsDetector(graph, SPEC, 0.3))
    detector = made.prepare(settings.prompts, BANK, settings.cameras)
    detector("car", sample(0, 0.0))
    assert detector("car", sample(1, 4.9)).boxes is None
    assert detector("car", sample(2, 5.0)).boxes
