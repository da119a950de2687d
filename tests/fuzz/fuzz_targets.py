"""What is fuzzed: each target reads hostile bytes as the product does, and may fail in its own words only.

A target is data: a function of bytes, and the errors that its callers expect. Any other exception is
a finding, and so are a call of more than a second and more than 200 MB (``run.py``).
"""

import shutil
import socket
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from tiny_bundle import tiny_bundle, tiny_facts

from calibration.edit import put, take
from calibration.labels import read_labels
from edge.alerts.events import Rule
from edge.alerts.null.alarms import AlarmTail
from edge.alerts.scene.view import View
from edge.config.load import load_config
from edge.config.models import HomeAssistantConfig, MqttConfig
from edge.config.prompt import SharpenedConfig
from edge.control.answers import AnswerRoute
from edge.control.commands import command_of
from edge.delivery.embedding import decode_embedding
from edge.delivery.message import Message, Received
from edge.delivery.mqtt.dialer import connect
from edge.delivery.outbox import Outbox
from edge.delivery.topics import Topics
from edge.errors import ConfigError, ModelError, OutboxError, PublishError
from edge.model.bundle.golden import read_golden
from edge.model.bundle.onnx_file import check_self_contained
from edge.model.bundle.read import open_bundle
from edge.model.bundle.signature import parse_signature
from edge.search.index.format import read_codes
from edge.search.index.segment import open_segment
from edge.search.request import SearchRequest, position
from edge.system import redact
from edge.testing.protocol.rtsp import BadRequest, RequestParser
from export.checkpoints.weights import check_weights

DIM: Final = 8
CORPUS: Final = Path(__file__).parent / "corpus"
_RULE: Final = Rule(threshold=0.1)
_TOPICS: Final = Topics("edge", "box")
_ROUTE: Final = AnswerRoute(_TOPICS, HomeAssistantConfig())
_SHARPENED: Final = SharpenedConfig(threshold=0.1, hysteresis=0.01)
_COMMANDS: Final = (
    "edge/box/prompts/set", "edge/box/prompt/cat/threshold/set", "edge/box/prompt/cat/enabled/set",
    "edge/box/prompt/cat/text/set", "edge/box/prompt/cat/test/set", "edge/box/profile/set",
    "edge/box/feedback/set",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Target:
    """One reader of bytes.

    Attributes:
        read: Reads the bytes as the product does.
        expected: Errors that the reader's callers handle.
    """

    read: Callable[[bytes], object]
    expected: tuple[type[Exception], ...]


@contextmanager
def _file(data: bytes, name: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="fuzz") as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        yield path


def _config(data: bytes) -> None:
    redact._secrets.clear()  # each text registers its own
    with _file(data, "edge.yaml") as path:
        load_config(path, {})


def _edit(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    assert take(put(text, "cat", _SHARPENED), "cat") is not None


def _labels(data: bytes) -> None:
    with _file(data, "labels.json") as path:
        read_labels(path, path.parent)


def _command(data: bytes) -> None:
    """First byte: the topic; then MQTT 5 properties up to a NUL; then the payload."""
    response, _, payload = data[1:].partition(b"\0")
    received = Received(
        _COMMANDS[(data or b"\0")[0] % len(_COMMANDS)],
        payload,
        response=response.decode("utf-8", "replace") or None,
        correlation=response,
    )
    _ROUTE.message(received, b"", "edge-answer/1")
    command_of(_TOPICS, received)


def _search(data: bytes) -> None:
    with suppress(ValueError):  # pydantic's, which the desk answers
        request = SearchRequest.model_validate_json(data)
        position(request.cursor, 1e9)


def _peer(data: bytes) -> None:
    """The broker's side of a connection: what follows CONNECT is the fuzzer's."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            peer, _ = server.accept()
            with peer, suppress(OSError):
                peer.recv(4096)
                peer.sendall(data)

        thread = threading.Thread(target=answer)
        thread.start()
        config = MqttConfig(host="127.0.0.1", port=server.getsockname()[1], protocol="5")
        try:
            with connect(config, "fuzz", timeout_s=0.2) as connection:
                connection.poll(0.02)
                list(connection.received())
        finally:
            thread.join()


def _manifest(data: bytes) -> None:
    with tempfile.TemporaryDirectory(prefix="fuzz") as folder:
        path = Path(folder) / "bundle"
        shutil.copytree(_bundle(), path)
        (path / "manifest.json").write_bytes(data)
        open_bundle(path)


def _signature(data: bytes) -> None:
    parse_signature(data, Path("SIGNATURE"))


def _onnx(data: bytes) -> None:
    check_self_contained(data, "model.onnx")


def _golden(data: bytes) -> None:
    read_golden(data, "golden.npz", tiny_facts())


def _safetensors(data: bytes) -> None:
    with _file(data, "model.safetensors") as path:
        check_weights((path,))


def _rtsp(data: bytes) -> None:
    parser = RequestParser()
    for start in range(0, len(data), 64):
        list(parser.feed(data[start : start + 64]))


def _learned(data: bytes) -> None:
    AlarmTail.from_bytes(_RULE, data)


def _view(data: bytes) -> None:
    View.from_bytes(data)


def _outbox(data: bytes) -> None:
    """Triples of bytes: where in the file, and what is written there; an odd rest cuts the file."""
    whole = bytearray(_outbox_file())
    for high, low, value in zip(data[::3], data[1::3], data[2::3], strict=False):
        whole[(high << 8 | low) % len(whole)] = value
    if len(data) % 3:
        del whole[len(whole) * data[-1] // 256 :]
    with _file(bytes(whole), "outbox.db") as path:
        outbox = Outbox(path, 1 << 20)
        try:
            outbox.put([_message(99)])
            assert any(queued.message.topic == "edge/box/99" for queued in outbox.pending(1000))
            outbox.delete([queued.seq for queued in outbox.pending(1000)])
        finally:
            outbox.close()


def _codes(data: bytes) -> None:
    with _file(data, "codes") as path:
        read_codes(path, DIM)


def _rows(data: bytes) -> None:
    with _file(data, "rows") as path:
        segment = open_segment(path.parent, DIM)
        if segment is not None:
            assert len(segment.rows(slice(None))) == segment.extent.count


def _message(number: int) -> Message:
    topic = f"edge/box/{number}"
    return Message(topic, b"x" * 100, "alert", "yard", 1, retain=False, content_type="text/plain")


@cache
def _bundle() -> Path:
    path = Path(tempfile.mkdtemp(prefix="fuzz")) / "tiny"
    tiny_bundle(path)
    return path


@cache
def _outbox_file() -> bytes:
    with tempfile.TemporaryDirectory(prefix="fuzz") as folder:
        path = Path(folder) / "outbox.db"
        outbox = Outbox(path, 1 << 20)
        outbox.put([_message(number) for number in range(20)])
        outbox.close()
        with closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return path.read_bytes()


TARGETS: Final[Mapping[str, Target]] = {
    "config": Target(_config, (ConfigError,)),
    "edit": Target(_edit, (ConfigError,)),
    "labels": Target(_labels, (ConfigError,)),
    "command": Target(_command, (ConfigError,)),
    "search": Target(_search, (ConfigError,)),
    "embedding": Target(decode_embedding, (ValueError,)),
    "peer": Target(_peer, (PublishError,)),
    "manifest": Target(_manifest, (ModelError,)),
    "signature": Target(_signature, (ModelError,)),
    "onnx": Target(_onnx, (ModelError,)),
    "golden": Target(_golden, (ModelError,)),
    "safetensors": Target(_safetensors, (ModelError,)),
    "rtsp": Target(_rtsp, (BadRequest,)),
    "learned": Target(_learned, (ValueError,)),
    "view": Target(_view, (ValueError,)),
    "outbox": Target(_outbox, (OutboxError,)),
    "codes": Target(_codes, ()),
    "rows": Target(_rows, ()),
}


def fuzz_one(name: str, data: bytes) -> None:
    """Let a target read some bytes; anything but an expected error comes out."""
    target = TARGETS[name]
    with suppress(*target.expected):
        target.read(data)
