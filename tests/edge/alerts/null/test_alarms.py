"""Asked for so many false alarms a day: how many come, and what may happen on the way."""

import contextlib
import io
import zipfile
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from present import present

from edge.alerts.events import EventMachine, Rule
from edge.alerts.null import AlarmTail, Estimate
from edge.alerts.null.peaks import DAY_S
from edge.video.sample import Arrival

RULE = Rule(threshold=0.0, hysteresis=0.05, on_for=2, on_of=3, off_after_s=2.0)
FPS = 2.0


def learned(margins: Any, rule: Rule = RULE, **always: Any) -> AlarmTail:
    tail = AlarmTail(rule)
    for position, margin in enumerate(margins):
        tail.observe(float(margin), position / FPS, **({"alerting": False} | always))
    return tail


def known(tail: AlarmTail, asked: float) -> Estimate:
    return present(tail.estimate(asked))


def starts(
    margins: NDArray[np.float64], threshold: float, hysteresis: float, rule: Rule = RULE
) -> int:
    """How often the event machine starts at that threshold."""
    changed = Rule(
        threshold=threshold, hysteresis=hysteresis, on_for=rule.on_for, on_of=rule.on_of,
        off_after_s=rule.off_after_s, cooldown_s=rule.cooldown_s,
    )  # fmt: skip
    machine = EventMachine(changed, lambda _at: "")
    told = [
        transition.type
        for position, margin in enumerate(margins)
        for transition in machine.step(
            float(margin), 0.0, Arrival(position / FPS, position / FPS, None)
        )
    ]
    return told.count("start")


@pytest.fixture(scope="module")
def day() -> NDArray[np.float64]:
    return np.random.default_rng(5).normal(-0.1, 0.02, 172_800)


@pytest.fixture(scope="module")
def tail(day: NDArray[np.float64]) -> AlarmTail:
    return learned(day)


def test_as_many_alarms_come_as_were_asked_for(tail: AlarmTail) -> None:
    estimate = known(tail, 20.0)
    assert estimate.low < 20 < estimate.high < 20 * 3  # a single day may be unlike others
    assert estimate.watched_days == pytest.approx(1, abs=0.01)
    fresh = np.random.default_rng(6).normal(-0.1, 0.02, 2 * 172_800)
    count = starts(fresh, tail.baseline + estimate.level, estimate.hysteresis)
    assert 20 <= count <= 80  # 40 were asked for


@pytest.mark.parametrize(
    "changes",
    [
        {"cooldown_s": 600.0},
        {"off_after_s": 10.0},
        {"off_after_s": 60.0},
        {"off_after_s": 10.0, "cooldown_s": 60.0},
    ],
)
def test_slow_alerts_are_learned_as_quick_ones(
    tail: AlarmTail, day: NDArray[np.float64], changes: dict[str, Any]
) -> None:
    """Clusters at the base level come every minute: slow ones would hide or swallow each other."""
    quick, slow = known(tail, 5.0), known(learned(day, replace(RULE, **changes)), 5.0)
    assert quick.low < present(tail.rate(tail.baseline + slow.level)) < quick.high


def test_the_quantile_of_single_samples_gives_another_number(
    tail: AlarmTail, day: NDArray[np.float64]
) -> None:
    """The negative control: 20 of a day's samples above a threshold are not 20 alarms."""
    naive = float(np.sort(day)[-20])
    fresh = np.random.default_rng(6).normal(-0.1, 0.02, 2 * 172_800)
    assert starts(fresh, naive, 0.01) < 10


def test_rarer_alarms_need_a_higher_threshold_and_are_less_certain(tail: AlarmTail) -> None:
    often, seldom = known(tail, 10.0), known(tail, 0.5)
    assert often.level < seldom.level
    assert often.high / often.low < seldom.high / seldom.low


def test_the_rate_of_the_threshold_is_what_was_asked_for(tail: AlarmTail) -> None:
    estimate = known(tail, 3.0)
    assert tail.rate(tail.baseline + estimate.level) == pytest.approx(3.0)
    assert present(tail.rate(tail.baseline + estimate.level + 0.01)) < 3.0


def test_after_a_few_minutes_nothing_is_claimed() -> None:
    assert learned(np.random.default_rng(0).normal(size=1500)).estimate(1.0) is None


def test_what_it_learned_survives_a_restart(tail: AlarmTail, day: NDArray[np.float64]) -> None:
    again = AlarmTail.from_bytes(RULE, tail.to_bytes())
    assert again.estimate(1.0) == tail.estimate(1.0)
    assert len(tail.to_bytes()) < 50_000
    # The clock begins anew, and the night was not watched.
    for position, margin in enumerate(day[:100]):
        again.observe(float(margin), 5.0 + position / FPS, alerting=False)
    assert known(again, 1.0).watched_days == pytest.approx(
        known(tail, 1.0).watched_days + 99 / FPS / DAY_S
    )


@given(st.data())
@settings(max_examples=60)
def test_damaged_bytes_are_refused_in_words(tail: AlarmTail, data: st.DataObject) -> None:
    good = tail.to_bytes()
    if data.draw(st.booleans()):
        bad = good[: data.draw(st.integers(0, len(good) - 1))]
    else:
        place = data.draw(st.integers(0, len(good) - 1))
        bad = (
            good[:place] + bytes([good[place] ^ data.draw(st.integers(1, 255))]) + good[place + 1 :]
        )
    with contextlib.suppress(ValueError):  # and nothing else; some bytes carry no meaning
        AlarmTail.from_bytes(RULE, bad).observe(0.0, 0.0, alerting=False)


@pytest.mark.parametrize(
    ("found", "ahead", "changed"),
    [
        (b"PK\x01\x02", 8, b"\x01"),  # says that it is encrypted
        (b"PK\x01\x02", 10, b"\x63"),  # says that it is compressed in a way that there is not
        (b"{'descr'", 0, b"("),  # a bracket of an array's header that is never closed
    ],
)
def test_a_damaged_header_is_refused_in_words(
    tail: AlarmTail, found: bytes, ahead: int, changed: bytes
) -> None:
    good = tail.to_bytes()
    place = good.index(found) + ahead
    with pytest.raises(ValueError, match="expected what a null distribution learned"):
        AlarmTail.from_bytes(RULE, good[:place] + changed + good[place + 1 :])


def test_gaps_are_not_watched() -> None:
    tail = AlarmTail(RULE)
    rng = np.random.default_rng(1)
    at = 0.0
    for position in range(4000):
        at += 0.5 if position % 100 else 3600.0
        tail.observe(float(rng.normal()), at, alerting=False)
    assert tail._watched_s == pytest.approx(4000 * 0.99 * 0.5)


def test_frames_of_alerts_teach_nothing(day: NDArray[np.float64]) -> None:
    """As long as alerts are not much more frequent than the false ones that were asked for."""
    events = day[:40_000].copy()
    busy = np.zeros(len(events), bool)
    for begin in range(5000, 40_000, 10_000):
        busy[begin : begin + 40] = True
    events[busy] += 0.5
    tails = {"told": AlarmTail(RULE), "silent": AlarmTail(RULE)}
    for position, (margin, alert) in enumerate(zip(events, busy, strict=True)):
        tails["told"].observe(float(margin), position / FPS, alerting=bool(alert))
        tails["silent"].observe(float(margin), position / FPS, alerting=False)
    plain = known(learned(day[:40_000]), 20.0)
    assert known(tails["told"], 20.0).level == pytest.approx(plain.level, rel=0.1)
    silent = tails["silent"].estimate(20.0)  # the negative control
    assert silent is not None
    assert silent.level > known(tails["told"], 20.0).level


def seen_twice(tail: AlarmTail, level: float, alerts: int, quiet: int = 240) -> float:
    """The level of the baseline, after alerts of two seconds with quiet samples after each."""
    rng = np.random.default_rng(12)
    begin, values = tail.samples, np.tile([9.0] * 4 + [level] * quiet, alerts)
    for place, margin in enumerate(values + rng.normal(0.0, 0.05, len(values))):
        at = (begin + place) / FPS
        tail.observe(float(margin), at, alerting=place % (4 + quiet) < 4, threshold=4.0)
    return tail.baseline


@pytest.mark.parametrize(
    ("level", "alerts", "expected"), [(0.8, 2, 0.8), (-0.8, 2, -0.8), (0.0, 3, 0.0), (0.8, 1, 0.0)]
)
def test_what_is_between_alerts_that_come_again_is_the_level_of_the_stream(
    level: float, alerts: int, expected: float
) -> None:
    """One alert of a jump within two minutes is no proof, and somebody who comes back no jump."""
    slow = np.convolve(np.random.default_rng(11).normal(size=30_239), np.ones(240) / 77)[:30_000]
    tail = learned(slow)  # single minutes of it are far from its mean: no jump is found by them
    assert seen_twice(tail, tail.baseline + level, alerts) == pytest.approx(expected, abs=0.2)


def alerted(tail: AlarmTail) -> list[tuple[float, float]]:
    """The clusters that are counted as alarms: alerts in each, and whether it is sure."""
    alerts, sure = tail._peaks.table[3:]
    return [(float(a), float(b)) for a, b in zip(alerts, sure, strict=True) if a]


def test_somebody_who_stays_between_two_alerts_of_his_is_not_ordinary() -> None:
    """The baseline may follow him, but nothing says that he is a false alarm."""
    tail = learned(np.random.default_rng(14).normal(size=20_000))
    assert seen_twice(tail, 2.0, 2, quiet=100) == pytest.approx(2.0, abs=0.3)
    assert alerted(tail) == [(1, 0)]


def stayed(tail: AlarmTail, minutes: int) -> list[tuple[float, float]]:
    """An alert, somebody or something that stays, an alert, and two hours of nothing."""
    rng = np.random.default_rng(16)
    begin, stays = tail.samples, int(minutes * 60 * FPS)
    values = np.concatenate([[9.0] * 8, [2.0] * stays, [9.0] * 8, [0.0] * int(7200 * FPS)])
    for place, margin in enumerate(values + rng.normal(size=len(values))):
        alerting = place < 8 or 8 + stays <= place < 16 + stays
        tail.observe(float(margin), (begin + place) / FPS, alerting=alerting, threshold=4.0)
    return alerted(tail)


@pytest.mark.parametrize(("minutes", "expected"), [(4, [(1, 0)]), (90, [(1, 1), (1, 1)])])
def test_alerts_around_a_level_are_false_where_it_outlasts_an_event(
    minutes: int, expected: list[tuple[float, float]]
) -> None:
    """The baseline follows both a person and a lorry: how long it stays tells them apart."""
    tail = learned(np.random.default_rng(17).normal(size=20_000))
    assert stayed(tail, minutes) == expected
    assert tail.baseline == pytest.approx(0.0, abs=0.3)


def test_the_baseline_does_not_move_to_somebody_who_has_left() -> None:
    """Two alerts, and what lay between them, are no witness of a level that is over."""
    tail = learned(np.random.default_rng(18).normal(size=20_000))
    rng, begin = np.random.default_rng(19), tail.samples
    values = np.concatenate([[9.0] * 8, [1.2] * 150, [9.0] * 8, [0.0] * 400])
    for place, margin in enumerate(values + rng.normal(0, 0.3, len(values))):
        alerting = place < 8 or 158 <= place < 166
        tail.observe(float(margin), (begin + place) / FPS, alerting=alerting, threshold=4.0)
        assert tail.baseline == pytest.approx(0.0, abs=0.4)


def test_a_night_s_first_alert_does_not_belong_to_the_last_one_of_the_night_before() -> None:
    """Watched time stands still while a rule is off."""
    tail = learned(np.random.default_rng(15).normal(size=20_000))
    seen_twice(tail, 0.0, 2)
    begin = tail.samples / FPS + 16 * 3600
    for place in range(80):
        tail.observe(9.0 * (place < 4), begin + place / FPS, alerting=place < 4, threshold=4.0)
    assert alerted(tail) == [(1, 0), (1, 0)]


def test_after_a_restart_the_third_alert_is_still_the_third() -> None:
    rng = np.random.default_rng(13)
    tail = learned(rng.normal(size=20_000))
    seen_twice(tail, 0.0, 2)
    went_on = AlarmTail.from_bytes(RULE, tail.to_bytes())
    seen_twice(went_on, 0.0, 1)
    assert alerted(went_on) == [(1, 0), (1, 1)]


def test_what_is_always_so_is_the_scene_and_is_learned() -> None:
    """A threshold far below everything, as a prior may be, must not stop the learning."""
    margins = np.random.default_rng(2).normal(0.3, 0.02, 60_000)
    tail = learned(margins, alerting=True, threshold=0.0)
    assert tail.baseline == pytest.approx(0.3, abs=0.01)
    assert tail._base is not None


@given(
    arrays(np.float64, st.integers(1100, 1500), elements=st.sampled_from([-0.1, -0.05, 0.0, 0.1])),
    st.sampled_from([(1, 1), (2, 3), (3, 3)]),
)
@settings(max_examples=20)
def test_a_cluster_is_what_the_event_machine_calls_an_alert(
    margins: NDArray[np.float64], persistence: tuple[int, int]
) -> None:
    """Also with few different values, as INT8 gives."""
    rule = Rule(threshold=0.0, on_for=persistence[0], on_of=persistence[1], off_after_s=1.0)
    tail = AlarmTail(rule)
    tail._cut_at(0.02)
    counted, values = 0, []
    for position, margin in enumerate(margins):
        before = len(tail._peaks)
        values.append(float(margin) - tail.baseline if position else 0.0)
        tail.observe(float(margin), position / FPS, alerting=False)
        if tail._base != 0.02:
            break  # the bulk has set it
        counted += len(tail._peaks) - before
    machine = EventMachine(
        Rule(threshold=0.02, on_for=persistence[0], on_of=persistence[1], off_after_s=1.0),
        lambda _at: "",
    )
    ends = sum(
        transition.type == "end"
        for position, value in enumerate(values)
        for transition in machine.step(value, 0.0, Arrival(position / FPS, position / FPS, None))
    )
    assert counted == ends


@pytest.mark.parametrize("margin", [float("nan"), float("inf"), -float("inf")])
def test_a_margin_that_is_no_number_is_refused(margin: float) -> None:
    with pytest.raises(ValueError, match="expected a finite margin"):
        AlarmTail(RULE).observe(margin, 0.0, alerting=False)


@pytest.mark.parametrize("value", [0.0, -1.0, 1e30])
def test_a_camera_that_shows_one_thing_for_ever_gives_no_threshold(value: float) -> None:
    tail = learned([value] * 6000)
    assert tail.estimate(1.0) is None
    assert tail.rate(value + 1) is None


def test_alerts_that_were_none_raise_the_threshold(tail: AlarmTail) -> None:
    """What thumbs down does: twenty peaks far up, that had been left out as alerts."""
    taught = AlarmTail.from_bytes(RULE, tail.to_bytes())
    before = known(taught, 1.0)
    for _ in range(20):
        taught.admit(before.level + 0.02)
    assert known(taught, 1.0).level > before.level + 0.01
    untouched = AlarmTail.from_bytes(RULE, tail.to_bytes())
    untouched.admit(0.0)  # below the base level: no peak
    assert untouched.estimate(1.0) == before


def repacked(tail: AlarmTail, name: str, data: bytes) -> bytes:
    """The bytes of a tail with another file under one name: its zip is whole."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(tail.to_bytes())) as old, zipfile.ZipFile(file, "w", 8) as new:
        for member in old.namelist():
            new.writestr(member, data if member == f"{name}.npy" else old.read(member))
    return file.getvalue()


def npy(array: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize("name", ["version", "facts", "peaks", "bulk", "clump"])
@pytest.mark.parametrize(
    "data",
    [
        b"no array at all",
        npy(np.zeros(3)),
        npy(np.zeros((3, 2, 2))),
        npy(np.array(5.0)),
        npy(np.array(["a"] * 7)),
        npy(np.full(7, np.nan)),
        npy(np.zeros(0)),
    ],
)
def test_a_whole_file_of_something_else_is_refused_in_words(
    tail: AlarmTail, name: str, data: bytes
) -> None:
    with pytest.raises(ValueError, match="expected"):
        AlarmTail.from_bytes(RULE, repacked(tail, name, data))


def test_a_clump_of_alerts_that_are_still_to_come_is_refused(tail: AlarmTail) -> None:
    """Each later alert would belong to it, and count as ordinary."""
    with pytest.raises(ValueError, match="expected"):
        AlarmTail.from_bytes(RULE, repacked(tail, "clump", npy(np.array([3.0, 1e9]))))


@pytest.mark.parametrize(("place", "value"), [(3, 1e9), (2, -1.0), (4, -0.5)])
def test_facts_that_cannot_be_are_refused(tail: AlarmTail, place: int, value: float) -> None:
    with np.load(io.BytesIO(tail.to_bytes())) as file:
        facts = file["facts"]
    facts[place] = value
    with pytest.raises(ValueError, match="expected"):
        AlarmTail.from_bytes(RULE, repacked(tail, "facts", npy(facts)))


@pytest.mark.parametrize("version", [np.inf, np.nan, 2.5])
def test_a_version_that_is_none_is_refused(tail: AlarmTail, version: float) -> None:
    with pytest.raises(ValueError, match="expected version 2, found"):
        AlarmTail.from_bytes(RULE, repacked(tail, "version", npy(np.array(version))))


def test_a_small_file_cannot_claim_much_memory(tail: AlarmTail) -> None:
    bomb = repacked(tail, "peaks", npy(np.zeros((3, 500_000))))
    assert len(bomb) < 100_000
    with pytest.raises(ValueError, match="bytes, found more"):
        AlarmTail.from_bytes(RULE, bomb)


def test_a_file_of_version_1_goes_on(tail: AlarmTail) -> None:
    """A daemon that is updated has not forgotten what it learned."""
    with np.load(io.BytesIO(tail.to_bytes())) as file:
        base, samples, *rest = file["facts"].tolist()
        facts = np.array([tail.baseline, base, samples, *rest])
        old = io.BytesIO()
        np.savez(old, version=np.array(1), facts=facts, peaks=file["peaks"][:3], bulk=file["bulk"])
    again = AlarmTail.from_bytes(RULE, old.getvalue())
    assert again.estimate(1.0) == tail.estimate(1.0)
    assert (again.baseline, again.samples) == (tail.baseline, tail.samples)
    with pytest.raises(ValueError, match="expected version 2, found 3"):
        AlarmTail.from_bytes(RULE, repacked(tail, "version", npy(np.array(3))))


def test_a_stream_that_becomes_quieter_is_learned_anew() -> None:
    """Otherwise the base level would stay above all peaks, and the rule deaf."""
    rng = np.random.default_rng(8)
    tail = learned(np.concatenate([rng.normal(0, 1, 2 * 172_800), rng.normal(0, 0.3, 3 * 172_800)]))
    alone = learned(rng.normal(0, 0.3, 172_800))
    assert known(tail, 10.0).level == pytest.approx(known(alone, 10.0).level, rel=0.15)


def test_an_alert_that_a_gap_cuts_is_counted() -> None:
    tail = learned(np.random.default_rng(9).normal(size=4000))
    kept = len(tail._peaks)
    for position in range(4000, 4004):
        tail.observe(9.0, position / FPS, alerting=True, threshold=5.0)
    tail.observe(0.0, 4004 / FPS + 3600, alerting=False)
    assert len(tail._peaks) == kept + 1
    assert tail._peaks.table[3:, -1].tolist() == [1, 0]
