"""Parts of a daemon that do nothing, for tests of its loop."""

import numpy as np
from engine_double import EngineDouble

from edge.alerts.pipeline import Pipeline
from edge.alerts.rule_set import RuleSet
from edge.alerts.status import CameraStatus
from edge.control.rollout import Rollout
from edge.delivery.message import Message
from edge.delivery.payloads import AlertPayload, alert_message
from edge.delivery.topics import Topics
from edge.errors import InferenceError, ModelError
from edge.model.variants import Variant
from edge.rules.bank import PromptBank
from edge.scoring.open import Models, Running
from edge.system.pulse import Pulse
from edge.video.sample import Arrival, Sample

TOPICS = Topics("edge", "box")
ALERT = {
    "id": "01JX7ZK4Q8V5R2M9T6B3N0C1DE",
    "type": "start",
    "device": "box",
    "camera": "yard",
    "prompt": {"id": "cat", "text": "a cat"},
    "score": 0.5,
    "margin": 0.4,
    "threshold": 0.1,
    "started_at": "2025-06-14T09:31:07.250Z",
    "at": "2025-06-14T09:31:07.250Z",
    "model": {"id": "m", "hash": "h", "precision": "int8"},
}


def no_rules(**set_aside: str) -> RuleSet:
    """A rule set of nothing, and why rules are not in it."""
    bank = PromptBank((), (), np.zeros((0, 1), np.float32), (), "hash")
    return RuleSet({}, bank, set_aside=set_aside)


class Line(Pipeline):
    """A pipeline: one alert per sample; one of -1 fails, one of -2 meets a defect."""

    def __init__(self) -> None:
        self.rules = no_rules()
        self.camera_settings = {}

    def process(self, sample: Sample) -> list[Message]:
        if sample.pixels.min() == -2:
            raise ZeroDivisionError("a defect")
        if sample.pixels.min() < 0:
            raise InferenceError("told to fail")
        return [alert_message(TOPICS, AlertPayload.model_validate(ALERT))]

    def pass_on(self) -> None:
        pass

    def catch_up(self) -> None:
        pass

    def lost(self, now: Arrival) -> list[Message]:
        return []

    def finish(self, now: Arrival) -> list[Message]:
        return []

    def save(self) -> None:
        pass

    def alerting(self) -> dict[tuple[str, str], bool]:
        return {("yard", "cat"): False}

    def status(self, camera: str) -> CameraStatus:
        return CameraStatus(None, {}, {}, {}, None, None)


class Quiet(Rollout):
    """A rollout that nobody commands."""

    failed = False
    pulse = Pulse(60.0)

    def __init__(self) -> None:
        self.file_error = None

    def start(self) -> None:
        pass

    def stop(self, timeout_s: float) -> bool:
        return True


class Proof(Models):
    """Models whose self-test fails while ``failure`` is set."""

    def __init__(self) -> None:
        self.failed: str | None = None
        self.failure: str | None = None
        self.main = Running(EngineDouble(), Variant("null", "onnx", "int8"), None)

    @property
    def proven(self) -> bool:
        return True

    @property
    def used(self) -> str:
        return "int8 on a double"

    def prove_again(self) -> None:
        if self.failure:
            raise ModelError(self.failure)
