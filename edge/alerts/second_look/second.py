"""All second looks of the device: clip model, boxes, zones, crops, in the order of their answers.

The detector looks at most once per camera and cooldown. Alerts of one sample share the look; later
ones within the cooldown go without boxes, but a rule with zones or crops is never confirmed unseen:
it starts after the cooldown, if it still would. A look that fails is one that saw nothing: the
event machines have moved on by then, so it must not cost the sample.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from edge.alerts.second_look.base import Box, Finding
from edge.alerts.second_look.clip import ClipLook
from edge.alerts.second_look.crops import CropScorer
from edge.alerts.second_look.detectors import Boxes, Detector, FrameOf, held_frame
from edge.alerts.second_look.zones import Polygon, standing_in
from edge.config.models import Config, PromptConfig
from edge.errors import ConfigError, InferenceError
from edge.rules.bank import PromptBank
from edge.video.sample import Sample

logger = logging.getLogger(__name__)


# Seconds between two looks at a camera. Regions cost a frame; a rule with a zone started in 3 of 15
# short events with 5 s, in 8 with 1 s, in 12 with none (car-detection, 2 fps). A detector costs
# seconds itself.
_REGIONS_S: Final = 1.0
_DETECTOR_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Means:
    """What there is to look with."""

    detector: bool
    clip: bool
    crops: bool


def needs_boxes(prompt: PromptConfig) -> bool:
    """Whether a rule cannot be confirmed without boxes."""
    return bool(prompt.zones) or prompt.crop


def check_means(
    config: Config, name: str, prompt: PromptConfig, has: Means, *, clauses: int
) -> None:
    """Refuse a rule that asks for what there is not.

    Args:
        config: Cameras and their zones.
        name: Of the rule.
        prompt: The rule.
        has: What there is.
        clauses: That its sentence has.

    Raises:
        ConfigError: Likewise.
    """
    if prompt.kind == "clip" and not has.clip:
        raise ConfigError(
            f"prompt {name!r}: expected clip.bundle for kind: clip, found none; set clip.bundle"
        )
    if needs_boxes(prompt) and not has.detector:
        raise ConfigError(
            f"prompt {name!r}: expected a detector for zones or crop, found none: this model has "
            "no regions; set detector.bundle"
        )
    if prompt.crop and not has.crops:
        raise ConfigError(
            f"prompt {name!r}: expected a model of single frames (class F) for crop, found "
            "another; leave crop out"
        )
    if (prompt.crop or prompt.kind == "clip") and clauses != 1:
        raise ConfigError(
            f"prompt {name!r}: expected one clause with crop or kind: clip, found {clauses}; make "
            "a prompt of each"
        )
    drawn = {zone for camera in config.cameras.values() for zone in camera.zones}
    if unknown := set(prompt.zones) - drawn:
        raise ConfigError(
            f"prompt {name!r}: expected zones of a camera, found {', '.join(sorted(unknown))}; the "
            f"cameras have {', '.join(sorted(drawn)) or 'none'}"
        )
    for camera, settings in config.cameras.items():
        watched = settings.prompts is None or name in settings.prompts
        if watched and prompt.zones and not set(prompt.zones) & settings.zones.keys():
            raise ConfigError(
                f"prompt {name!r}: expected one of its zones {', '.join(prompt.zones)} at camera "
                f"{camera!r}, found {', '.join(settings.zones) or 'none'}"
            )


@dataclass(frozen=True, slots=True)
class _Looked:
    """What the detector saw last on a camera; None where it failed."""

    sequence: int
    at: float
    boxes: Boxes | None


class SecondLooks:
    """Confirms alerts, and puts boxes on them.

    Args:
        config: Rules, zones, cooldown.
        base: Margin from which a crop fits: the main bundle's threshold.
        detector: Finds boxes; None where there is none.
        clip: The clip model; None likewise.
        crops: Scores crops; None where the main model cannot (it has no embedding of pictures).
        frame_of: Where frames are, for crops.
    """

    def __init__(
        self,
        config: Config,
        base: float,
        *,
        detector: Detector | None = None,
        clip: ClipLook | None = None,
        crops: CropScorer | None = None,
        frame_of: FrameOf,
    ) -> None:
        self._config = config
        self._base = base
        settings = config.detector
        usual_s = _REGIONS_S if settings.bundle is None else _DETECTOR_S
        self._cooldown_s = usual_s if settings.cooldown is None else settings.cooldown
        self._detector = detector
        self._clip = clip
        self._crops = crops
        self._frame_of = frame_of
        self._prompts: Mapping[str, PromptConfig] = {}
        self._looked: dict[str, _Looked] = {}

    def prepare(self, prompts: Mapping[str, PromptConfig], bank: PromptBank) -> None:
        has = Means(
            detector=self._detector is not None,
            clip=self._clip is not None,
            crops=self._crops is not None,
        )
        for name, prompt in prompts.items():
            check_means(self._config, name, prompt, has, clauses=len(bank.prompts_of(name)))
        if self._detector is not None:
            self._detector.prepare(
                {
                    name: [
                        sentence
                        for compiled in bank.prompts_of(name)
                        for sentence in bank.sentences[compiled.texts]
                    ]
                    for name, prompt in prompts.items()
                    if self._wants_boxes(prompt)
                }
            )
        if self._clip is not None:
            self._clip.prepare(
                {n: prompt for n, prompt in prompts.items() if prompt.kind == "clip"}
            )
        self._prompts = prompts

    def see(self, sample: Sample) -> None:
        if self._clip is not None:
            self._clip.see(sample)

    def look(self, bank: PromptBank, rule: str, sample: Sample) -> Finding:
        try:
            by_clip = self._ask_clip(rule, sample)
        except InferenceError as exc:
            return _failed("clip model", sample, exc, confirmed=False)
        if not by_clip.confirmed:
            return by_clip
        try:
            by_boxes = self._ask_detector(bank, rule, sample)
        except InferenceError as exc:
            unneeded = not needs_boxes(self._prompts[rule])
            by_boxes = _failed("detector", sample, exc, confirmed=unneeded)
        return replace(by_boxes, clip_margin=by_clip.clip_margin)

    def _ask_clip(self, rule: str, sample: Sample) -> Finding:
        if self._prompts[rule].kind != "clip" or self._clip is None:
            return Finding(confirmed=True)
        margin = self._clip.margin(rule, sample)
        if margin is None:
            reason = f"fewer than {self._clip.frames} frames for the clip model so far"
            return Finding(confirmed=False, reason=reason)
        if not self._clip.confirms(margin):
            reason = f"the clip model says no ({margin:+.3f})"
            return Finding(confirmed=False, reason=reason, clip_margin=margin)
        return Finding(confirmed=True, clip_margin=margin)

    def _ask_detector(self, bank: PromptBank, rule: str, sample: Sample) -> Finding:
        prompt = self._prompts[rule]
        if self._detector is None or not self._wants_boxes(prompt):
            return Finding(confirmed=True)
        looked = self._look(self._detector, bank, sample)
        if looked is None:
            unseen = "the detector has looked at this camera moments ago"
            return Finding(confirmed=not needs_boxes(prompt), reason=unseen)
        boxes = looked(rule)
        reason = None
        if polygons := self._polygons(prompt, sample.camera):
            boxes = standing_in(boxes, polygons)
            reason = None if boxes else "nothing of it stands in the zone"
        if boxes and prompt.crop and self._crops is not None:
            boxes = self._fitting(self._crops, bank, rule, sample, boxes)
            reason = None if boxes else "no box fits the sentence by itself"
        return Finding(confirmed=bool(boxes) or not needs_boxes(prompt), reason=reason, boxes=boxes)

    def _wants_boxes(self, prompt: PromptConfig) -> bool:
        return self._config.detector.boxes or needs_boxes(prompt)

    def _polygons(self, prompt: PromptConfig, camera: str) -> list[Polygon]:
        zones = self._config.cameras[camera].zones
        return [zones[name] for name in prompt.zones if name in zones]

    def _look(self, detector: Detector, bank: PromptBank, sample: Sample) -> Boxes | None:
        last, now = self._looked.get(sample.camera), sample.arrival.monotonic
        if last is not None:
            if last.sequence == sample.sequence:
                return last.boxes
            if now - last.at < self._cooldown_s:
                return None
        self._looked[sample.camera] = _Looked(sample.sequence, now, None)  # a failure counts too
        boxes = detector.boxes(bank, sample)
        self._looked[sample.camera] = _Looked(sample.sequence, now, boxes)
        return boxes

    def _fitting(
        self, crops: CropScorer, bank: PromptBank, rule: str, sample: Sample, boxes: tuple[Box, ...]
    ) -> tuple[Box, ...]:
        frame = held_frame(self._frame_of, sample)
        return tuple(box for box in boxes if crops.margin(bank, rule, frame, box) >= self._base)


def _failed(what: str, sample: Sample, error: InferenceError, *, confirmed: bool) -> Finding:
    logger.error("%s: the %s failed at an alert: %s", sample.camera, what, error)
    return Finding(confirmed=confirmed, reason=f"the {what} failed: {error}")
