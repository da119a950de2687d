"""Commands become rules in force, or are refused and told; restarts and crashes lose nothing."""

import contextlib
import json
import sqlite3
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from control_box import ControlBox
from present import present

from edge.alerts.messages import StartedAlert
from edge.config.models import Config
from edge.config.prompt import PromptConfig, SharpenedConfig
from edge.control.commands import command_of
from edge.control.desired.file import DesiredFile
from edge.control.learning.teacher import TeachingResult
from edge.control.orders import Adopt, RateAlert, TryAlert
from edge.delivery.message import Received
from edge.delivery.payloads import LessonRef, OutcomeRef
from edge.delivery.topics import Topics
from edge.errors import ConfigError
from edge.rules.shots import Shots

ULID = "01JX7ZK4Q8V5R2M9T6B3N0C1DE"
DOG = {"schema": "edge-prompts/1", "prompts": {"dog": {"text": "a dog"}}}
DEFECT = {"schema": "edge-prompts/1", "prompts": {"bug": {"text": "a \N{BUG}"}}}
BAD = {"schema": "edge-prompts/1", "prompts": {"bad": {"text": "\N{SNOWMAN}"}}}


def test_what_is_in_force_is_told_at_the_start(box: ControlBox) -> None:
    box.start()
    state = box.state()
    assert list(state["prompts"]) == ["cat", "van"]
    assert (state["source"], state["error"], len(state["hash"])) == ("file", None, 64)
    assert box.last("prompt/cat/enabled/state") == b"ON"
    assert box.last("prompt/cat/false_alarms_per_day/state") == b"1"
    assert box.last("prompt/cat/threshold/state") == b"auto"
    assert box.last("prompt/van/threshold/state") == b"0.2"
    assert box.last("prompt/van/false_alarms_per_day/state") == b"None"
    assert box.last("prompt/van/text/state") == b"a van"
    assert all(message.retain and message.qos == 1 for message in box.published)


def test_a_desired_state_is_compiled_adopted_and_told(box: ControlBox) -> None:
    before = box.start().state()
    assert box.say("prompts/set", DOG)["error"] is None
    (adopt,) = box.orders
    assert isinstance(adopt, Adopt)
    assert list(adopt.rules.prompts) == ["cat", "van", "dog"]
    state = box.state()
    assert (state["source"], state["error"]) == ("mqtt", None)
    assert state["hash"] == adopt.rules.bank.hash != before["hash"]
    assert state["prompts"]["dog"]["on"] == {"for": 2, "of": 3}
    assert box.last("prompt/dog/text/state") == b"a dog"


def test_the_loop_is_asked_for_nothing_while_sentences_are_compiled(
    box: ControlBox, eventually: Callable[[Callable[[], object], str], None]
) -> None:
    box.start().may_compile.clear()
    box.send("prompts/set", DOG)
    pending = box.config.state_dir / "desired.json"
    eventually(pending.exists, "the command being taken")
    assert not box.orders
    assert not box.loop.waiting
    box.may_compile.set()
    eventually(lambda: box.orders, "the order")


def test_saying_it_again_compiles_and_orders_nothing(box: ControlBox) -> None:
    box.start().say("prompts/set", DOG)
    compiled, orders = len(box.compiled), len(box.orders)
    box.say("prompts/set", DOG, retain=True)
    assert (len(box.compiled), len(box.orders)) == (compiled, orders)


COMMANDS = [
    ("prompts/set", DOG),
    ("prompt/cat/enabled/set", b"OFF"),
    ("prompt/cat/false_alarms_per_day/set", b"3"),
    ("prompt/van/threshold/set", b"0.4"),
    ("prompt/cat/text/set", b"a tomcat | a cat"),
    ("prompt/cat/sharpened/set", b"OFF"),
    ("profile/set", b"away"),
]


@pytest.mark.parametrize(("topic", "payload"), COMMANDS, ids=[topic for topic, _ in COMMANDS])
def test_a_command_that_is_replayed_changes_nothing_more_also_after_a_restart(
    box: ControlBox, topic: str, payload: Any
) -> None:
    assert box.start().say(topic, payload)["error"] is None
    state, orders, compiled = box.timeless_state(), len(box.orders), len(box.compiled)
    for _ in range(3):
        assert box.say(topic, payload)["error"] is None
    assert (box.timeless_state(), len(box.orders)) == (state, orders)
    assert len(box.compiled) == compiled
    box.start()
    orders = len(box.orders)
    assert box.say(topic, payload)["error"] is None
    assert (box.timeless_state(), len(box.orders)) == (state, orders)


def test_a_replay_that_says_something_else_would_be_seen(box: ControlBox) -> None:
    box.start().say("prompt/van/threshold/set", b"0.4")
    state, orders = box.timeless_state(), len(box.orders)
    box.say("prompt/van/threshold/set", b"0.5")
    assert box.timeless_state() != state
    assert len(box.orders) == orders + 1


def test_a_setting_that_no_sentence_depends_on_opens_no_text_graph(box: ControlBox) -> None:
    box.start()
    compiled = len(box.compiled)
    box.say("prompt/cat/enabled/set", b"OFF")
    box.say("prompt/van/false_alarms_per_day/set", b"3")
    assert len(box.compiled) == compiled
    assert not box.adopted().prompts["cat"].enabled
    assert box.last("prompt/cat/enabled/state") == b"OFF"
    assert box.last("prompt/van/false_alarms_per_day/state") == b"3"
    box.say("prompt/cat/text/set", b"a tomcat")
    assert len(box.compiled) == compiled + 1


def test_what_examples_taught_a_rule_is_compiled(box: ControlBox) -> None:
    box.start()
    compiled = len(box.compiled)
    weights = {"texts": [1], "templates": [1], "threshold": 0.1, "hysteresis": 0.0}
    cat = {"text": "a cat", "sharpened": weights}
    desired = {"schema": "edge-prompts/1", "base": "file", "prompts": {"cat": {"text": "a cat"}}}
    box.say("prompts/set", json.dumps(desired).encode(), retain=True)
    before = len(box.compiled)
    box.say("prompts/set", json.dumps(desired | {"prompts": {"cat": cat}}).encode(), retain=True)
    assert len(box.compiled) == before + 1 > compiled
    assert present(box.adopted().prompts["cat"].sharpened).threshold == 0.1


@pytest.mark.parametrize("topic", ["prompts/set", "prompt/cat/text/set"])
def test_what_cannot_be_compiled_changes_nothing_and_is_told(box: ControlBox, topic: str) -> None:
    before = box.start().timeless_state()
    answer = box.say(topic, BAD if topic == "prompts/set" else "\N{SNOWMAN}".encode())
    assert "cannot be encoded" in answer["error"]
    assert not box.orders
    assert box.timeless_state() == before | {"error": answer["error"]}
    assert box.start().timeless_state() == before  # nothing of it is kept
    assert box.say("prompts/set", DOG)["error"] is None
    assert box.state()["error"] is None


def test_desired_rules_that_bring_out_a_defect_do_not_keep_the_box_from_starting(
    box: ControlBox,
) -> None:
    box.start().say("prompts/set", DOG)
    box.stop()
    file = DesiredFile(box.config.state_dir / "desired.json")
    command = command_of(box_topics(), received("prompts/set", DEFECT))
    assert command is not None
    accepted, _ = file.load()
    file.save(accepted, accepted.after(command, box.config.prompts))
    state = box.start().state()
    assert list(state["prompts"]) == ["cat", "van", "dog"]
    assert state["error"] == "ZeroDivisionError: a defect"


def test_a_defect_costs_the_command_that_meets_it(box: ControlBox) -> None:
    before = box.start().timeless_state()
    rules = DOG | {"prompts": {"dog": {"text": "a \N{BUG}"}}}
    answer = box.say("prompts/set", rules)
    assert answer["error"] == "ZeroDivisionError: a defect"
    assert box.start().timeless_state() == before  # nothing of it is kept
    assert box.say("prompts/set", DOG)["error"] is None


def test_what_the_second_look_cannot_do_changes_nothing_either(box: ControlBox) -> None:
    box.start().say("prompts/set", DOG)
    box.second_look_refuses = "zones need a detector"
    assert box.say("prompt/dog/enabled/set", b"OFF")["error"] == "zones need a detector"
    assert box.state()["prompts"]["dog"]["enabled"] is True
    box.second_look_refuses = None
    assert box.start().state()["prompts"]["dog"]["enabled"] is True


def test_a_restart_keeps_what_was_desired_and_set(box: ControlBox) -> None:
    box.start().say("prompts/set", DOG)
    box.say("prompt/dog/enabled/set", b"OFF")
    box.say("profile/set", b"night")
    state = box.timeless_state()
    assert box.start().timeless_state() == state
    assert box.last("profile/state") == b"night"


def test_a_profile_is_adopted_without_compiling_and_empty_is_the_files(
    box: ControlBox, settings: dict[str, Any]
) -> None:
    box.stop()
    box = ControlBox(Config.model_validate(settings | {"profile": "home"})).start()
    assert (box.rules.profile, box.last("profile/state")) == ("home", b"home")
    compiled = len(box.compiled)
    for said, profile in ((b"away", "away"), (b"", "home")):
        box.say("profile/set", said)
        assert box.adopted().profile == box.rules.profile == profile
        assert box.last("profile/state") == profile.encode()
    assert len(box.compiled) == compiled
    box.say("profile/set", b"home")  # the file's anyway
    assert len(box.orders) == 2
    box.stop()


def test_a_crash_between_receipt_and_adoption_is_made_good_at_the_next_start(
    box: ControlBox, eventually: Callable[[Callable[[], object], str], None]
) -> None:
    box.start()
    box.loop_stands = True
    box.send("prompts/set", DOG)
    eventually(lambda: box.loop.waiting, "the order")
    box.stop()  # the order was never carried out
    box.loop_stands = False
    assert "dog" in box.start().state()["prompts"]


def test_a_pending_change_that_cannot_be_goes_back_to_what_was_in_force(
    box: ControlBox, eventually: Callable[[Callable[[], object], str], None]
) -> None:
    box.start().say("prompts/set", DOG)
    box.loop_stands = True
    box.send("prompt/dog/text/set", b"a small dog")
    eventually(lambda: box.loop.waiting, "the order")
    box.stop()
    box.loop_stands = False
    file = DesiredFile(box.config.state_dir / "desired.json")
    accepted, pending = file.load()
    command = command_of(box_topics(), received("prompts/set", BAD))
    assert command is not None
    file.save(accepted, present(pending).after(command, box.config.prompts))
    state = box.start().state()
    assert state["prompts"]["dog"]["text"] == ["a dog"]
    assert "cannot be encoded" in state["error"]
    assert file.load() == (accepted, None)


def box_topics() -> Topics:
    return Topics("edge", "box")


def received(topic: str, payload: dict[str, Any]) -> Received:
    return Received(f"edge/box/{topic}", json.dumps(payload).encode())


def test_a_desired_state_that_the_box_can_no_longer_do_does_not_keep_it_from_starting(
    box: ControlBox,
) -> None:
    box.start().say("prompts/set", DOG)
    state = box.start(refused="dog").state()
    assert list(state["prompts"]) == ["cat", "van"]
    assert state["error"] == "dog is not possible here"
    assert "dog" in box.start().state()["prompts"]  # it was not forgotten


def test_what_the_box_cannot_do_is_kept_in_a_copy_when_something_else_is_commanded(
    box: ControlBox,
) -> None:
    box.start().say("prompts/set", DOG)
    box.start(refused="dog").say("prompt/cat/threshold/set", b"0.2")
    old = DesiredFile(box.config.state_dir / "desired-old-1.json")
    assert "dog" in old.load()[0].effective(box.config.prompts)
    assert "dog" not in box.start().state()["prompts"]


def test_a_desired_state_that_cannot_be_read_is_not_overwritten_and_comes_back(
    box: ControlBox,
) -> None:
    box.start().say("prompts/set", DOG)
    path = box.config.state_dir / "desired.json"
    content = path.read_bytes()
    newer = content.replace(b"edge-desired/1", b"edge-desired/2")
    path.write_bytes(newer)
    state = box.start().state()
    assert list(state["prompts"]) == ["cat", "van"]
    assert "start the version that wrote it" in state["error"]
    answer = box.say("prompt/cat/threshold/set", b"0.2")
    assert "is left as it is" in answer["error"]
    assert path.read_bytes() == newer
    path.write_bytes(content)  # somebody has put it right
    assert box.say("prompt/cat/threshold/set", b"0.3")["error"] is None
    state = box.state()
    assert "dog" in state["prompts"]
    assert box.rules.prompts["cat"].threshold == 0.3
    assert "dog" in box.start().state()["prompts"]


def test_a_mistake_in_the_file_still_ends_the_start(box: ControlBox) -> None:
    with pytest.raises(ConfigError, match="cat is not possible here"):
        box.start(refused="cat")
    box.rollout = None


def test_back_to_the_file(box: ControlBox) -> None:
    before = box.start().timeless_state()
    box.say("prompts/set", DOG)
    box.say("prompt/cat/enabled/set", b"OFF")
    assert box.say("prompts/set", b"")["error"] is None
    assert box.timeless_state() == before
    assert box.last("prompt/dog/enabled/state") == b""  # the broker forgets it


def test_a_rule_that_no_camera_watches_gets_a_note(
    box: ControlBox, settings: dict[str, Any]
) -> None:
    settings["cameras"].pop("yard")
    box.config = Config.model_validate(settings)
    box.start().say("prompts/set", DOG)
    assert [note for note in box.state()["notes"] if "'dog' is watched by no camera" in note]
    assert box.state()["cameras"] == {"cat": ["gate"], "van": [], "dog": []}


def test_a_profile_that_no_rule_names_gets_a_note(box: ControlBox) -> None:
    box.start()
    away = {"dog": {"text": "a dog", "profiles": ["away"]}}
    box.say("prompts/set", DOG | {"prompts": away})
    assert box.say("profile/set", b"awya")["error"] is None
    assert "no prompt names the profile 'awya'; did you mean 'away'?" in box.state()["notes"]
    box.say("profile/set", b"away")
    assert not box.state()["notes"]
    assert (box.adopted().profile, box.last("profile/state")) == ("away", b"away")


def test_a_test_alert_is_ordered_where_somebody_watches(box: ControlBox) -> None:
    box.start()
    assert box.say("prompt/van/test/set", b"")["error"] is None
    (order,) = box.orders
    assert isinstance(order, TryAlert)
    assert order.rule == "van"
    assert (
        "there is no prompt 'vam'; did you mean 'van'?"
        in box.say("prompt/vam/test/set", b"")["error"]
    )
    box.say("prompt/van/enabled/set", b"OFF")
    assert "no camera watches prompt 'van' now" in box.say("prompt/van/test/set", b"")["error"]


def a_false_alarm(box: ControlBox, alert: str = ULID, rule: str = "cat") -> dict[str, Any]:
    vector = np.array([1.0, 0.0], np.float32)
    sentences = box.rules.prompts[rule].text
    box.feedback.expect(StartedAlert(alert, "yard", rule, sentences, {"": 0.25}, 9.0, vector))
    return box.say("feedback/set", {"schema": "edge-feedback/1", "alert": alert, "correct": False})


def rated(box: ControlBox) -> list[Any]:
    """What the loop is to learn from, of which alerts."""
    orders = [order for order in box.orders if isinstance(order, RateAlert)]
    assert len(orders) == len(box.orders)
    return [
        (order.alert.camera, order.alert.rule, order.alert.levels, order.alert.at, order.correct)
        for order in orders
    ]


def test_a_false_alarm_is_admitted_as_ordinary(box: ControlBox) -> None:
    box.start()
    assert a_false_alarm(box)["error"] is None
    assert rated(box) == [("yard", "cat", {"": 0.25}, 9.0, False)]


def test_what_is_said_twice_is_admitted_once(box: ControlBox) -> None:
    box.start()
    a_false_alarm(box)
    said = {"schema": "edge-feedback/1", "alert": ULID, "correct": False}
    assert box.say("feedback/set", said)["error"] is None
    assert len(box.orders) == 1


def test_a_right_alert_is_learned_from_once_and_an_unknown_one_is_refused(box: ControlBox) -> None:
    box.start()
    box.feedback.expect(StartedAlert(ULID, "yard", "cat", ("a cat",), {}, 9.0, None))
    said = {"schema": "edge-feedback/1", "alert": ULID, "correct": True}
    assert box.say("feedback/set", said)["error"] is None
    assert box.say("feedback/set", said)["error"] is None
    assert "is not known" in box.say("feedback/set", said | {"alert": ULID[:-1] + "0"})["error"]
    assert rated(box) == [("yard", "cat", {}, 9.0, True)]


LESSON = LessonRef(
    right=0, wrong=1, before=OutcomeRef(threshold=0.1, right=0, wrong=1),
    after=OutcomeRef(threshold=0.3, right=0, wrong=0),
)  # fmt: skip


class ATeacher:
    """Says what it is told to."""

    def __init__(self, record: SharpenedConfig | None) -> None:
        self.record = record
        self.seen: list[tuple[str, list[bool]]] = []

    def teach(self, name: str, prompt: PromptConfig, shots: Shots) -> TeachingResult:
        assert prompt.sharpened is None
        self.seen.append((name, shots.wanted.tolist()))
        return TeachingResult(self.record, LESSON)


def test_what_alerts_teach_is_in_force_until_it_is_switched_off(box: ControlBox) -> None:
    taught = SharpenedConfig(threshold=0.3, hysteresis=0.1)
    box.teacher = ATeacher(taught)
    before = dict(box.start().rules.prompts)
    a_false_alarm(box)
    assert box.teacher.seen == [("cat", [False])]
    assert box.rules.prompts["cat"].sharpened == taught
    assert box.last("prompt/cat/sharpened/state") == b"ON"
    assert box.state()["prompts"]["cat"]["sharpened"]["threshold"] == 0.3
    assert box.state()["lessons"] == {"cat": LESSON.model_dump()}
    box.start()  # a restart keeps it
    assert box.rules.prompts["cat"].sharpened == taught
    box.say("prompt/cat/sharpened/set", b"OFF")
    assert box.rules.prompts == before
    assert box.last("prompt/cat/sharpened/state") == b"OFF"
    assert box.state()["lessons"] == {}
    a_false_alarm(box, ULID[:-1] + "1")
    assert box.rules.prompts == before  # off stays off
    box.say("prompt/cat/sharpened/set", b"ON")  # and with ON it is back at once
    assert box.rules.prompts["cat"].sharpened == taught
    adopted = len(box.orders)
    box.say("prompt/cat/sharpened/set", b"ON")
    assert len(box.orders) == adopted


def test_another_sentence_forgets_what_the_old_one_was_taught(box: ControlBox) -> None:
    box.teacher = ATeacher(SharpenedConfig(threshold=0.3, hysteresis=0.1))
    box.start()
    a_false_alarm(box)
    box.say("prompt/cat/text/set", b"a tomcat")
    assert box.rules.prompts["cat"].sharpened is None
    assert box.state()["lessons"] == {}
    box.teacher.seen.clear()
    a_false_alarm(box, ULID[:-1] + "1")
    assert box.teacher.seen == [("cat", [False])]  # and not what was said of the old one


def test_other_words_do_not_switch_it_on_again(box: ControlBox) -> None:
    box.teacher = ATeacher(SharpenedConfig(threshold=0.3, hysteresis=0.1))
    box.start()
    box.say("prompt/cat/sharpened/set", b"OFF")
    box.say("prompt/cat/text/set", b"a tomcat")
    a_false_alarm(box)
    assert box.rules.prompts["cat"].sharpened is None


def test_feedback_that_cannot_be_kept_now_is_refused_and_can_be_said_again(
    box: ControlBox,
) -> None:
    box.start()
    assert a_false_alarm(box)["error"] is None
    orders = len(box.orders)
    path = box.config.state_dir / "feedback.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        answer = a_false_alarm(box, ULID[:-1] + "1")
    assert "another process holds it" in answer["error"]
    assert len(box.orders) == orders
    assert a_false_alarm(box, ULID[:-1] + "1")["error"] is None
    assert len(box.orders) == orders + 1


def test_what_helps_no_more_is_taken_back(box: ControlBox) -> None:
    box.teacher = ATeacher(SharpenedConfig(threshold=0.3, hysteresis=0.1))
    before = dict(box.start().rules.prompts)
    a_false_alarm(box)
    box.teacher.record = None
    a_false_alarm(box, ULID[:-1] + "1")
    assert box.rules.prompts == before


def test_a_threshold_that_is_set_afterwards_is_the_one_in_force(box: ControlBox) -> None:
    box.teacher = ATeacher(SharpenedConfig(threshold=0.3, hysteresis=0.1))
    box.start()
    a_false_alarm(box)
    box.say("prompt/cat/threshold/set", b"0.2")
    rule = box.rules.prompts["cat"]
    assert (rule.threshold, rule.sharpened) == (0.2, None)


def test_a_rule_that_was_sharpened_by_hand_is_not_taught(
    box: ControlBox, settings: dict[str, Any]
) -> None:
    by_hand = {"threshold": 0.15, "hysteresis": 0.05}
    settings["prompts"]["cat"]["sharpened"] = by_hand
    box.config = Config.model_validate(settings)
    box.teacher = ATeacher(SharpenedConfig(threshold=0.3, hysteresis=0.1))
    box.start()
    a_false_alarm(box)
    assert box.rules.prompts["cat"].sharpened == SharpenedConfig.model_validate(by_hand)
    assert rated(box) == [("yard", "cat", {"": 0.25}, 9.0, False)]
    box.say("prompt/cat/threshold/set", b"0.2")
    assert box.rules.prompts["cat"].sharpened is None


@pytest.mark.parametrize("changed", ["the sentences of the file", "the model"])
def test_what_was_taught_for_something_else_rests_and_takes_nothing_with_it(
    box: ControlBox, settings: dict[str, Any], changed: str
) -> None:
    weights = {"texts": [1.0], "templates": [1.0], "threshold": 0.3, "hysteresis": 0.1}
    box.teacher = ATeacher(SharpenedConfig.model_validate(weights))
    box.start().say("prompt/van/enabled/set", b"OFF")
    a_false_alarm(box)
    assert box.rules.prompts["cat"].sharpened is not None
    if changed == "the model":
        box.model = "another"
    else:
        settings["prompts"]["cat"]["text"] = ["a cat", "a kitten"]
        box.config = Config.model_validate(settings)
    state = box.start().state()
    assert state["error"] is None
    assert state["prompts"]["cat"]["sharpened"] is None
    assert state["prompts"]["van"]["enabled"] is False


def test_an_answer_goes_where_it_is_wanted(box: ControlBox) -> None:
    box.start().say("prompt/cat/enabled/set", b"OFF", response="me/1", correlation=b"7")
    answer = box.answers()[-1]
    assert (answer.topic, answer.correlation, answer.retain) == ("me/1", b"7", False)
    box.say("prompt/cat/enabled/set", b"maybe")
    assert box.answers()[-1].topic == "edge/box/answer"


@pytest.mark.parametrize("topic", ["edge/box/prompt/cat/text/set", "edge/other/prompts/set", "a/#"])
def test_no_answer_is_turned_into_a_command_of_ours(box: ControlBox, topic: str) -> None:
    box.start().say("prompt/cat/enabled/set", b"OFF", response=topic)
    assert box.answers()[-1].topic == "edge/box/answer"


def test_a_flood_of_commands_is_bounded(box: ControlBox, caplog: pytest.LogCaptureFixture) -> None:
    box.waiting = 3
    box.start()
    box.loop_stands = True
    for number in range(20):
        box.send("prompt/van/false_alarms_per_day/set", b"%d" % (number + 2))
    assert "3 commands wait already" in caplog.text
    box.loop_stands = False
    box._turn()


def test_without_a_disk_rules_change_and_it_is_told_that_they_will_not_last(
    box: ControlBox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    box.start()
    monkeypatch.setattr("os.fsync", lambda _fd: (_ for _ in ()).throw(OSError("disk full")))
    assert box.say("prompts/set", DOG)["error"] is None
    assert "dog" in box.state()["prompts"]
    assert "lost at the next start: disk full" in caplog.text
