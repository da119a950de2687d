"""Samples to messages, with a scorer that says what it is told."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pytest
from engine_double import EngineDouble
from numpy.typing import NDArray
from present import present

from edge.alerts.messages import StartedAlert
from edge.alerts.pipeline import Pipeline
from edge.alerts.rule_set import RuleSet
from edge.alerts.second_look import Box, Confirm, Finding, confirm_all
from edge.alerts.second_look.detectors import RegionsDetector
from edge.alerts.second_look.second import SecondLooks
from edge.config.models import Config
from edge.config.prompt import OnConfig, PromptConfig
from edge.delivery.embedding import decode_embedding
from edge.delivery.message import Message
from edge.delivery.payloads import AlertPayload, ModelRef
from edge.errors import InferenceError
from edge.model.bundle.manifest import Decision, ImageSpec
from edge.rules.bank import CompiledPrompt, PromptBank
from edge.scoring.scorers.base import Scored
from edge.video.sample import Arrival, Sample

JPEG = b"\xff\xd8 a picture"
MODEL = ModelRef(id="m", hash="h", precision="int8")
# Axis 0 is the prompt, axis 1 the background.
HIT, MISS = (1.0, 0.0), (0.0, 1.0)


def bank(sentence: str = "a cat") -> PromptBank:
    prompt = CompiledPrompt("cat", "cat", slice(0, 1), slice(1, 1), np.array([1]), None)
    return PromptBank((prompt,), (sentence, "nothing"), np.eye(2, dtype=np.float32), (), sentence)


def config(**sections: dict[str, Any]) -> Config:
    settings = {
        "device": {"id": "box"},
        "bundle": "unused",
        "mqtt": {"host": "localhost"},
        "prompts": {"cat": {"text": "a cat", "on": {"for": 1, "of": 1}, "off_after": "1s"}},
        "cameras": {name: {"url": "file:x.mp4"} for name in ("yard", "door")},
    }
    return Config.model_validate(settings | sections)


class MarkScorer:
    """Each picture's first pixel chooses its embedding; -1 fails, 9 needs more frames."""

    def score(self, samples: Sequence[Sample], bank: PromptBank) -> list[Scored | None]:
        marks = [int(sample.pixels[0, 0, 0]) for sample in samples]
        if min(marks) < 0:
            raise InferenceError("told to fail")
        vectors = [np.array(HIT if mark else MISS, np.float32) for mark in marks]
        return [
            None if mark == 9 else Scored(bank.rows @ vector, vector)
            for mark, vector in zip(marks, vectors, strict=True)
        ]


class Feed(Protocol):
    """Gives each camera a sample of one mark, at a time in seconds."""

    def __call__(self, seconds: float, **cameras: int) -> list[Message]: ...


@dataclass
class Fed:
    """A pipeline, and how to feed it."""

    pipeline: Pipeline
    feed: Feed


@pytest.fixture
def make() -> Callable[..., Fed]:
    def make(
        settings: Config | None = None,
        snapshot: bytes | None = JPEG,
        confirm: Confirm = confirm_all,
        **others: Any,
    ) -> Fed:
        settings = settings or config()
        pipeline = Pipeline(
            settings,
            MODEL,
            Decision(threshold=0.1, hysteresis=0.0),
            MarkScorer(),
            RuleSet(settings.prompts, bank(), settings.profile, confirm),
            snapshot_of=lambda _camera, _sequence: snapshot,
            **others,
        )
        sequence = iter(range(1000))

        def feed(seconds: float, **cameras: int) -> list[Message]:
            samples = [
                Sample(name, next(sequence), arrival(seconds), np.full((3, 2, 2), mark, np.int8))
                for name, mark in cameras.items()
            ]
            return [message for sample in samples for message in pipeline.process(sample)]

        return Fed(pipeline, feed)

    return make


def arrival(seconds: float) -> Arrival:
    return Arrival(wall=1_750_000_000.0 + seconds, monotonic=seconds, pts_s=seconds)


def kinds(messages: Sequence[Message]) -> list[tuple[str | None, str]]:
    return [(message.camera, message.kind) for message in messages]


def test_an_alert_comes_with_its_picture_and_names_its_topic(make: Callable[..., Fed]) -> None:
    alert, snapshot, _embedding = make().feed(0, yard=1)
    payload = json.loads(alert.payload)
    assert payload["snapshot"] == snapshot.topic
    assert snapshot.payload == JPEG
    assert payload["prompt"] == {"id": "cat", "text": "a cat"}
    assert payload["type"] == "start"
    assert payload["model"] == {"id": "m", "hash": "h", "precision": "int8"}


def test_without_a_frame_the_alert_goes_out_without_a_picture(make: Callable[..., Fed]) -> None:
    messages = make(snapshot=None).feed(0, yard=1)
    assert kinds(messages) == [("yard", "alert"), ("yard", "embedding")]
    assert json.loads(messages[0].payload)["snapshot"] is None


def test_a_model_that_needs_more_frames_says_nothing_yet_and_holds_nobody_up(
    make: Callable[..., Fed],
) -> None:
    run = make()
    assert run.feed(0, yard=9) == []
    assert kinds(run.feed(0, yard=9, door=1)) == [
        ("door", "alert"),
        ("door", "snapshot"),
        ("door", "embedding"),
    ]
    assert run.pipeline.status("yard").lag_s is None


def test_pictures_can_be_switched_off(make: Callable[..., Fed]) -> None:
    messages = make(config(snapshots={"publish": False})).feed(0, yard=1)
    assert ("yard", "snapshot") not in kinds(messages)


def test_cameras_in_one_batch_keep_their_own_results(make: Callable[..., Fed]) -> None:
    messages = make().feed(0, yard=0, door=1)
    assert [camera for camera, kind in kinds(messages) if kind == "alert"] == ["door"]
    vectors = {
        message.camera: decode_embedding(message.payload).vector.tolist()
        for message in messages
        if message.kind == "embedding"
    }
    assert vectors == {"yard": [0, 1], "door": [1, 0]}


@pytest.mark.parametrize(
    ("publish", "every", "expected"),
    [
        ("all", "0s", [0, 1, 2, 3, 4]),
        ("all", "2s", [0, 2, 4]),
        ("alerts", "0s", [2, 3]),
        ("off", "0s", []),
    ],
)
def test_embeddings_go_out_as_often_as_wanted(
    make: Callable[..., Fed], publish: str, every: str, expected: list[int]
) -> None:
    settings = config(
        embeddings={"publish": publish, "every": every},
        prompts={"cat": {"text": "a cat", "on": {"for": 1, "of": 1}, "off_after": "0s"}},
    )
    run = make(settings)
    published = [
        second
        for second, mark in enumerate([0, 0, 1, 1, 0])
        if ("yard", "embedding") in kinds(run.feed(second, yard=mark))
    ]
    assert published == expected


def test_other_rules_are_adopted_between_two_samples(make: Callable[..., Fed]) -> None:
    run = make()
    run.feed(0, yard=1)
    changed = {"cat": PromptConfig(text=("a lynx",), on=OnConfig(**{"for": 1, "of": 1}))}
    (end,) = run.pipeline.adopt(RuleSet(changed, bank("a lynx")))
    assert json.loads(end.payload)["type"] == "end"
    start = run.feed(1, yard=1)[0]
    assert json.loads(start.payload)["prompt"]["text"] == "a lynx"


def test_a_rule_that_stays_as_it_was_keeps_its_alert(make: Callable[..., Fed]) -> None:
    run = make()
    start = run.feed(0, yard=1)[0]
    assert run.pipeline.adopt(RuleSet(dict(config().prompts), bank())) == []
    assert ("yard", "alert") not in kinds(run.feed(0.5, yard=1))
    (end,) = run.pipeline.finish(arrival(1))
    assert json.loads(end.payload)["id"] == json.loads(start.payload)["id"]


def test_without_a_rule_that_went_nothing_alerts(make: Callable[..., Fed]) -> None:
    run = make()
    (end,) = (run.feed(0, yard=1), run.pipeline.adopt(RuleSet({}, bank())))[1]
    assert json.loads(end.payload)["type"] == "end"
    assert ("yard", "alert") not in kinds(run.feed(1, yard=1))


def test_a_rule_that_is_not_enabled_alerts_nowhere_and_is_still_told(
    make: Callable[..., Fed],
) -> None:
    run = make()
    run.feed(0, yard=1)
    assert run.pipeline.alerting()["yard", "cat"]
    off = {
        name: rule.model_copy(update={"enabled": False}) for name, rule in config().prompts.items()
    }
    (end,) = run.pipeline.adopt(RuleSet(off, bank()))
    assert json.loads(end.payload)["type"] == "end"
    assert ("yard", "alert") not in kinds(run.feed(1, yard=1))
    assert run.pipeline.alerting()["yard", "cat"] is False


def test_a_test_alert_says_that_it_is_one_and_leaves_the_rule_alone(
    make: Callable[..., Fed],
) -> None:
    run = make()
    start, end = (AlertPayload.model_validate_json(m.payload)
                  for m in run.pipeline.try_alert("cat", arrival(0)) if m.camera == "yard")  # fmt: skip
    assert (start.type, end.type, start.test, end.test) == ("start", "end", True, True)
    assert start.id == end.id
    assert not run.pipeline.alerting()["yard", "cat"]


class Doubting:
    """A second look that says what it is told, and remembers what it was asked."""

    def __init__(self, *findings: Finding) -> None:
        self.findings = list(findings)
        self.asked: list[tuple[str, str, int]] = []

    def __call__(self, rule: str, sample: Sample) -> Finding:
        self.asked.append((sample.camera, rule, sample.sequence))
        return self.findings.pop(0)


def test_an_alert_that_the_second_look_denies_is_not_told(make: Callable[..., Fed]) -> None:
    box = Box("a cat", 0.75, (0.1, 0.2, 0.5, 1.0))
    look = Doubting(Finding(confirmed=False), Finding(confirmed=True, boxes=(box,)))
    run = make(confirm=look)
    assert kinds(run.feed(0, yard=1)) == [("yard", "embedding")]
    start = run.feed(1, yard=1)[0]
    assert json.loads(start.payload)["boxes"] == [
        {"phrase": "a cat", "score": 0.75, "box": [0.1, 0.2, 0.5, 1.0]}
    ]
    run.feed(2, yard=1)
    assert look.asked == [("yard", "cat", 0), ("yard", "cat", 1)]


class NoNumbers(EngineDouble):
    """A regions graph that answers NaN."""

    def run(self, _tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return {"regions": np.full((1, 1, 2), np.nan, np.float32), "boxes": np.zeros((1, 1, 4))}


def test_an_alert_is_told_from_start_to_end_though_the_detector_fails(
    make: Callable[..., Fed],
) -> None:
    pixels = ImageSpec(
        height=2, width=2, resize="stretch", interpolation="bilinear", mean=(0,) * 3, std=(1,) * 3
    )
    looks = SecondLooks(config(), 0.1, detector=RegionsDetector(NoNumbers(), pixels, 0.3))
    run = make(confirm=looks.prepare(config().prompts, bank(), config().cameras))
    told = [*run.feed(0, yard=1), *run.pipeline.finish(arrival(1))]
    alerts = [json.loads(message.payload) for message in told if message.kind == "alert"]
    assert [(alert["type"], alert["boxes"]) for alert in alerts] == [("start", None), ("end", None)]


def test_an_alert_says_where_its_threshold_comes_from(make: Callable[..., Fed]) -> None:
    prior = json.loads(make().feed(0, yard=1)[0].payload)
    assert (prior["calibration"], prior["threshold"]) == ("prior", 0.1)
    assert (prior["false_alarms_per_day"], prior["probability"]) == (1.0, None)
    prompt = {"text": "a cat", "on": {"for": 1, "of": 1}, "threshold": 0.3}
    fixed = json.loads(make(config(prompts={"cat": prompt})).feed(0, yard=1)[0].payload)
    assert (fixed["calibration"], fixed["threshold"]) == ("fixed", 0.3)
    assert fixed["false_alarms_per_day"] is None


def test_a_failed_batch_changes_no_state(make: Callable[..., Fed]) -> None:
    run = make()
    run.feed(0, yard=1)
    with pytest.raises(InferenceError):
        run.feed(0.5, yard=-1)
    assert ("yard", "alert") not in kinds(run.feed(0.6, yard=1))


def test_finish_and_lost_end_what_runs(make: Callable[..., Fed]) -> None:
    run = make()
    run.feed(0, yard=1, door=1)
    run.feed(9, door=1)
    ended = run.pipeline.lost(arrival(11))
    assert [(m.camera, json.loads(m.payload)["type"]) for m in ended] == [("yard", "end")]
    ended = run.pipeline.finish(arrival(12))
    assert [(m.camera, json.loads(m.payload)["type"]) for m in ended] == [("door", "end")]


def test_a_camera_with_a_gate_may_be_still_for_longer_than_others_may_be_silent(
    make: Callable[..., Fed],
) -> None:
    gated = {"yard": {"url": "file:x.mp4", "gate": True}, "door": {"url": "file:x.mp4"}}
    run = make(config(cameras=gated))
    run.feed(0, yard=1, door=1)
    ended = run.pipeline.lost(arrival(11))
    assert [(m.camera, json.loads(m.payload)["type"]) for m in ended] == [("door", "end")]
    for number in (1, 2, 3):
        pixels = np.ones((3, 2, 2), np.int8)
        at = arrival(10.02 * number)
        told = run.pipeline.process(Sample("yard", number, at, pixels, heartbeat=True))
        types = [json.loads(m.payload)["type"] for m in told if m.kind == "alert"]
        assert types == ["update"]
    (end,) = run.pipeline.lost(arrival(30.06 + 31))
    assert json.loads(end.payload)["type"] == "end"
    # Of a sample that was lost nobody knows what it would have shown.
    run.pipeline.process(Sample("yard", 4, arrival(70), pixels))
    told = run.pipeline.process(Sample("yard", 6, arrival(80.02), pixels, heartbeat=True))
    types = [json.loads(m.payload)["type"] for m in told if m.kind == "alert"]
    assert types == ["end", "start"]


@pytest.mark.parametrize(("lost", "interrupted"), [(True, False), (False, True), (False, False)])
def test_nobody_knows_what_a_lost_sample_or_an_interruption_hides(
    make: Callable[..., Fed], *, lost: bool, interrupted: bool
) -> None:
    run = make(config(cameras={"yard": {"url": "file:x.mp4", "gate": True}}))

    def heartbeat(number: int, mark: int = 1, *, after_break: bool = False) -> list[str]:
        pixels = np.full((3, 2, 2), mark, np.int8)
        at = arrival(10.02 * number)
        sample = Sample("yard", number, at, pixels, heartbeat=True, after_break=after_break)
        told = run.pipeline.process(sample)
        return [json.loads(m.payload)["type"] for m in told if m.kind == "alert"]

    assert heartbeat(0) == ["start"]
    if lost:
        with pytest.raises(InferenceError):
            heartbeat(1, mark=-1)
    else:
        assert heartbeat(1) == ["update"]
    goes_on = not (lost or interrupted)
    assert heartbeat(2, after_break=interrupted) == (["update"] if goes_on else ["end", "start"])


def test_who_wants_to_know_is_told_of_each_start_what_can_be_learned_from(
    make: Callable[..., Fed],
) -> None:
    told: list[StartedAlert] = []
    box = make(on_start=told.append)
    box.feed(0, yard=0)
    starts = [json.loads(m.payload)["id"] for m in box.feed(1, yard=1) if m.kind == "alert"]
    box.feed(2, yard=1)
    box.pipeline.finish(arrival(3))
    assert told == []  # the caller commits the alert first
    box.pipeline.pass_on()
    box.pipeline.pass_on()
    (start,) = told
    assert [start.alert] == starts
    assert (start.camera, start.rule, start.sentences) == ("yard", "cat", ("a cat",))
    assert present(start.embedding).tolist() == list(HIT)
    assert start.levels[""] == pytest.approx(1 - -1)  # the margin, above the first sample's
