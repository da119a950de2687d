"""Days of recorded margins: the same by seed, smooth at their joins, and true to their labels."""

import hashlib
import json
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.studies.false_alarms import recording
from benchmarks.studies.false_alarms.recorded import RecordedDay, recorded_days, recorded_margins
from benchmarks.studies.false_alarms.recorded_file import (
    MANIFEST,
    RECORDED,
    SENTENCES,
    pieces_of,
)
from benchmarks.studies.false_alarms.streams import DAY, FPS
from calibration.cli.options import Look, open_setup
from calibration.rules import config_of

HAND = "a hand grabbing a bottle"
BUSY = "a person carrying a handbag"
CAR = "a car on the road"
PHONE = "a cell phone"
WEEK = 7


@pytest.fixture(scope="module")
def manifest() -> Any:
    return json.loads(MANIFEST.read_text())


@cache
def days(
    sentence: str, count: int, events_per_day: float = 0.0, seed: int = 1
) -> tuple[RecordedDay, ...]:
    return tuple(islice(recorded_days(sentence, seed, events_per_day), count))


def steps(values: Any) -> Any:
    return np.abs(np.diff(values))


def runs(mask: Any) -> list[int]:
    """Lengths of the stretches of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask, [0]]).astype(int)))
    return (edges[1::2] - edges[::2]).tolist()


def test_a_seed_gives_the_same_days_and_another_seed_others() -> None:
    first = days(PHONE, 2)
    for one, other in zip(first, recorded_days(PHONE, 1), strict=False):
        assert np.array_equal(one.margins, other.margins)
        assert one.pushes == other.pushes
        assert not one.events.any()
    assert np.array_equal(next(recorded_margins(PHONE, 1)), first[0].margins)
    assert not np.array_equal(next(recorded_margins(PHONE, 2)), first[0].margins)
    assert not np.array_equal(first[0].margins, first[1].margins)


@pytest.mark.parametrize("sentence", SENTENCES)
def test_margins_stay_where_the_model_can_give_them_and_never_repeat(sentence: str) -> None:
    (day,) = days(sentence, 1)
    bottom = pieces_of(sentence).bottom
    assert day.margins.shape == (DAY,)
    assert day.margins.min() >= bottom
    assert day.margins.max() < bottom + 1
    assert len(np.unique(day.margins)) > 0.999 * DAY


def test_planted_events_last_as_long_as_their_labels_and_change_nothing_else(
    manifest: Any,
) -> None:
    planted, without = days(CAR, 2, events_per_day=40), days(CAR, 2)
    labelled = [
        (label["end_s"] - label["start_s"]) * FPS
        for label in manifest["labels"]
        if label["prompt"] == CAR
    ]
    lengths = [length for day in planted for length in runs(day.events)]
    assert 50 < len(lengths) < 110
    assert all(min(abs(length - one) for one in labelled) <= 1 for length in lengths)
    assert {min(labelled, key=lambda one: abs(one - length)) for length in lengths} == {*labelled}
    for day, other in zip(planted, without, strict=True):
        assert np.array_equal(day.margins[~day.events], other.margins[~day.events])
        assert np.all(day.margins[day.events] >= other.margins[day.events])


def test_a_mask_lies_where_the_model_saw_the_event() -> None:
    planted = days(CAR, 2, events_per_day=40)
    seen = np.concatenate([day.margins[day.events] for day in planted])
    rest = np.concatenate([day.margins[~day.events] for day in planted])
    assert np.mean(seen > np.quantile(rest, 0.9999)) > 0.8
    # Negative control: a mask that is late by ten seconds lies beside them.
    late = np.concatenate([day.margins[np.roll(day.events, 20)] for day in planted])
    assert np.mean(late > np.quantile(rest, 0.9999)) < 0.1


def test_events_that_nobody_labelled_cannot_be_planted() -> None:
    with pytest.raises(ValueError, match="expected a sentence with labelled events, found 'a bus'"):
        recorded_days("a bus", 1, events_per_day=1)


def test_blocks_join_as_smoothly_as_the_recording_goes_on() -> None:
    pieces = pieces_of(HAND)
    pace, lamps = round(pieces.rate / FPS), pieces.lights.index("infrared")
    recorded = np.concatenate(
        [np.abs(piece[0, lamps, pace:] - piece[0, lamps, :-pace]) for piece in pieces.idle]
    )
    largest = 1.1 * np.quantile(recorded, 0.999)
    (day,) = days(HAND, 1)
    assert not day.pushes
    night = day.margins[day.night]
    assert np.quantile(steps(night), 0.999) < largest
    # Negative control: blocks of forty seconds that follow each other by chance do not.
    blocks = np.random.default_rng(1).permutation(night[: len(night) // 80 * 80].reshape(-1, 80))
    assert np.quantile(steps(blocks.ravel()), 0.999) > largest


def test_a_night_has_the_recorded_level_and_spread_and_not_those_of_the_day() -> None:
    pieces = pieces_of(HAND)
    (day,) = days(HAND, 1)
    assert not day.pushes
    night = day.margins[day.night]
    by_light = {
        name: np.concatenate([piece[0, index] for piece in pieces.idle])
        for index, name in enumerate(pieces.lights)
    }
    lamps, sun = by_light["infrared"], by_light["day"]
    assert night.mean() == pytest.approx(lamps.mean(), abs=0.3 * lamps.std())
    assert night.std() == pytest.approx(lamps.std(), rel=0.15)
    # Negative control: the day's level is another.
    assert night.mean() != pytest.approx(sun.mean(), abs=sun.std())


def test_noise_replaces_variance_and_adds_none() -> None:
    (day,) = days(BUSY, 1)
    pieces = pieces_of(BUSY)
    pushed = day.pushes[0] if day.pushes else DAY
    night = day.margins[:pushed][day.night[:pushed]]
    lamps = [piece[0, pieces.lights.index("infrared")] for piece in pieces.idle]
    assert len(night) > DAY / 10
    assert night.std() == pytest.approx(np.concatenate(lamps).std(), rel=0.12)


def test_things_pass_by_the_hour_and_half_as_often_on_a_weekend() -> None:
    week = days(PHONE, 2 * WEEK)
    seen = np.array([(day.margins > 0.1).reshape(24, -1).sum(axis=1) for day in week])
    assert seen[:, 7:19].sum() > 10 * seen[:, :5].sum() > 0
    weekend = np.arange(2 * WEEK) % WEEK >= 5
    assert 0.3 < seen[weekend].sum(axis=1).mean() / seen[~weekend].sum(axis=1).mean() < 0.75


def test_lamps_burn_by_night_and_a_camera_that_is_pushed_is_put_right() -> None:
    watched = days(PHONE, 2 * WEEK)
    assert all(
        day.night[: DAY // 6].all() and not day.night[DAY // 3 : DAY // 2].any() for day in watched
    )
    pushes = [len(day.pushes) for day in watched]
    assert 2 <= sum(pushes) <= 16
    assert not any(count % 2 for count in pushes)


def test_the_manifest_is_that_of_the_margins(manifest: Any) -> None:
    assert hashlib.sha256(RECORDED.read_bytes()).hexdigest() == manifest["recorded_sha256"]
    assert RECORDED.stat().st_size < 1_000_000
    assert manifest["sentences"] == list(recording.SENTENCES)
    assert sorted(SENTENCES) == sorted(recording.SENTENCES)
    assert manifest["lights"] == list(recording.LIGHTS)
    assert manifest["views"] == list(recording.VIEWS)
    with np.load(RECORDED, allow_pickle=False) as file:
        for clip in manifest["clips"]:
            assert file[f"{clip}/margins"].shape == (
                len(recording.VIEWS),
                len(recording.LIGHTS),
                len(file[f"{clip}/times"]),
                len(recording.SENTENCES),
            )


@pytest.mark.footage
@pytest.mark.bundle
def test_the_default_model_still_gives_the_recorded_margins(
    footage: Path, concepts_bundle: Path, manifest: Any
) -> None:
    found = {path.name: hashlib.sha256(path.read_bytes()) for path in footage.glob("*.mp4")}
    assert {name: digest.hexdigest() for name, digest in found.items()} == manifest["clips"]
    clip = "people-door.mp4"
    config = config_of(recording.SENTENCES, concepts_bundle)
    some = {name: recording.LIGHTS[name] for name in ("day", "poor")}
    with open_setup(config, Look(recording.RATE, precision="int8")) as setup:
        times, margins = recording.record(footage / clip, setup, some)
    with np.load(RECORDED, allow_pickle=False) as file:
        lights = [manifest["lights"].index(name) for name in some]
        before = file[f"{clip}/margins"][:, lights]
        assert times == pytest.approx(file[f"{clip}/times"], abs=1e-3)
    # Other processors round otherwise.
    assert np.abs(margins - before).max() < 0.02
    # Negative control: the lights and views differ by more.
    assert np.abs(margins - before[::-1]).max() > 0.02
    assert np.abs(margins - before[:, ::-1]).max() > 0.02
