"""Checks that each camera answers and that its stream fits its settings."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping

from edge.cli.checks.result import CheckResult, failure
from edge.config.models import CameraConfig
from edge.errors import EdgeError, SourceError
from edge.video.probe import VideoProperties, advice, longest_s, look_at

Look = Callable[[CameraConfig], VideoProperties]


def check_cameras(
    cameras: Mapping[str, CameraConfig],
    look: Look = look_at,
    patience_of: Callable[[CameraConfig], float] = longest_s,
) -> Iterator[CheckResult]:
    """Check all cameras in parallel; each takes as long as ``patience_of`` says.

    Args:
        cameras: Cameras by name.
        look: Opens a camera and examines its video; raises ``EdgeError`` where it cannot.
        patience_of: Seconds that ``look`` takes at most.
    """
    found: dict[str, CheckResult] = {}

    def check(name: str) -> None:
        found[name] = check_camera(name, cameras[name], look)

    # Daemon threads, so that a hanging resolver cannot keep the command from ending.
    threads = {name: threading.Thread(target=check, args=(name,), daemon=True) for name in cameras}
    began = time.monotonic()
    for thread in threads.values():
        thread.start()
    for name, thread in threads.items():
        patience_s = patience_of(cameras[name])
        thread.join(max(0.0, began + patience_s - time.monotonic()))
        late = SourceError(f"no answer within {patience_s:g} s; check its address and the network")
        yield found.get(name) or failure(f"camera {name}", late)


def check_camera(name: str, camera: CameraConfig, look: Look = look_at) -> CheckResult:
    """Open a camera, decode its first frame, and describe its stream."""
    try:
        video = look(camera)
    except EdgeError as exc:
        return failure(f"camera {name}", exc)
    except Exception as exc:  # noqa: BLE001  as in the daemon, it costs this camera alone
        unexpected = SourceError(f"{type(exc).__name__}: {exc}; please report this")
        return failure(f"camera {name}", unexpected)
    return CheckResult(f"camera {name}", str(video), advice(video, camera))
