"""Runs all second looks of the device: clip model, boxes, zones, crops, in this order.

The detector looks at most once per camera and cooldown. Alerts of one sample share the look. Later
ones within the cooldown go without boxes, but a rule with zones or crops is never confirmed unseen:
it starts after the cooldown, if it still would. A look that fails counts as one that saw nothing:
the event machines have moved on by then, so a failure must not cost the sample.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from edge.alerts.second_look.base import Box, Confirm, Finding
from edge.alerts.second_look.clip import ClipLook, ClipMargin
from edge.alerts.second_look.crops import CropScorer
from edge.alerts.second_look.detectors import (
    Boxes,
    Detector,
    Finder,
)
from edge.alerts.second_look.means import Means, check_means, needs_boxes
from edge.alerts.second_look.zones import Polygon, standing_in
from edge.config.models import CameraConfig, Config
from edge.config.prompt import PromptConfig
from edge.errors import InferenceError
from edge.rules.bank import PromptBank
from edge.video.sample import Sample

logger = logging.getLogger(__name__)

# Seconds between two looks at a camera. Regions cost a frame; a rule with a zone started in 3 of 15
# short events with 5 s, in 8 with 1 s, in 12 with none (car-detection, 2 fps). A detector costs
# seconds itself.
_REGIONS_S: Final = 1.0
_DETECTOR_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class _Looked:
    """The detector's last look at a camera.

    Attributes:
        sequence: Sequence number of the sample.
        at: Monotonic time of the sample.
        boxes: Boxes in the sample; None where the detector failed.
    """

    sequence: int
    at: float
    boxes: Boxes | None


class SecondLooks:
    """Makes second looks out of the models that the configuration names.

    Args:
        config: Cameras, zones and cooldown.
        base: Margin from which a crop fits: the main bundle's threshold.
        detector: Finds boxes; None where there is no detector.
        clip: Clip model; None where there is none.
        crops: Scores crops; None where the main model has no embedding of pictures.
    """

    def __init__(
        self,
        config: Config,
        base: float,
        *,
        detector: Detector | None = None,
        clip: ClipLook | None = None,
        crops: CropScorer | None = None,
    ) -> None:
        self.config = config
        self.base = base
        settings = config.detector
        usual_s = _REGIONS_S if settings.bundle is None else _DETECTOR_S
        self.cooldown_s = usual_s if settings.cooldown is None else settings.cooldown
        self.crops = crops
        self._detector = detector
        self._clip = clip

    def prepare(
        self,
        prompts: Mapping[str, PromptConfig],
        bank: PromptBank,
        cameras: Mapping[str, CameraConfig],
    ) -> Confirm:
        has = Means(
            detector=self._detector is not None,
            clip=self._clip is not None,
            crops=self.crops is not None,
        )
        for name, prompt in prompts.items():
            check_means(cameras, name, prompt, has, clauses=len(bank.prompts_of(name)))
        finder, margin = None, None
        if self._detector is not None:
            phrases = {
                name: [
                    sentence
                    for compiled in bank.prompts_of(name)
                    for sentence in bank.sentences[compiled.texts]
                ]
                for name, prompt in prompts.items()
                if self.wants_boxes(prompt)
            }
            finder = self._detector.prepare(bank, phrases)
        if self._clip is not None:
            margin = self._clip.prepare(
                {name: prompt for name, prompt in prompts.items() if prompt.kind == "clip"}
            )
        return _Confirmation(self, prompts, bank, cameras, finder, margin)

    def see(self, sample: Sample) -> None:
        if self._clip is not None:
            self._clip.see(sample)

    def wants_boxes(self, prompt: PromptConfig) -> bool:
        """Whether alerts of a rule get boxes."""
        return self.config.detector.boxes or needs_boxes(prompt)


class _Confirmation:
    """The ``Confirm`` of one set of rules, with the cooldown of each camera."""

    def __init__(
        self,
        looks: SecondLooks,
        prompts: Mapping[str, PromptConfig],
        bank: PromptBank,
        cameras: Mapping[str, CameraConfig],
        finder: Finder | None,
        clip_margin: ClipMargin | None,
    ) -> None:
        self._looks = looks
        self._prompts = prompts
        self._bank = bank
        self._cameras = cameras
        self._finder = finder
        self._clip_margin = clip_margin
        self._looked: dict[str, _Looked] = {}

    def __call__(self, rule: str, sample: Sample) -> Finding:
        try:
            by_clip = self._ask_clip(rule, sample)
        except InferenceError as exc:
            return _failed("clip model", sample, exc, confirmed=False)
        if not by_clip.confirmed:
            return by_clip
        try:
            by_boxes = self._ask_detector(rule, sample)
        except InferenceError as exc:
            unneeded = not needs_boxes(self._prompts[rule])
            by_boxes = _failed("detector", sample, exc, confirmed=unneeded)
        return replace(by_boxes, clip_margin=by_clip.clip_margin)

    def _ask_clip(self, rule: str, sample: Sample) -> Finding:
        if self._prompts[rule].kind != "clip" or self._clip_margin is None:
            return Finding(confirmed=True)
        clip = self._clip_margin
        margin = clip(rule, sample)
        if margin is None:
            reason = f"fewer than {clip.frames} frames for the clip model so far"
            return Finding(confirmed=False, reason=reason)
        if margin < clip.threshold:
            reason = f"the clip model says no ({margin:+.3f})"
            return Finding(confirmed=False, reason=reason, clip_margin=margin)
        return Finding(confirmed=True, clip_margin=margin)

    def _ask_detector(self, rule: str, sample: Sample) -> Finding:
        prompt = self._prompts[rule]
        if self._finder is None or not self._looks.wants_boxes(prompt):
            return Finding(confirmed=True)
        looked = self._look(self._finder, sample)
        if looked is None:
            unseen = "the detector has looked at this camera moments ago"
            return Finding(confirmed=not needs_boxes(prompt), reason=unseen)
        boxes = looked(rule)
        reason = None
        if polygons := self._polygons(prompt, sample.camera):
            boxes = standing_in(boxes, polygons)
            reason = None if boxes else "nothing of it stands in the zone"
        if boxes and prompt.crop and self._looks.crops is not None:
            boxes = self._fitting(self._looks.crops, rule, sample, boxes)
            reason = None if boxes else "no box fits the sentence by itself"
        return Finding(confirmed=bool(boxes) or not needs_boxes(prompt), reason=reason, boxes=boxes)

    def _polygons(self, prompt: PromptConfig, camera: str) -> list[Polygon]:
        zones = self._cameras[camera].zones
        return [zones[name] for name in prompt.zones if name in zones]

    def _look(self, finder: Finder, sample: Sample) -> Boxes | None:
        """Look at a sample; None within the cooldown."""
        last, now = self._looked.get(sample.camera), sample.arrival.monotonic
        if last is not None:
            if last.sequence == sample.sequence:
                return last.boxes
            if now - last.at < self._looks.cooldown_s:
                return None
        self._looked[sample.camera] = _Looked(sample.sequence, now, None)  # a failure counts too
        boxes = finder(sample)
        self._looked[sample.camera] = _Looked(sample.sequence, now, boxes)
        return boxes

    def _fitting(
        self, crops: CropScorer, rule: str, sample: Sample, boxes: tuple[Box, ...]
    ) -> tuple[Box, ...]:
        base = self._looks.base
        return tuple(box for box in boxes if crops.margin(self._bank, rule, sample, box) >= base)


def _failed(what: str, sample: Sample, error: InferenceError, *, confirmed: bool) -> Finding:
    logger.error(
        "%s: the %s failed at an alert: %s", sample.camera, what, error,
        extra={"camera": sample.camera},
    )  # fmt: skip
    return Finding(confirmed=confirmed, reason=f"the {what} failed: {error}")
