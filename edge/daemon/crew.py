"""Starts the daemon's workers, exchanges its cameras, and ends everything in order and in time."""

import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import Final

from edge.config.models import CameraConfig
from edge.resources import Resources
from edge.system import systemd
from edge.system.backoff import Backoff
from edge.system.ending import Stop
from edge.system.workers import WorkerGroup

logger = logging.getLogger(__name__)

# The daemon must end within 5 s of SIGTERM. Its own end takes at most these seconds from the signal
# on, and each step at most its share of what is left of them. ``edge.system.ending`` has the rest.
_END_S: Final = 3.0
_CAMERAS_STOP_S: Final = 1.0
_SAMPLES_S: Final = 1.5  # before the end, no further sample is begun
_SUPERVISOR_STOP_S: Final = 0.5  # it ends what is left of the cameras by force
_FILES_STOP_S: Final = 1.0  # index and side files
_PUBLISHER_STOP_S: Final = 2.0
# Left for the threads that compile sentences, when everything else has ended. They were asked
# before; what they leave undone is begun again at the next start.
_COMPILERS_STOP_S: Final = 0.5
_SUPERVISOR: Final = "cameras"
_COMPILERS: Final = ("rollout", "search", "engines")


def worker_of(camera: str) -> str:
    """Name of the worker of a camera."""
    return f"camera[{camera}]"


class Crew:
    """The workers of the daemon, from their start to the end.

    Args:
        resources: Opened resources.
        retry: Delays before a worker that has failed is started again.

    Attributes:
        workers: The group that watches them.
    """

    def __init__(self, resources: Resources, retry: Backoff) -> None:
        self._resources = resources
        self._cameras = resources.cameras
        self._ends_at = math.inf
        self.workers: Final = WorkerGroup(retry)

    def start(self, stop: Stop, ending: ExitStack, wind_up: Callable[[float], None]) -> None:
        """Start the workers, and put the steps of the end on ``ending``, which reverses them.

        Args:
            stop: Knows since when the daemon is asked to end.
            ending: Ends what is started here, also on an error.
            wind_up: Ends the loop's own work once the cameras have ended; it is called with the
                ``time.monotonic()`` from which on no further sample is begun.
        """
        opened = self._resources
        ending.callback(self._end, _COMPILERS, _COMPILERS_STOP_S)
        ending.callback(self._end, ["publisher"], _PUBLISHER_STOP_S, _COMPILERS_STOP_S)
        ending.callback(self._end, ["index", "keeper"], _FILES_STOP_S)
        ending.callback(self._end, [_SUPERVISOR], _SUPERVISOR_STOP_S)
        ending.callback(lambda: wind_up(self._ends_at - _SAMPLES_S))
        ending.callback(self._end_cameras)
        ending.callback(self.workers.ask, _COMPILERS)
        ending.callback(self._begin_end, stop)
        self.workers.start("rollout", opened.rollout, essential=False, pulse=opened.rollout.pulse)
        if opened.index is not None:
            self.workers.start("index", opened.index, essential=False, pulse=opened.index.pulse)
        if opened.desk is not None:
            self.workers.start("search", opened.desk, essential=False, pulse=opened.desk.pulse)
        if opened.build is not None:
            self.workers.start("engines", opened.build, essential=False)
        self.workers.start("keeper", opened.keeper, essential=False)
        self.workers.start(
            "publisher", opened.publisher, essential=True, pulse=opened.publisher.pulse
        )
        self.workers.start(
            _SUPERVISOR, opened.supervisor, essential=True, pulse=opened.supervisor.pulse
        )
        for name, camera in self._cameras.items():
            self.workers.start(worker_of(name), camera, essential=False)
        self._say_what_is_watched()

    def exchange(
        self, before: Mapping[str, CameraConfig], cameras: Mapping[str, CameraConfig]
    ) -> list[str]:
        """Go on with other cameras; none that stays as it was is touched.

        A camera that goes is asked to end, and not waited for.

        Returns:
            Names of the cameras that went, or that begin anew.
        """
        gone = [
            name
            for name in self._cameras
            if name not in cameras or not before[name].same_stream(cameras[name])
        ]
        for name in gone:
            self.workers.stop([worker_of(name)], 0.0)
            del self._cameras[name]
        for name, settings in cameras.items():
            if name not in self._cameras:
                self._cameras[name] = self._resources.open_camera(name, settings)
                self.workers.start(worker_of(name), self._cameras[name], essential=False)
        self._say_what_is_watched()
        return gone

    def _say_what_is_watched(self) -> None:
        logger.info("watching %s", ", ".join(self._cameras))

    def _begin_end(self, stop: Stop) -> None:
        systemd.notify("STOPPING=1")
        logger.info("stopping")
        since = time.monotonic() if stop.since is None else stop.since
        self._ends_at = since + _END_S

    def _end(self, names: Iterable[str], share_s: float, reserve_s: float = 0.0) -> None:
        """Stop workers within their share of the time that is left, less a reserve for others."""
        left_s = self._ends_at - time.monotonic() - reserve_s
        self.workers.stop(names, max(0.0, min(share_s, left_s)))

    def _end_cameras(self) -> None:
        self._end([worker_of(name) for name in self._cameras], _CAMERAS_STOP_S)
