"""Targets: files of the daemon's ``state_dir`` that a disk, a crash or a person has damaged."""

from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from typing import Final
from zlib import crc32

import cbor2
import numpy as np
from fuzz_draw import Draw, damaged, with_another_member, with_other_cells
from fuzz_target import Target, database, file_with

from edge.alerts.calibration_file import CalibrationFile
from edge.alerts.events import Rule
from edge.alerts.learned import Calibrations
from edge.alerts.messages import StartedAlert
from edge.alerts.null.alarms import AlarmTail
from edge.alerts.scene.view import View
from edge.config.prompt import PromptConfig
from edge.control.announce.record import Place, former_statuses
from edge.control.announce.retained import Retained
from edge.control.commands import DesiredPrompts, Feedback
from edge.control.desired.file import DesiredFile
from edge.control.desired.restore import load_of_model
from edge.control.desired.state import Desired, RuleSettings
from edge.control.learning.feedback import FeedbackFile
from edge.delivery.message import Message
from edge.delivery.outbox import Outbox
from edge.delivery.outbox_file import pack, unpack
from edge.delivery.payloads import AlertPayload, ModelRef, PromptRef, alert_message, utc
from edge.delivery.topics import Topics
from edge.errors import ConfigError, OutboxError, SideFileError
from edge.model.choice import _recall
from edge.system.cache_file import CacheFile
from edge.system.trouble import trouble_of_json

DIM: Final = 8
_NOW: Final = 1_750_000_000.0
_RULE: Final = Rule(threshold=0.1)
_FILE: Final = {"cat": PromptConfig(text=("a cat",))}
_ALERT: Final = "01JX7ZK4Q8V5R2M9T6B3N0C1DE"
_MODEL: Final = ModelRef(id="m", hash="h", precision="int8")
_PLACE: Final = Place("broker:1883", "edge", "box")
_OUTBOX: Final = {
    "messages": ("seq", "kind", "lane", "size", "crc", "body"),
    "totals": ("messages", "bytes", "dropped"),
    "running": ("id", "topic", "crc", "payload"),
}
_FEEDBACK: Final = {
    "alerts": ("alert", "camera", "rule", "sentences", "model", "levels", "embedding", "correct")
}
_CHOICE: Final = {
    "schema_": "edge-choice/1",
    "measured": [{"kind": "openvino", "format": "onnx", "precision": "int8", "ms": 1.5}],
}
_LEFT: Final = {"place": ["broker:1883", "edge", "old"], "topics": ["edge/old/status"]}
_RETAINED: Final = {"left": [{**_LEFT, "components": {"a": "switch", "b": "number"}}, _LEFT]}
_LEARNED: Final = {"learned": ("camera", "rule", "regime", "key", "data", "saved_at")}


def _outbox(data: bytes) -> None:
    """Pages, then cells; what is put afterwards is there, and goes."""
    draw = Draw(data)
    pages, cells = draw.number(6), draw.number(4)
    with file_with(damaged(_outbox_file(), draw, pages), "outbox.db") as path:
        if not pages:
            with_other_cells(path, _OUTBOX, draw, cells)
        with closing(Outbox(path, 1 << 20)) as outbox:
            ends = outbox.interrupted()
            outbox.put([_message(99), *ends])
            assert outbox.counts().queued["alert"] >= 1
            found = outbox.pending(1000)
            assert any(queued.message.topic == "edge/box/99" for queued in found)
            outbox.delete([queued.seq for queued in found])
            assert not any(q.message.topic == "edge/box/99" for q in outbox.pending(1000))
        with closing(Outbox(path, 1 << 20)) as outbox:
            ended = {end.alert.id for end in ends}
            assert not ended & {end.alert.id for end in outbox.interrupted()}


def _body(data: bytes) -> None:
    """A row's body, whose checksum is right: as it comes, of drawn values, or changed."""
    draw = Draw(data)
    match draw.number(3):
        case 0:
            body = draw.rest()
        case 1:
            body = _encoded(draw.value())
        case _:
            fields = list(cbor2.loads(pack(_message(1))))
            for _ in range(1 + draw.number(2)):
                fields[draw.number(len(fields))] = draw.value(2)
            body = _encoded(fields)
    found = unpack(body, crc32(body))
    if found is not None:
        assert found.size >= len(found.payload)
        assert isinstance(found.lane, str)
        assert unpack(pack(found), crc32(pack(found))) == found


def _encoded(value: object) -> bytes:
    try:
        return cbor2.dumps(value)
    except (cbor2.CBOREncodeError, ValueError, OverflowError, TypeError):
        return b""


def _feedback(data: bytes) -> None:
    draw = Draw(data)
    pages, cells = draw.number(6), draw.number(6)
    with file_with(damaged(_feedback_file(), draw, pages), "feedback.db") as path:
        if not pages:
            with_other_cells(path, _FEEDBACK, draw, cells)
        file = FeedbackFile(path, "m")
        file.expect(_started("01JX7ZK4Q8V5R2M9T6B3N0C1DF"))
        said = Feedback(schema="edge-feedback/1", alert=_ALERT, correct=True)
        alert = file.add(said)
        if alert is not None:
            Calibrations(None, _MODEL, None).rate(alert, correct=True)
        shots = file.shots("cat", ("a cat",))
        if shots is not None:
            assert shots.embeddings.ndim == 2
        new = Feedback(schema="edge-feedback/1", alert="01JX7ZK4Q8V5R2M9T6B3N0C1DF", correct=False)
        # What was damaged is begun anew, and then nothing is known.
        assert file.add(new) is not None or any(path.parent.glob("*corrupt*"))


def _learned(data: bytes) -> None:
    draw = Draw(data)
    pages, cells = draw.number(6), draw.number(6)
    with file_with(damaged(_learned_file(), draw, pages), "learned.db") as path:
        if not pages:
            with_other_cells(path, _LEARNED, draw, cells)
        file = CalibrationFile(path)
        _use(Calibrations(file, _MODEL, None))
        file.flush()
        again = CalibrationFile(path)
        left_alone = not (file.ready and again.ready)  # its damage looks like a newer version's
        assert left_alone or again.regimes("yard", "cat") or any(path.parent.glob("*corrupt*"))


def _use(calibrations: Calibrations) -> None:
    made = calibrations.calibration("yard", "cat", _FILE["cat"], _RULE, 2.0)
    for number in range(20):
        made.observe(0.01 * number, float(number), alerting=False, regime="day")
    calibrations.scene("yard")
    calibrations.save()


def _tail(data: bytes) -> None:
    """What a tail wrote, with another file in it, or anything."""
    draw = Draw(data)
    content = with_another_member(_whole_tail(), draw) if draw.number(2) else draw.rest()
    tail = AlarmTail.from_bytes(_RULE, content)
    for number in range(9):
        tail.observe(0.1 * number, float(number), alerting=False)
    AlarmTail.from_bytes(_RULE, tail.to_bytes())


def _view(data: bytes) -> None:
    """Bytes as they come, or a view that is damaged and has the checksum of that."""
    draw = Draw(data)
    body = draw.rest() if not draw.number(2) else damaged(_whole_view(), draw, 1 + draw.number(9))
    view = View.from_bytes(body + crc32(body).to_bytes(4, "little"))
    assert len(view.to_bytes()) == len(body) + 4


def _sentences(data: bytes) -> None:
    """The cache of sentences: what is damaged is computed again, and nothing ends over it."""
    draw = Draw(data)
    pages, cells = draw.number(6), draw.number(6)
    with file_with(damaged(_sentences_file(), draw, pages), "sentences.db") as path:
        if not pages:
            with_other_cells(path, {"kept": ("key", "value")}, draw, cells)
        with CacheFile(path).opened() as cache_:
            for number in range(4):
                value = cache_.read(_key(number))
                assert value in (None, b"value")
                if value is None:
                    cache_.write(_key(number), b"value")


def _desired(data: bytes) -> None:
    with file_with(Draw(data).json(_desired_page()), "desired.json") as path:
        file = DesiredFile(path)
        for desired in load_of_model(file, "h"):
            if desired is not None:
                with suppress(ConfigError):
                    desired.effective(_FILE)
                    desired.lessons(_FILE)
        if file.unread() is None:
            file.save(Desired(profile="away"))
            assert file.load()[0].profile == "away"


def _retained(data: bytes) -> None:
    sent: list[Message] = []
    with file_with(Draw(data).json(_RETAINED), "retained.json") as path:
        former_statuses(path, _PLACE)
        retained = Retained(path, _PLACE, sent.append)
        retained.expect(["edge/box/status"])
        retained.replace([_message(1)], [], {"a": "switch"})
        retained.hear_former("edge/old/status", b"offline")
        for message in sent:
            message.topic.encode()
            retained.removed(message.topic)


def _choice(data: bytes) -> None:
    content = Draw(data).json(_CHOICE)
    trouble_of_json(content, "schema_", "edge-choice/1")
    with file_with(content, "choice.json") as path:
        _recall(path)


def _message(number: int) -> Message:
    topic = f"edge/box/{number}"
    return Message(topic, b"x" * 100, "alert", "yard", 1, retain=False, content_type="text/plain")


def _started(alert: str) -> StartedAlert:
    return StartedAlert(alert, "yard", "cat", ("a cat",), {"": 0.1}, 1e9, np.ones(DIM, np.float32))


def _key(number: int) -> bytes:
    return bytes([number]) * 32


@cache
def _outbox_file() -> bytes:
    payload = AlertPayload(
        id=_ALERT, type="start", device="box", camera="yard", score=0.3, margin=0.1, threshold=0.05,
        prompt=PromptRef(id="cat", text="a cat"), started_at=utc(_NOW), at=utc(_NOW), model=_MODEL,
    )  # fmt: skip

    def make(path: Path) -> None:
        with closing(Outbox(path, 1 << 20)) as outbox:
            outbox.put([_message(number) for number in range(20)])
            outbox.put([alert_message(Topics("edge", "box"), payload)])

    return database(make, "outbox.db")


@cache
def _feedback_file() -> bytes:
    def make(path: Path) -> None:
        file = FeedbackFile(path, "m")
        for alert in (_ALERT, "01JX7ZK4Q8V5R2M9T6B3N0C1DA", "01JX7ZK4Q8V5R2M9T6B3N0C1DB"):
            file.expect(_started(alert))
            file.add(Feedback(schema="edge-feedback/1", alert=alert, correct=True))

    return database(make, "feedback.db")


@cache
def _learned_file() -> bytes:
    def make(path: Path) -> None:
        file = CalibrationFile(path)
        _use(Calibrations(file, _MODEL, None))
        file.flush()

    return database(make, "learned.db")


@cache
def _whole_view() -> bytes:
    return View().to_bytes()[:-4]


@cache
def _whole_tail() -> bytes:
    tail = AlarmTail(_RULE)
    for number in range(999):
        tail.observe(0.01 * (number % 37), number / 2, alerting=False)
    return tail.to_bytes()


@cache
def _sentences_file() -> bytes:
    def make(path: Path) -> None:
        with CacheFile(path).opened() as cache_:
            for number in range(4):
                cache_.write(_key(number), b"value")

    return database(make, "sentences.db")


@cache
def _desired_page() -> object:
    rule = {"text": ["a dog"], "threshold": 0.1}
    desired = Desired(
        prompts=DesiredPrompts.model_validate({"schema": "edge-prompts/1", "prompts": {"dog": rule}}),
        settings={"cat": RuleSettings(enabled=False, text=("a tabby",), threshold="auto")},
        profile="away",
    )  # fmt: skip
    page = desired.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return {"schema_": "edge-desired/1", "accepted": page, "pending": page}


_SQLITE: Final = ("edge.system.kept_file", "edge.system.trouble", "edge.system.set_aside")
_OUTBOX_FILES: Final = (
    "edge.delivery.outbox", "edge.delivery.outbox_file", "edge.delivery.outbox_repair",
    "edge.delivery.outbox_store", "edge.delivery.running",
)  # fmt: skip
TARGETS: Final = {
    "outbox": Target(_outbox, (OutboxError,), _OUTBOX_FILES),
    "body": Target(_body, (), ("edge.delivery.outbox_file:pack,unpack",)),
    "feedback": Target(_feedback, (SideFileError,), ("edge.control.learning.feedback", *_SQLITE)),
    "learned": Target(
        _learned, (SideFileError,),
        ("edge.alerts.calibration_file", "edge.alerts.learned", *_SQLITE),
    ),
    "sentences": Target(_sentences, (), ("edge.system.cache_file",)),
    "tail": Target(_tail, (ValueError,), ("edge.alerts.null.alarms:AlarmTail.from,AlarmTail.to,_numbers", "edge.alerts.null.peaks:Peaks.restore", "edge.alerts.null.reservoir:Reservoir.restore")),
    "view": Target(_view, (ValueError,), ("edge.alerts.scene.view:View.from_bytes",)),
    "desired": Target(
        _desired, (), ("edge.control.desired.file", "edge.control.desired.state"),
        ('"schema_"', '"edge-desired/2"', '"accepted"', '"pending"', '"settings"', '"sharpened"'),
    ),
    "retained": Target(
        _retained, (), ("edge.control.announce.record", "edge.control.announce.retained"), ('"left"', '"place"', '"topics"'),
    ),
    "choice": Target(_choice, (), ("edge.model.choice:_recall", "edge.system.trouble:trouble_of_json"), ('"schema_"', '"measured"')),
}  # fmt: skip
