"""One camera's rules together: whose score is whose, and what happens when the camera is lost."""

from collections.abc import Sequence

import numpy as np
import pytest
from present import present

from edge.alerts.events import Rule
from edge.alerts.threshold import Calibration
from edge.alerts.watch import Happening, Watch, WatchedRule
from edge.config.prompt import PoolConfig, PromptConfig
from edge.rules.bank import CompiledPrompt, PromptBank
from edge.rules.plan import plan
from edge.rules.temporal.pools import Kind
from edge.scoring.scorers.base import Scored
from edge.video.sample import Arrival

RULE = Rule(threshold=0.1, on_for=1, on_of=1, off_after_s=1.0, gap_s=10.0)


@pytest.fixture
def bank() -> PromptBank:
    """Two prompts on two axes, and a background that neither is."""
    rows = np.eye(3, dtype=np.float32)
    prompts = tuple(
        CompiledPrompt(name, name, slice(row, row + 1), slice(2, 2), np.array([2]), None)
        for row, name in enumerate(["cat", "dog"])
    )
    return PromptBank(prompts, ("a cat", "a dog", "nothing"), rows, (), "hash")


def watched(
    name: str = "cat", rule: Rule = RULE, text: str | None = None, pool: PoolConfig | None = None
) -> WatchedRule:
    config = PromptConfig(text=(text or f"a {name}",), pool=pool)
    return WatchedRule(plan(name, config), rule, Calibration(rule, None), base=0.0, pool=pool)


def watch_of(*names: str) -> Watch:
    return Watch({name: watched(name) for name in names})


def at(seconds: float) -> Arrival:
    return Arrival(wall=1_750_000_000 + seconds, monotonic=seconds, pts_s=None)


def step(watch: Watch, bank: PromptBank, seconds: float, cat: float, dog: float) -> list[Happening]:
    cosines = np.array([cat, dog, 0], np.float32)
    scored = Scored(cosines, np.array([1, 0, 0], np.float32))
    return watch.step(bank, watch.weigh(bank, scored, at(seconds)), at(seconds))


def test_each_rule_sees_its_own_score(bank: PromptBank) -> None:
    watch = watch_of("cat", "dog")
    (happening,) = step(watch, bank, 0.0, cat=0.0, dog=0.5)
    assert (happening.prompt, happening.sentence) == ("dog", "a dog")
    assert watch.margins == {"cat": 0.0, "dog": 0.5}


def test_another_cameras_rule_is_none_of_ours(bank: PromptBank) -> None:
    watch = watch_of("cat")
    assert step(watch, bank, 0.0, cat=0.0, dog=0.9) == []
    assert watch.margins == {"cat": 0.0}


def test_a_camera_without_rules_is_watched_for_its_embeddings(bank: PromptBank) -> None:
    watch = Watch({})
    assert step(watch, bank, 0.0, cat=0.9, dog=0.9) == []
    assert watch.lost(at(100.0)) == []
    assert not watch.alerting


def test_a_lost_camera_ends_its_alert_once(bank: PromptBank) -> None:
    watch = watch_of("cat")
    step(watch, bank, 0.0, cat=0.5, dog=0.0)
    assert watch.lost(at(9.0)) == []
    assert watch.alerting
    (end,) = watch.lost(at(11.0))
    assert end.transition.type == "end"
    assert watch.lost(at(12.0)) == []
    assert watch.margins == {}


def test_the_end_tells_the_sentence_of_the_last_word_on_it(bank: PromptBank) -> None:
    watch = watch_of("cat")
    (start,) = step(watch, bank, 0.0, cat=0.5, dog=0.0)
    (end,) = watch.finish(at(1.0))
    assert (start.sentence, end.sentence) == ("a cat", "a cat")
    assert end.transition.id == start.transition.id


def test_a_sentence_with_an_order_in_it_alerts_in_that_order_only(bank: PromptBank) -> None:
    prompts = tuple(
        CompiledPrompt(name, "pets", slice(row, row + 1), slice(2, 2), np.array([2]), None)
        for row, name in enumerate(["pets#1", "pets#2"])
    )
    bank = PromptBank(prompts, ("a cat", "a dog", "nothing"), np.eye(3, dtype=np.float32), (), "h")
    told: dict[str, list[Happening]] = {}
    for order, seen in {"right": ["cat", "dog"], "wrong": ["dog", "cat"]}.items():
        watch = Watch({"pets": watched("pets", text="a cat then a dog within 20 s")})
        told[order] = []
        for second in range(12):
            shown = seen[0] if second in {2, 3} else seen[1] if second in {6, 7} else None
            marks = {name: 0.5 if name == shown else -0.5 for name in ("cat", "dog")}
            told[order] += step(watch, bank, float(second), **marks)
    assert [happening.transition.type for happening in told["right"]] == ["start", "end"]
    assert {happening.sentence for happening in told["right"]} == {"a cat then a dog within 20 s"}
    assert told["wrong"] == []


def test_a_pooled_rule_sees_the_last_samples_together_and_another_rule_does_not(
    bank: PromptBank,
) -> None:
    pool = PoolConfig(kind="mean", frames=4)
    watch = Watch({"cat": watched("cat", pool=pool), "dog": watched("dog")})
    for second in range(4):
        step(watch, bank, float(second), cat=0.8 if second == 3 else 0.0, dog=0.3)
    assert watch.margins["cat"] == pytest.approx(0.2)
    assert watch.margins["dog"] == pytest.approx(0.3)


@pytest.mark.parametrize("kind", ["mean", "aosm", "glscl"])
def test_what_a_camera_showed_before_a_gap_alerts_no_second_time(
    bank: PromptBank, kind: Kind
) -> None:
    def starts(silence: float) -> Sequence[str]:
        watch = Watch({"cat": watched("cat", pool=PoolConfig(kind=kind, frames=12))})
        for second in range(6):
            step(watch, bank, float(second), cat=0.8, dog=0.0)
        watch.finish(at(6.0))
        told = [step(watch, bank, 6.0 + silence + s, cat=0.0, dog=0.0) for s in range(12)]
        return [happening.transition.type for one in told for happening in one][:1]

    assert starts(silence=3600.0) == []
    assert starts(silence=1.0) == ["start"]  # the control: without a gap the pool still holds it


def test_nothing_is_learned_while_a_duration_cannot_be_told(bank: PromptBank) -> None:
    rule = watched("cat", text="a cat for 20 s")
    rule.calibration = Calibration(RULE, 1.0)
    watch = Watch({"cat": rule})
    for second in range(20):
        step(watch, bank, float(second), cat=-0.1, dog=0.0)
    assert rule.calibration.tails == {}
    for second in range(20, 40):
        step(watch, bank, float(second), cat=-0.1, dog=0.0)
    assert rule.calibration.tails[""].baseline == pytest.approx(-0.1)


def test_an_alert_that_is_vetoed_never_was(bank: PromptBank) -> None:
    watch = watch_of("cat")
    (first,) = step(watch, bank, 0.0, cat=0.5, dog=0.0)
    watch.veto("cat")
    assert not watch.alerting
    (second,) = step(watch, bank, 0.5, cat=0.5, dog=0.0)
    assert second.transition.type == "start"
    assert second.transition.id != first.transition.id


def test_a_rule_that_is_dropped_ends_its_alert(bank: PromptBank) -> None:
    watch = watch_of("cat", "dog")
    step(watch, bank, 0.0, cat=0.5, dog=0.5)
    (end,) = watch.drop("cat", at(1.0))
    assert (end.prompt, end.transition.type) == ("cat", "end")
    assert list(watch.rules) == ["dog"]
    assert watch.alerting


def test_an_alert_says_which_one_of_a_visit_it_is(bank: PromptBank) -> None:
    watch, found = watch_of("cat"), []
    for second in range(1000):
        seen = 0.5 if second in {10, 11, 100, 101, 900, 901} else 0.0
        found += step(watch, bank, float(second), cat=seen, dog=0.0)
    starts = [one for one in found if one.transition.type == "start"]
    places = [(present(one.visit).id, present(one.visit).number) for one in starts]
    first, last = starts[0].transition.id, starts[2].transition.id
    assert places == [(first, 1), (first, 2), (last, 1)]
    ends = [one for one in found if one.transition.type == "end"]
    assert [one.visit for one in ends] == [one.visit for one in starts]


def test_an_alert_that_the_second_look_denies_is_of_no_visit(bank: PromptBank) -> None:
    watch = watch_of("cat")
    (denied,) = step(watch, bank, 0.0, cat=0.5, dog=0.0)
    watch.veto("cat")
    step(watch, bank, 1.0, cat=0.0, dog=0.0)
    (alert,) = step(watch, bank, 2.0, cat=0.5, dog=0.0)
    assert present(denied.visit).id != present(alert.visit).id
    assert present(alert.visit).number == 1
