"""Says how the daemon does: the states of cameras and device, its status, its health."""

import os
import time
from typing import Final

from edge import __version__
from edge.alerts.status import camera_state
from edge.control.announce.machine import engine_ref, power_ref
from edge.daemon.crew import Crew
from edge.daemon.defects import Defects
from edge.daemon.proof import ModelProof
from edge.delivery.device_state import DeviceStatePayload, device_state, device_state_message
from edge.delivery.payloads import Status, state_message
from edge.delivery.publisher_health import PublisherHealth
from edge.resources import Resources
from edge.system.health import DaemonHealth
from edge.video.sample import Arrival

_WELL: Final = {"streaming", "connecting", "ended"}


class Reports:
    """Publishes the states and the status, and answers `edge health`.

    Args:
        resources: Opened resources.
        crew: Knows which workers have failed.
        proof: What the model's last self-test has shown.
        defects: What costs samples now.
    """

    def __init__(
        self, resources: Resources, crew: Crew, proof: ModelProof, defects: Defects
    ) -> None:
        self._resources = resources
        self._publisher = resources.publisher
        self._workers = crew.workers
        self._proof = proof
        self._defects = defects
        self._status: Status = "online"
        self._began = time.monotonic()

    def publish(self, now: Arrival, disk_error: str | None) -> None:
        """Publish the state of every camera and of the device, and the status where it changes.

        Args:
            now: Time of the states.
            disk_error: Why messages could not be committed; None where they could.
        """
        opened, topics = self._resources, self._resources.topics
        health = self._publisher.health()
        errors = self._errors(health, disk_error)
        cameras: dict[str, str] = {}
        for name, camera in opened.cameras.items():
            seen = camera.health()
            cameras[name] = seen.state
            state = camera_state(topics.device, name, now, seen, opened.pipeline.status(name))
            self._publisher.publish_now(state_message(topics, state))
        delivery = device_state(
            topics.device, now.wall, opened.outbox, health, errors,
            engine_ref(opened.models, opened.build), power_ref(),
        )  # fmt: skip
        self._publisher.publish_now(device_state_message(topics, delivery))
        self._announce("degraded" if errors or set(cameras.values()) - _WELL else "online")
        if opened.health is not None:
            opened.health.answer(lambda: self._healthy(cameras, delivery))

    def _announce(self, status: Status) -> None:
        if status != self._status:
            self._status = status
            self._publisher.announce(status)

    def _healthy(self, cameras: dict[str, str], state: DeviceStatePayload) -> DaemonHealth:
        """Say whether the model is proven and the loop has the workers that it needs."""
        now, proven_at = time.monotonic(), self._proof.at
        problem = None
        if proven_at is None:
            why = self._proof.error or "engine null proves nothing"
            problem = f"the model is not proven: {why}"
        elif not self._workers.progressing:
            words = [f"an error has ended {name}" for name in self._workers.failed()]
            words += [f"{name} hangs" for name in self._workers.late()]
            problem = "; ".join(words)
        return DaemonHealth(
            healthy=problem is None,
            problem=problem,
            version=__version__,
            pid=os.getpid(),
            uptime_s=round(now - self._began, 1),
            model=self._resources.models.used,
            proven_s=None if proven_at is None else round(now - proven_at, 1),
            connected=self._publisher.connected,
            cameras=cameras,
            state=state.model_dump(mode="json"),
        )

    def _errors(self, publisher: PublisherHealth, disk_error: str | None) -> dict[str, str]:
        """Return what is wrong with the parts of the device, cameras apart, by name."""
        opened = self._resources
        errors = {
            "outbox": disk_error or opened.outbox.error,
            "model": self._proof.error,
            # Without a connection nobody receives a status; when it returns the outage is over.
            "publisher": publisher.error if self._publisher.connected else None,
            "config": opened.rollout.file_error,
            "index": None if opened.index is None else opened.index.health().error,
        }
        failed = dict.fromkeys(self._workers.late(), "it hangs: see the log")
        failed |= dict.fromkeys(self._workers.failed(), "an error has ended it: see the log")
        found = {name: error for name, error in errors.items() if error is not None}
        set_aside = opened.pipeline.rules.set_aside
        found |= {f"prompt {name}": why for name, why in set_aside.items()}
        return found | self._defects.found | opened.keeper.errors() | failed
