"""When a rule is on: the rule by itself, and through the pipeline with the time injected."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from numpy.typing import NDArray
from present import present
from prompts import prompt

from benchmarks.studies.altered import signed
from edge.alerts.calibration_file import CalibrationFile
from edge.alerts.conditions import Conditions, alike, conditions_of, is_on
from edge.alerts.learned import Calibrations
from edge.alerts.pipeline import Pipeline
from edge.alerts.rule_set import RuleSet
from edge.alerts.scene.light import Word
from edge.config.models import Config
from edge.config.prompt import PromptConfig
from edge.delivery.message import Message
from edge.delivery.payloads import ModelRef
from edge.model.bundle.manifest import Decision
from edge.rules.bank import CompiledPrompt, PromptBank
from edge.scoring.scorers.base import Scored
from edge.video.sample import Arrival, Sample

MODEL = ModelRef(id="m", hash="h", precision="int8")
BERLIN = ZoneInfo("Europe/Berlin")
MONDAY_NOON = datetime(2026, 11, 23, 12, 0, tzinfo=BERLIN)
MONDAY_NIGHT = datetime(2026, 11, 23, 23, 0, tzinfo=BERLIN)
NIGHT_SHIFT, WEEKEND = "22:00-06:00", "sat-sun"


@pytest.mark.parametrize(
    ("rule", "now", "on"),
    [
        ({}, (MONDAY_NOON, "day", None), True),
        ({"when": "night"}, (MONDAY_NOON, "day", None), False),
        ({"when": "night"}, (MONDAY_NOON, "night", None), True),
        ({"when": "day"}, (MONDAY_NOON, None, None), False),
        ({"profiles": ["away", "holiday"]}, (MONDAY_NOON, "day", "away"), True),
        ({"profiles": "away"}, (MONDAY_NOON, "day", "home"), False),
        ({"profiles": "away"}, (MONDAY_NOON, "day", None), False),
        ({"schedule": NIGHT_SHIFT}, (MONDAY_NOON, "day", None), False),
        ({"schedule": NIGHT_SHIFT}, (MONDAY_NIGHT, "day", None), True),
        ({"schedule": [NIGHT_SHIFT, WEEKEND]}, (MONDAY_NIGHT, "day", None), True),
        ({"schedule": [WEEKEND, NIGHT_SHIFT]}, (MONDAY_NOON, "day", None), False),
        ({"schedule": NIGHT_SHIFT, "when": "night"}, (MONDAY_NIGHT, "day", None), False),
    ],
)
def test_a_rule_is_on_where_all_that_it_names_is_so(
    rule: dict[str, Any], now: tuple[datetime, Word | None, str | None], on: bool
) -> None:
    assert is_on(prompt(text="a cat", **rule), Conditions(*now)) is on


def test_the_clock_of_the_box_counts_for_a_schedule_without_one() -> None:
    rule = prompt(text="a cat", schedule="08:00-09:00")
    there = {
        **rule.model_dump(by_alias=True),
        "schedule": [{"hours": "08:00-09:00", "timezone": "UTC"}],
    }
    at = datetime(2026, 7, 1, 8, 30, tzinfo=BERLIN)
    assert is_on(rule, Conditions(at, "day", None))
    assert not is_on(PromptConfig.model_validate(there), Conditions(at, "day", None))


def test_rules_differ_by_what_they_look_for_and_not_by_when() -> None:
    always = prompt(text="a cat")
    some = prompt(text="a cat", schedule=WEEKEND, when="day", profiles="away")
    assert alike(some, always)
    assert not alike(prompt(text="a dog", schedule=WEEKEND), some)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({}, ""),
        ({"enabled": False}, "not enabled"),
        (
            {"profiles": ["away", "holiday"], "when": "night"},
            "in the profile away or holiday, by night",
        ),
        ({"schedule": NIGHT_SHIFT}, "schedule: off until Mon 2026-11-23 22:00 CET"),
        (
            {"schedule": ["06:00-18:00", "18:00-20:00"]},
            "schedule: on until Mon 2026-11-23 20:00 CET",
        ),
        ({"schedule": ["06:00-18:00", "18:00-06:00"]}, "schedule: on"),
        ({"schedule": "00:00-24:00"}, "schedule: on"),
    ],
)
def test_what_a_rule_needs_is_said_in_words(rule: dict[str, Any], words: str) -> None:
    assert conditions_of(prompt(text="a cat", **rule), MONDAY_NOON) == words


# --- through the pipeline


def picture(red: int, green: int, blue: int) -> NDArray[np.int8]:
    u8 = np.full((3, 8, 16), 10, np.uint8)
    u8[:, :, 8:] = np.array([red, green, blue], np.uint8)[:, None, None]
    return signed(u8)


DAY, NIGHT = picture(250, 180, 120), picture(12, 12, 12)


class Sees:
    """A scorer that always sees the cat."""

    def score(self, samples: Sequence[Sample], bank: PromptBank) -> list[Scored | None]:
        return [Scored(np.array([1.0, 0.0], np.float32), None) for _ in samples]


def bank() -> PromptBank:
    prompt = CompiledPrompt("cat", "cat", slice(0, 1), slice(1, 1), np.array([1]), None)
    return PromptBank((prompt,), ("a cat", "nothing"), np.eye(2, dtype=np.float32), (), "hash")


class Feed(Protocol):
    """Gives the camera a picture at a time; (type, wall time) of the alerts that come of it."""

    def __call__(self, at: datetime, pixels: NDArray[np.int8] = DAY) -> list[tuple[str, str]]: ...


@dataclass
class Fed:
    """A pipeline, how to feed it, and its configuration."""

    pipeline: Pipeline
    feed: Feed
    config: Config


@pytest.fixture
def make() -> Callable[..., Fed]:
    """A pipeline over one slow camera; ``feed`` it and hear (type, wall time) of its alerts."""

    def make(
        rule: dict[str, Any] | None = None,
        calibrations: Calibrations | None = None,
        **settings: str,
    ) -> Fed:
        cat = {"text": "a cat", "on": {"for": 1, "of": 1}, "threshold": 0.1, "update_every": 0}
        config = Config.model_validate(
            {
                "device": {"id": "box"},
                "bundle": "unused",
                "mqtt": {"host": "localhost"},
                "prompts": {"cat": cat | (rule or {})},
                "cameras": {"yard": {"url": "file:x.mp4", "sample": {"fps": 0.001}}},
            }
            | settings
        )
        pipeline = Pipeline(
            config,
            MODEL,
            Decision(threshold=0.1, hysteresis=0.0),
            Sees(),
            RuleSet(config.prompts, bank(), config.profile),
            calibrations=calibrations,
        )

        def feed(at: datetime, pixels: NDArray[np.int8] = DAY) -> list[tuple[str, str]]:
            arrival = Arrival(wall=at.timestamp(), monotonic=at.timestamp() - 1e9, pts_s=None)
            return alerts(pipeline.process(Sample("yard", 0, arrival, pixels)))

        return Fed(pipeline, feed, config)

    return make


def alerts(messages: Iterable[Message]) -> list[tuple[str, str]]:
    return [
        (payload["type"], payload["at"])
        for message in messages
        if message.kind == "alert"
        for payload in [json.loads(message.payload)]
    ]


@pytest.mark.parametrize(
    ("evening", "start", "end"),
    [
        ("2026-03-28", "2026-03-28T21:00", "2026-03-29T04:00"),  # seven hours
        ("2026-10-24", "2026-10-24T20:00", "2026-10-25T05:00"),  # nine
        ("2026-11-24", "2026-11-24T21:00", "2026-11-25T05:00"),
    ],
)
def test_an_alert_lives_as_long_as_the_schedule_over_a_change_of_summer_time(
    make: Callable[..., Fed], evening: str, start: str, end: str
) -> None:
    run = make({"schedule": NIGHT_SHIFT}, timezone="Europe/Berlin")
    noon = datetime.fromisoformat(f"{evening}T12:00").replace(tzinfo=UTC)
    heard = []
    for step in range(24 * 6):
        heard += run.feed(noon + timedelta(minutes=10 * step))
    assert [(kind, at[:16]) for kind, at in heard] == [("start", start), ("end", end)]


def test_a_night_rule_follows_the_cameras_light(make: Callable[..., Fed]) -> None:
    run = make({"when": "night"})
    heard = []
    for minute in range(20):
        pixels = NIGHT if 5 <= minute < 15 else DAY
        heard += run.feed(MONDAY_NOON + timedelta(minutes=minute), pixels)
    # The light must have lasted for a minute.
    assert [(kind, at[14:16]) for kind, at in heard] == [("start", "06"), ("end", "16")]


def test_another_profile_switches_rules_between_two_samples(make: Callable[..., Fed]) -> None:
    run = make({"profiles": "away"}, profile="home")
    second = timedelta(seconds=1)
    assert run.feed(MONDAY_NOON) == []
    run.pipeline.rules = replace(run.pipeline.rules, profile="away")
    assert [kind for kind, _ in run.feed(MONDAY_NOON + second)] == ["start"]
    assert run.feed(MONDAY_NOON + 2 * second) == []
    run.pipeline.rules = replace(run.pipeline.rules, profile="home")
    assert [kind for kind, _ in run.feed(MONDAY_NOON + 3 * second)] == ["end"]
    assert run.feed(MONDAY_NOON + 4 * second) == []


def test_a_rule_that_is_off_says_no_margin_and_learns_nothing(make: Callable[..., Fed]) -> None:
    run = make({"profiles": "away", "threshold": None})
    for second in range(100):
        assert run.feed(MONDAY_NOON + timedelta(seconds=second)) == []
    assert run.pipeline.status("yard").margins == {}
    assert run.pipeline._cameras["yard"].watch.rules["cat"].calibration.tails == {}


def test_a_rule_adopted_with_another_schedule_keeps_its_alert_and_what_it_learned(
    make: Callable[..., Fed],
) -> None:
    run = make()
    run.feed(MONDAY_NOON)
    before = run.pipeline._cameras["yard"].watch.rules["cat"]
    later = run.config.prompts["cat"].model_copy(update={"profiles": ("away",)})
    assert run.pipeline.adopt(RuleSet({"cat": later}, bank())) == []
    assert run.pipeline._cameras["yard"].watch.rules["cat"] is before
    ended = run.feed(MONDAY_NOON + timedelta(seconds=1))
    assert [kind for kind, _ in ended] == ["end"]


def test_what_a_rule_of_two_clauses_saw_before_it_was_off_is_forgotten(
    make: Callable[..., Fed],
) -> None:
    run = make({"profiles": "away"}, profile="away")
    rule = run.pipeline._cameras["yard"].watch.rules["cat"]
    run.feed(MONDAY_NOON)
    tracker = rule._tracker
    run.pipeline.rules = replace(run.pipeline.rules, profile="home")
    run.feed(MONDAY_NOON + timedelta(seconds=1))
    assert rule._tracker is not tracker


def scene(seed: int) -> NDArray[np.int8]:
    """Rectangles anywhere."""
    rng = np.random.default_rng(seed)
    u8 = np.full((3, 144, 256), 128, np.uint8)
    for _ in range(60):
        top, left, height, width = rng.integers(0, (134, 236, 60, 90))
        u8[:, top : top + 8 + height, left : left + 8 + width] = rng.integers(30, 226, (3, 1, 1))
    return signed(u8)


def test_a_moved_camera_learns_its_thresholds_anew_and_says_when(
    make: Callable[..., Fed], monkeypatch: pytest.MonkeyPatch
) -> None:
    forgotten = []
    monkeypatch.setattr(Calibrations, "forget", lambda _, camera: forgotten.append(camera))
    run = make()
    here, there = scene(1), scene(2)
    for second in range(180):
        run.feed(MONDAY_NOON + timedelta(seconds=second), here if second < 60 else there)
    assert forgotten == ["yard"]
    kind, at = present(run.pipeline.status("yard").view_change)
    assert kind == "moved"
    assert 60 <= at - MONDAY_NOON.timestamp() <= 80


def test_a_covered_camera_forgets_nothing_and_says_so(
    make: Callable[..., Fed], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Calibrations, "forget", lambda *_: pytest.fail("forgot"))
    run = make()
    black = signed(np.zeros((3, 144, 256), np.uint8))
    for second in range(180):
        run.feed(MONDAY_NOON + timedelta(seconds=second), scene(1) if second < 60 else black)
    now = run.pipeline.status("yard")
    assert (present(now.view_change)[0], now.light) == ("covered", "night")
    for second in range(200, 230):
        run.feed(MONDAY_NOON + timedelta(seconds=second), scene(1))
    assert run.pipeline.status("yard").view_change is None


@pytest.mark.parametrize(("seed", "moved"), [(1, False), (2, True)], ids=["same", "moved"])
def test_a_camera_moved_while_the_box_was_off_is_noticed(
    make: Callable[..., Fed], tmp_path: Path, seed: int, moved: bool
) -> None:
    def kept() -> CalibrationFile:
        return CalibrationFile(tmp_path / "learned.db")

    file = kept()
    before = make(calibrations=Calibrations(file, MODEL, None))
    for second in range(60):
        before.feed(MONDAY_NOON + timedelta(seconds=second), scene(1))
    before.pipeline.save()
    file.flush()
    after = make(calibrations=Calibrations(kept(), MODEL, None))
    for second in range(90):
        after.feed(MONDAY_NIGHT + timedelta(seconds=second), scene(seed))
    assert (after.pipeline.status("yard").view_change is not None) == moved
