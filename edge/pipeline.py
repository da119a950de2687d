"""Samples to messages: score, weigh, decide, report. Everything between cameras and the outbox."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.clock import clock_synced
from edge.config.models import Config
from edge.embedding import Embedding
from edge.events import Rule
from edge.frame import Arrival, Sample
from edge.manifest import Decision
from edge.payloads import (
    AlertPayload,
    Message,
    ModelRef,
    PromptRef,
    Topics,
    alert_message,
    embedding_message,
    snapshot_message,
    utc,
)
from edge.prompts import PromptBank
from edge.scorers.base import Scored, Scorer
from edge.scores import Scores, margins
from edge.watch import Happening, Watch

# (camera, sequence) -> JPEG, or None when the frame is gone.
SnapshotOf = Callable[[str, int], bytes | None]


def no_snapshots(_camera: str, _sequence: int) -> bytes | None:
    """A ``SnapshotOf`` that has none."""
    return None


@dataclass(slots=True)
class _Camera:
    watch: Watch
    embedded_at: float = float("-inf")  # monotonic time of the embedding last published
    lag_s: float | None = None


class Pipeline:
    """The state of every camera between its samples and its messages. One thread uses it.

    Args:
        config: Cameras, rules, what to publish.
        model: What computes the scores, for the payloads.
        decision: Defaults of rules that set none, from the bundle.
        scorer: Samples to cosines.
        bank: Compiled prompts. Replace it by assigning to ``bank``: one reference, so no frame is
            scored against half of it.
        snapshot_of: Where an alert's picture comes from.
    """

    def __init__(
        self,
        config: Config,
        model: ModelRef,
        decision: Decision,
        scorer: Scorer,
        bank: PromptBank,
        snapshot_of: SnapshotOf = no_snapshots,
    ) -> None:
        self.bank = bank
        self._model = model
        self._scorer = scorer
        self._snapshot_of = snapshot_of
        self._snapshots = config.snapshots.publish
        self._embeddings = config.embeddings
        self._device = config.device.id
        self._topics = Topics(config.mqtt.topic_prefix, config.device.id)
        self._cameras = {}
        for name, camera in config.cameras.items():
            prompts = config.prompts if camera.prompts is None else camera.prompts
            rules = {
                prompt: Rule.of(config.prompts[prompt], decision, camera.sample.fps)
                for prompt in prompts
            }
            self._cameras[name] = _Camera(Watch(rules))

    def process(self, samples: Sequence[Sample]) -> list[Message]:
        """Take at most one sample of each camera.

        The four steps are public so that ``edge-bench`` can time each.

        Returns:
            What is to be published, in order.

        Raises:
            InferenceError: The engine failed; the samples are lost.
        """
        bank = self.bank
        told = [
            (sample, scored)
            for sample, scored in zip(samples, self.score(bank, samples), strict=True)
            if scored is not None
        ]
        if not told:
            return []
        samples, answers = [sample for sample, _ in told], [scored for _, scored in told]
        happenings = self.decide(bank, samples, answers, self.weigh(bank, answers))
        return self.report(samples, answers, happenings)

    def score(self, bank: PromptBank, samples: Sequence[Sample]) -> list[Scored | None]:
        """Bring N samples through the model, as ``Scorer.score``.

        Raises:
            InferenceError: The engine failed; the samples are lost.
        """
        return self._scorer.score(bank, samples)

    def weigh(self, bank: PromptBank, answers: Sequence[Scored]) -> Scores:
        """Cosines and margins of every prompt, [N, P]."""
        return margins(bank, np.stack([scored.cosines for scored in answers]))

    def decide(
        self,
        bank: PromptBank,
        samples: Sequence[Sample],
        answers: Sequence[Scored],
        scores: Scores,
    ) -> list[list[Happening]]:
        """Step each camera's rules; what happened, for each sample."""
        return [
            self._cameras[sample.camera].watch.step(
                bank, answers[row].cosines, scores.cosine[row], scores.margin[row], sample.arrival
            )
            for row, sample in enumerate(samples)
        ]

    def report(
        self,
        samples: Sequence[Sample],
        answers: Sequence[Scored],
        happenings: Sequence[list[Happening]],
    ) -> list[Message]:
        """Put what happened, and the embeddings that are wanted, into messages."""
        messages = []
        for row, sample in enumerate(samples):
            camera = self._cameras[sample.camera]
            messages += self._alerts(sample.camera, happenings[row], sample.sequence)
            messages += self._embedding(camera, sample, answers[row].embedding)
            camera.lag_s = time.monotonic() - sample.arrival.monotonic
        return messages

    def lost(self, now: Arrival) -> list[Message]:
        """End the alerts of cameras that gave nothing for long."""
        return [
            message
            for name, camera in self._cameras.items()
            for message in self._alerts(name, camera.watch.lost(now))
        ]

    def finish(self, now: Arrival) -> list[Message]:
        """End all alerts: the daemon stops watching."""
        return [
            message
            for name, camera in self._cameras.items()
            for message in self._alerts(name, camera.watch.finish(now))
        ]

    def margins_of(self, camera: str) -> dict[str, float]:
        """Margins of the camera's newest sample, by prompt."""
        return self._cameras[camera].watch.margins

    def lag_of(self, camera: str) -> float | None:
        """Seconds from arrival to decision of the camera's newest sample."""
        return self._cameras[camera].lag_s

    def _alerts(
        self, camera: str, happenings: list[Happening], sequence: int | None = None
    ) -> list[Message]:
        messages = []
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
                threshold=happening.threshold,
                started_at=utc(transition.started_at),
                at=utc(transition.at),
                ended_at=None if transition.ended_at is None else utc(transition.ended_at),
                snapshot=self._topics.snapshot(camera, transition.id) if jpeg else None,
                clock_synced=clock_synced(),
                model=self._model,
            )
            messages.append(alert_message(self._topics, payload))
            if jpeg:
                messages.append(snapshot_message(self._topics, camera, transition.id, jpeg))
        return messages

    def _embedding(
        self, camera: _Camera, sample: Sample, vector: NDArray[np.float32] | None
    ) -> list[Message]:
        alerting = camera.watch.alerting
        wanted = self._embeddings.publish
        now = sample.arrival.monotonic
        if vector is None or wanted == "off" or (wanted == "alerts" and not alerting):
            return []
        if now - camera.embedded_at < self._embeddings.every:
            return []
        camera.embedded_at = now
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
