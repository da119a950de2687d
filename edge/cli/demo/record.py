"""Records what the demo receives over MQTT: keeps it for the summary and writes it to files."""

import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from edge.config.starter import rule_names
from edge.delivery.device_state import DeviceStatePayload
from edge.delivery.embedding import Embedding, decode_embedding
from edge.delivery.message import Received
from edge.delivery.payloads import AlertPayload, Payload, PromptsStatePayload, StatePayload
from edge.rules.bank import PromptBank
from edge.scoring.margins import margins
from edge.system.redact import redact

# What the device says of itself, by the first level of its topic: name and record.
_OF_THE_DEVICE: Final[Mapping[str, tuple[str, type[Payload]]]] = {
    "state": ("device state", DeviceStatePayload),
    "prompts": ("rules", PromptsStatePayload),
}


@dataclass(slots=True)
class SeenAlert:
    """One alert since its ``start``.

    Attributes:
        newest: Latest payload of the alert.
        received: Arrival of the alert's start, monotonic seconds.
        snapshot: File of the alert's picture, once it has arrived.
    """

    newest: AlertPayload
    received: float
    snapshot: Path | None = None


class Record:
    """Record of every message of the device; use it as a context manager.

    Args:
        out: Folder for ``transcript.jsonl`` and ``snapshots/``.
        prefix: Beginning of all topics of the device, ``edge/demo``.
        bank: Prompts to score the embeddings with, as a consumer in the cloud does with a new
            sentence and last night's embeddings.

    Attributes:
        alerts: Alerts by id, in order of arrival.
        first_sample: Arrival of the first embedding, monotonic seconds, or None.
        times: Times of the samples, seconds since the first.
        margins: Margins by prompt, one for each of ``times``.
        state: Newest state of the camera.
        status: Newest status of the device.
        kinds: Number of messages of each kind.
    """

    def __init__(self, out: Path, prefix: str, bank: PromptBank) -> None:
        self._out = out
        self._prefix = prefix
        self._bank = bank
        self._began = 0.0
        self._transcript = (out / "transcript.jsonl").open("w", encoding="utf-8")
        self.alerts: dict[str, SeenAlert] = {}
        self.first_sample: float | None = None
        self.times: list[float] = []
        self.margins: dict[str, list[float]] = {name: [] for name in bank.names}
        self.state: StatePayload | None = None
        self.status = ""
        self.kinds: Counter[str] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._transcript.close()

    def take(self, received: Received) -> AlertPayload | None:
        """Keep one message; return its payload if it is an alert."""
        try:
            kind, content = self._keep(received.topic, received.payload)
        except ValueError as exc:  # any process on this machine may publish here
            kind, content = "unknown", f"not understood: {exc}"
        self.kinds[kind] += 1
        line = {
            "received": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "topic": received.topic,
            "retained": received.retain,
            "payload": content,
        }
        self._transcript.write(redact(json.dumps(line, ensure_ascii=False)) + "\n")
        return self.alerts[content["id"]].newest if kind == "alert" else None

    def _keep(self, topic: str, payload: bytes) -> tuple[str, Any]:
        """Store the message; return its kind and its entry in the transcript."""
        match topic.removeprefix(f"{self._prefix}/").split("/"):
            case ["status"]:
                self.status = payload.decode()
                return "status", self.status
            case ["state"] | ["prompts", "state"] as words:
                kind, model = _OF_THE_DEVICE[words[0]]
                model.model_validate_json(payload)
                return kind, json.loads(payload)
            case [_, "state"]:
                self.state = StatePayload.model_validate_json(payload)
                return "state", json.loads(payload)
            case [_, "alert"]:
                alert = AlertPayload.model_validate_json(payload)
                self.alerts.setdefault(alert.id, SeenAlert(alert, time.monotonic())).newest = alert
                return "alert", json.loads(payload)
            case [_, "snapshot", alert_id]:
                self._save(alert_id, payload)
                return "snapshot", f"JPEG, {len(payload)} bytes"
            case [_, "embedding"]:
                embedding = decode_embedding(payload)
                self._score(embedding)
                return "embedding", (
                    f"CBOR, {len(payload)} bytes: {embedding.vector.size} dimensions of int8, "
                    f"sample {embedding.sequence}, {embedding.reason}"
                )
        raise ValueError(f"no topic of docs/mqtt.md, {len(payload)} bytes")

    def _score(self, embedding: Embedding) -> None:
        if self.first_sample is None:
            self.first_sample, self._began = time.monotonic(), embedding.at
        self.times.append(embedding.at - self._began)
        row = margins(self._bank, embedding.vector @ self._bank.rows.T).margin
        for column, margin in zip(self.margins.values(), row, strict=True):
            column.append(float(margin))

    def _save(self, alert_id: str, jpeg: bytes) -> None:
        """Save the picture of a known alert, whose start arrives first; ignore other pictures."""
        if seen := self.alerts.get(alert_id):
            number = list(self.alerts).index(alert_id) + 1
            (name,) = rule_names([seen.newest.prompt.id])
            seen.snapshot = self._out / "snapshots" / f"{number:02}-{name}.jpg"
            seen.snapshot.write_bytes(jpeg)
