"""Writes what happened as messages: alerts with pictures and boxes, and embeddings."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge.alerts.events import new_ulid
from edge.alerts.watch import Happening, WatchedRule
from edge.config.models import Config
from edge.delivery.embedding import Embedding
from edge.delivery.message import Message
from edge.delivery.payloads import (
    AlertPayload,
    BoxRef,
    ModelRef,
    PromptRef,
    VisitRef,
    alert_message,
    embedding_message,
    snapshot_message,
    utc,
)
from edge.delivery.topics import Topics
from edge.system.clock import clock_synced
from edge.video.sample import Arrival, Sample


@dataclass(frozen=True, slots=True, eq=False)
class StartedAlert:
    """An alert that has started, with what feedback on it can teach.

    Attributes:
        alert: Id of the alert.
        camera: Name of the camera.
        rule: Name of the rule.
        sentences: Sentences of the rule at that time.
        levels: Distance of the margin above the ordinary margin, by regime.
        at: When it started, in seconds since the epoch; None where that is not known.
        embedding: float32 [D] of the sample that started it; None where the model has none.
        correct: Feedback so far: right or not; None where there is none.
    """

    alert: str
    camera: str
    rule: str
    sentences: tuple[str, ...]
    levels: Mapping[str, float]
    at: float | None
    embedding: NDArray[np.float32] | None
    correct: bool | None = None


# (camera, sequence) -> JPEG, or None when the frame is gone.
SnapshotOf = Callable[[str, int], bytes | None]


def no_snapshots(_camera: str, _sequence: int) -> bytes | None:
    """Give no picture."""
    return None


def nobody(_alert: StartedAlert) -> None:
    """Ignore the alert."""


class Recorder(Protocol):
    """Keeps what cameras see, for the search. Called on the loop's thread; returns at once."""

    def sample(self, sample: Sample, embedding: NDArray[np.float32]) -> None:
        """Keep a sample and its embedding, float32 [D]."""
        ...

    def alert(self, camera: str, at: float, jpeg: bytes) -> None:
        """Keep the picture of an alert at ``at``, in UTC seconds."""
        ...


class Reporter:
    """Makes messages; passes samples and alerts on to the recorder and to ``on_start``.

    It passes them on when it is asked to, because nothing may stand between a sample and the commit
    of its alert.

    Args:
        config: Settings that say what is published.
        model: Model that computes the scores, as payloads name it.
        snapshot_of: Gives the picture of an alert.
        recorder: Keeps samples for the search; None keeps nothing.
        on_start: Called with each alert that starts.
    """

    def __init__(
        self,
        config: Config,
        model: ModelRef,
        snapshot_of: SnapshotOf,
        recorder: Recorder | None,
        on_start: Callable[[StartedAlert], None],
    ) -> None:
        self._model = model
        self._snapshot_of = snapshot_of
        self._recorder = recorder
        self._on_start = on_start
        self._snapshots = config.snapshots.publish
        self._embeddings = config.embeddings
        self._device = config.device.id
        self._topics = Topics(config.mqtt.topic_prefix, config.device.id)
        self._afterwards: list[Callable[[], None]] = []
        self._embedded_at: dict[str, float] = {}  # monotonic, of the embedding last published

    def sample(
        self,
        sample: Sample,
        happenings: Sequence[Happening],
        embedding: NDArray[np.float32] | None,
        *,
        alerting: bool,
    ) -> list[Message]:
        """Messages of one sample, in order.

        Args:
            sample: The sample.
            happenings: Transitions of alerts that the sample caused.
            embedding: float32 [D]; None where the model has none.
            alerting: Whether an alert runs on its camera.
        """
        messages = self.alerts(sample.camera, happenings, sample.sequence)
        for happening in happenings:
            start = happening.transition
            if start.type == "start":
                started = StartedAlert(
                    alert=start.id,
                    camera=sample.camera,
                    rule=happening.prompt,
                    sentences=happening.sentences,
                    levels=happening.levels,
                    at=sample.arrival.wall,
                    embedding=embedding,
                )
                self._afterwards.append(partial(self._on_start, started))
        if embedding is not None:
            messages += self._embedding(sample, embedding, alerting=alerting)
            if self._recorder is not None:
                self._afterwards.append(partial(self._recorder.sample, sample, embedding))
        return messages

    def pass_on(self) -> None:
        """Pass on what came since the last time. Its messages are committed."""
        afterwards, self._afterwards = self._afterwards, []
        for pass_on in afterwards:
            pass_on()

    def alerts(
        self, camera: str, happenings: Sequence[Happening], sequence: int | None = None
    ) -> list[Message]:
        """Alert messages; with the sequence of a sample, a start has its picture."""
        messages: list[Message] = []
        for happening in happenings:
            transition = happening.transition
            jpeg = None
            if self._snapshots and transition.type == "start" and sequence is not None:
                jpeg = self._snapshot_of(camera, sequence)
            payload = AlertPayload(
                id=transition.id,
                type=transition.type,
                device=self._device,
                camera=camera,
                prompt=PromptRef(id=happening.prompt, text=happening.sentence),
                score=transition.score,
                margin=transition.margin,
                threshold=happening.calibration.threshold,
                calibration=happening.calibration.state,
                false_alarms_per_day=happening.calibration.asked,
                probability=happening.chance,
                visit=_visit(happening),
                started_at=utc(transition.started_at),
                at=utc(transition.at),
                ended_at=None if transition.ended_at is None else utc(transition.ended_at),
                snapshot=self._topics.snapshot(camera, transition.id) if jpeg else None,
                boxes=_boxes(happening),
                clock_synced=clock_synced(),
                model=self._model,
            )
            messages.append(alert_message(self._topics, payload))
            if jpeg:
                messages.append(snapshot_message(self._topics, camera, transition.id, jpeg))
                if self._recorder is not None:
                    keep = partial(self._recorder.alert, camera, transition.at, jpeg)
                    self._afterwards.append(keep)
        return messages

    def tested(self, camera: str, name: str, rule: WatchedRule, now: Arrival) -> list[Message]:
        """Start and end of a test alert, by which somebody tries the rule."""
        report = rule.calibration.report()
        start = AlertPayload(
            id=new_ulid(now.wall),
            type="start",
            device=self._device,
            camera=camera,
            prompt=PromptRef(id=name, text=rule.plan.text),
            score=0.0,
            margin=rule.margin or 0.0,
            threshold=report.threshold,
            calibration=report.state,
            false_alarms_per_day=report.asked,
            started_at=utc(now.wall),
            at=utc(now.wall),
            test=True,
            clock_synced=clock_synced(),
            model=self._model,
        )
        end = start.model_copy(update={"type": "end", "ended_at": start.at})
        return [alert_message(self._topics, payload) for payload in (start, end)]

    def _embedding(
        self, sample: Sample, vector: NDArray[np.float32], *, alerting: bool
    ) -> list[Message]:
        wanted, now = self._embeddings.publish, sample.arrival.monotonic
        if wanted == "off" or (wanted == "alerts" and not alerting):
            return []
        if now - self._embedded_at.get(sample.camera, float("-inf")) < self._embeddings.every:
            return []
        self._embedded_at[sample.camera] = now
        embedding = Embedding(
            device=self._device,
            camera=sample.camera,
            model=self._model.hash,
            vector=vector,
            pts=sample.arrival.pts_s,
            at=sample.arrival.wall,
            sequence=sample.sequence,
            reason="alert" if alerting else "interval",
        )
        return [embedding_message(self._topics, embedding)]


def _visit(happening: Happening) -> VisitRef | None:
    visit = happening.visit
    return None if visit is None else VisitRef(id=visit.id, number=visit.number)


def _boxes(happening: Happening) -> tuple[BoxRef, ...] | None:
    """Return the boxes of the second look; None where nothing looked for boxes."""
    if happening.finding is None or happening.finding.boxes is None:
        return None
    return tuple(
        BoxRef(phrase=box.phrase, score=box.score, box=box.box) for box in happening.finding.boxes
    )
