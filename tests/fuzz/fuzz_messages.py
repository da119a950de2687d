"""Targets: what a broker, another box or another program sends."""

import io
import json
from contextlib import suppress
from functools import cache
from typing import Final

import cbor2
import numpy as np
from fuzz_draw import Draw
from fuzz_target import Target, peer
from pydantic import ValidationError
from rich.console import Console, RenderableType

from edge.cli.shown import alert_line, json_line, prompts_shown
from edge.config.models import MqttConfig
from edge.delivery.embedding import Embedding, decode_embedding, encode_embedding
from edge.delivery.mqtt.dialer import connect
from edge.delivery.mqtt.publish_packet import read_publish
from edge.delivery.payloads import AlertPayload, AnswerPayload, PromptsStatePayload, StatePayload
from edge.errors import PublishError
from edge.system.visible import printable

_ALERT: Final = {
    "schema": "edge-alert/1", "id": "01JX7ZK4Q8V5R2M9T6B3N0C1DE", "type": "end", "device": "box",
    "camera": "yard", "prompt": {"id": "cat", "text": "a cat"}, "score": 0.3, "margin": 0.1,
    "threshold": 0.05, "calibration": "learned", "false_alarms_per_day": 1.0, "probability": 0.5,
    "started_at": "2026-01-01T00:00:00.000Z", "at": "2026-01-01T00:00:01.000Z",
    "ended_at": "2026-01-01T00:00:02.000Z", "snapshot": None, "test": False, "interrupted": True,
    "boxes": [{"phrase": "a cat", "score": 0.5, "box": [0.1, 0.1, 0.2, 0.2]}],
    "model": {"id": "m", "hash": "h", "precision": "int8"},
}  # fmt: skip
_STATE: Final = {
    "schema": "edge-prompts-state/1", "device": "box", "hash": "h" * 64, "source": "mqtt",
    "applied_at": "2026-01-01T00:00:00.000Z", "notes": ["a note"], "error": "it is wrong",
    "prompts": {"cat": {"text": ["a cat"], "threshold": 0.1}, "dog": {"text": ["a dog"]}},
    "lessons": {
        "cat": {
            "right": 3, "wrong": 2, "before": {"threshold": 0.1, "right": 2, "wrong": 2},
            "after": {"threshold": 0.2, "right": 3, "wrong": 0},
        }
    },
}  # fmt: skip
_ANSWER: Final = {
    "schema": "edge-answer/1", "device": "box", "topic": "edge/box/prompts/set",
    "at": "2026-01-01T00:00:00.000Z", "error": None,
}  # fmt: skip
_CAMERA: Final = {
    "schema": "edge-state/1", "device": "box", "camera": "yard", "at": "2026-01-01T00:00:00.000Z",
    "state": "streaming", "fps_in": 25.0, "fps_sampled": 2.0, "samples": 7, "dropped": 0,
    "corrupt": 0, "reconnects": 0, "error": None, "scores": {"cat": 0.1},
    "calibration": {"cat": {"state": "learned", "threshold": 0.1}}, "light": "night",
}  # fmt: skip
# MQTT 5 properties by how their value is written.
_BYTE: Final = (0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A)
_SHORT: Final = (0x13, 0x21, 0x22, 0x23)
_LONG: Final = (0x02, 0x11, 0x18, 0x27)
_STRING: Final = (0x03, 0x08, 0x12, 0x15, 0x16, 0x1A, 0x1C, 0x1F, 0x09)


def _peer(data: bytes) -> None:
    """The broker's side of a connection, after our CONNECT: bytes, or packets of them."""
    draw = Draw(data)
    said = draw.rest() if not draw.number(3) else _packets(draw)
    port = peer().say(said)
    config = MqttConfig(host="127.0.0.1", port=port, protocol="5")
    with connect(config, "fuzz", timeout_s=0.3) as connection:
        for _ in range(20):
            connection.poll(0.05)
            for received in connection.received():
                assert received.size >= len(received.payload)
            connection.acknowledged()


def _publish(data: bytes) -> None:
    """A PUBLISH that arrives; the first byte is that of its header."""
    read_publish(data[0] if data else 0, data[1:], mqtt5=True)


def _packets(draw: Draw) -> bytes:
    """A CONNACK that lets us in, with some properties; then packets, whole or not quite."""
    said = b""
    properties = _properties(draw) if draw.number(2) else b"\0"
    said += _packet(0x20, bytes([0, draw.pick([0, 0x80, 0x84, 0x9A])]) + properties, draw)
    while draw.left:
        match draw.number(8):
            case 0:
                said += _packet(0x40, draw.take(2) + bytes([draw.number(256)]), draw)
            case 1:
                said += _packet(0x90, draw.take(2) + _properties(draw) + draw.piece(), draw)
            case 2:
                said += _packet(0xE0, bytes([draw.number(256)]) + _properties(draw), draw)
            case 3:
                said += _packet(draw.number(256), draw.piece(), draw)
            case 4:
                said += draw.piece()
            case flags:  # PUBLISH of QoS 0, 1, 2
                topic = draw.pick([b"edge/box/prompts/set", b"\xff", b"", draw.piece()])
                number = draw.take(2) if flags > 5 else b""
                body = len(topic).to_bytes(2) + topic + number + _properties(draw) + draw.piece()
                said += _packet(0x30 | (flags - 5) << 1 | draw.number(2), body, draw)
    return said


def _properties(draw: Draw) -> bytes:
    made = b""
    for _ in range(draw.number(6)):
        text = draw.piece()
        string = len(text).to_bytes(2) + text
        match draw.number(7):
            case 0:
                made += bytes([draw.pick(_BYTE), draw.number(256)])
            case 1:
                made += bytes([draw.pick(_SHORT)]) + draw.take(2)
            case 2:
                made += bytes([draw.pick(_LONG)]) + draw.take(4)
            case 3:
                made += bytes([draw.pick(_STRING)]) + string
            case 4:
                made += b"\x26" + 2 * string
            case 5:
                made += b"\x0b" + draw.take(draw.number(5))
            case _:
                made += text
    return _length(len(made) + draw.pick([0, 0, 0, 1])) + made


def _packet(head: int, body: bytes, draw: Draw) -> bytes:
    length = len(body) if draw.number(8) else draw.number(2**21)
    return bytes([head]) + _length(length) + body


def _length(size: int) -> bytes:
    digits = b""
    while True:
        size, digit = size >> 7, size & 127
        digits += bytes([digit | 128 if size else digit])
        if not size:
            return digits


def _payload(data: bytes) -> None:
    """What a box says, as the commands read and print it: as it comes, or with changes."""
    draw = Draw(data)
    topic = draw.piece().decode("utf-8", "replace")
    payload = draw.json(draw.pick([_ALERT, _STATE, _ANSWER, _CAMERA]))
    lines = [printable(topic)]
    with suppress(ValidationError):
        lines += _printed(alert_line(AlertPayload.model_validate_json(payload)))
        lines.append(json_line(payload))
        json.loads(lines[-1])
    with suppress(ValidationError):
        lines += _printed(*prompts_shown(PromptsStatePayload.model_validate_json(payload)))
    for model in (AnswerPayload, StatePayload):
        with suppress(ValidationError):
            model.model_validate_json(payload).to_json()
    assert all(line.isprintable() for line in lines), lines


def _printed(*shown: RenderableType) -> list[str]:
    out = io.StringIO()
    Console(file=out, highlight=False, width=1000).print(*shown, sep="\n")
    return out.getvalue().split("\n")


def _embedding(data: bytes) -> None:
    """CBOR as it comes, of drawn values, or an embedding with some of its fields changed."""
    draw = Draw(data)
    match draw.number(3):
        case 0:
            decode_embedding(draw.rest())
        case 1:
            decode_embedding(_encoded(draw.value()))
        case _:
            fields = dict(_fields())
            for _ in range(1 + draw.number(3)):
                fields[draw.pick(sorted(fields))] = draw.value(1)
            found = decode_embedding(_encoded(fields))
            assert np.isfinite(found.vector).all()


def _encoded(value: object) -> bytes:
    try:
        return cbor2.dumps(value)
    except (cbor2.CBOREncodeError, ValueError, OverflowError, TypeError):
        return b""


@cache
def _fields() -> dict[str, object]:
    vector = np.arange(8, dtype=np.float32)
    whole = Embedding("box", "yard", "m" * 64, vector, 1.5, 1_750_000_000.0, 7, "interval")
    fields: dict[str, object] = cbor2.loads(encode_embedding(whole))
    return fields


TARGETS: Final = {
    "peer": Target(
        _peer, (PublishError,),
        ("edge.delivery.mqtt.connection", "edge.delivery.mqtt.refusals",
         "edge.delivery.mqtt.terms", "edge.delivery.mqtt.dialer", "paho.mqtt.properties"),
    ),
    "payload": Target(
        _payload, (), ("edge.cli.shown", "edge.delivery.payloads:_iso,_rep,_is_ulid,LessonRef"),
        ('"schema"', '"edge-alert/1"', '"device"', '"camera"', "\\u001b[2J", "\\u009b"),
    ),
    "publish": Target(_publish, (ValueError,), ("edge.delivery.mqtt.publish_packet",)),
    "embedding": Target(_embedding, (ValueError,), ("edge.delivery.embedding",)),
}  # fmt: skip
