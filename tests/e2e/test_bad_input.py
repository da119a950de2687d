"""What the daemon makes of video that few cameras send: the rows of docs/config.md.

One daemon watches all of it at once, so that a row which harms another one is seen too.
"""

import io
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from odd_video import FORMS, at_times, bomb, encode
from PIL import Image
from running_box import Box

from edge.testing import Clip, TestCamera
from edge.testing.faults import Clock
from edge.testing.synthetic import write_clip

FPS: Final = 2.0
CLOCKS: Final[dict[str, Clock]] = {
    "times stop": "zero",
    "times jump": "random",
    "times run backwards": "backwards",
}
NO_VIDEO: Final = "no video"
NO_KEYFRAME: Final = "in the middle of a GOP of 5 minutes"
TURNS_LARGE: Final = "640x360, then 8192x8192"
REFUSED: Final = {
    NO_VIDEO: "is not a video or picture that FFmpeg can read",
    NO_KEYFRAME: "no decodable frame (no keyframe came): ask the camera for H.264 or H.265 with a"
    " keyframe every 2 s",
}
# What is given up after one timeout or four is given up sooner.
TIMEOUTS: Final = {TURNS_LARGE: "2s", NO_KEYFRAME: "1s"}
MOST_MB: Final = 64


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("videos")
    made = {
        name: encode(folder / f"{index}.{'avi' if form[0] == 'mjpeg' else 'mp4'}", *form)
        for index, (name, form) in enumerate(FORMS.items())
    }
    small = partial(write_clip, width=64, height=48)
    made[TURNS_LARGE] = write_clip(folder / "360.mp4", width=640, height=360, seconds=1)
    made["bomb"] = bomb(folder / "bomb.mp4")
    made["1 fps"] = small(folder / "slow.mp4", fps=1, seconds=4, gop=1)
    made["120 fps"] = small(folder / "fast.mp4", fps=120, gop=120)
    made["long"] = small(folder / "long.mp4", fps=25, gop=7500, seconds=300)
    made[NO_VIDEO] = folder / "none.mp4"
    made[NO_VIDEO].write_bytes(b"not a video\n" * 1000)
    return made


@pytest.fixture
def cameras(videos: dict[str, Path]) -> Iterator[dict[str, TestCamera]]:
    """A camera for each stream; files are played by the daemon itself."""
    long = Clip.read(videos["long"])
    shown = {
        "1 fps": Clip.read(videos["1 fps"]),
        "120 fps": Clip.read(videos["120 fps"]),
        "variable rate": at_times(long, [0.01, 0.02, 0.4, 0.05, 0.2]),
        "GOP of 5 minutes": long,
        NO_KEYFRAME: long,
        TURNS_LARGE: Clip.read(videos[TURNS_LARGE]),
    } | dict.fromkeys(CLOCKS, Clip.read(videos[TURNS_LARGE]))
    with ExitStack() as stack:
        made = {
            name: stack.enter_context(TestCamera({"view": clip})) for name, clip in shown.items()
        }
        for name, clock in CLOCKS.items():
            made[name].faults.clock = clock
        made[NO_KEYFRAME].faults.no_keyframe = True
        yield made


def key(name: str) -> str:
    """Name of a camera in the configuration."""
    return re.sub(r"\W", "_", name)


def outcome(state: dict[str, Any]) -> str:
    """State of a camera with its words; ``well`` where it gives samples and nothing is wrong."""
    if state.get("state") == "streaming" and state["samples"] >= FPS * 2:
        return "well"
    return f"{state.get('state')}: {state.get('error')}"


def processes(first: int) -> dict[int, str]:
    """A process and all that come from it, with what the kernel says of each."""
    found = {first: Path(f"/proc/{first}/status").read_text()}
    for of_thread in Path(f"/proc/{first}/task").glob("*/children"):
        with suppress(FileNotFoundError):  # one has just ended
            for child in of_thread.read_text().split():
                found |= processes(int(child))
    return found


def most_mb(first: int) -> float:
    """Memory of the largest of these processes at its most, MB."""
    peaks = (re.search(r"VmHWM:\s+(\d+) kB", status) for status in processes(first).values())
    return max(int(peak[1]) for peak in peaks if peak is not None) / 1000


def outside_the_sandbox(first: int) -> list[int]:
    """Processes of cameras that may have new privileges, make any system call or write files."""
    cameras = {
        process: status
        for process, status in processes(first).items()
        if "Name:\tedge-camera" in status
    }
    assert cameras
    return [
        process
        for process, status in cameras.items()
        if "NoNewPrivs:\t1" not in status
        or "Seccomp:\t2" not in status
        or not re.search(r"Max file size +0 +0 ", Path(f"/proc/{process}/limits").read_text())
    ]


@pytest.mark.slow
def test_video_that_few_cameras_send_has_its_outcome_and_harms_no_other(
    box: Box, videos: dict[str, Path], cameras: dict[str, TestCamera]
) -> None:
    urls = {name: camera.url("view") for name, camera in cameras.items()}
    urls |= {name: str(videos[name]) for name in [*FORMS, NO_VIDEO]}
    box.start(
        cameras={
            key(name): {"url": url, "sample": {"fps": FPS}, "loop": name in FORMS}
            | {"timeout": TIMEOUTS.get(name, "8s")}
            for name, url in urls.items()
        }
    )

    def state(name: str) -> dict[str, Any]:
        return json.loads(box.last(f"{key(name)}/state") or b"{}")

    def outcomes() -> dict[str, str]:
        time.sleep(0.2)  # the cameras are in this process, and many
        return {name: outcome(state(name)) for name in urls if name not in REFUSED}

    well = dict.fromkeys((name for name in urls if name not in REFUSED), "well")
    box.eventually(lambda: outcomes() == well, "samples of all that can be watched", 100)
    for name, words in REFUSED.items():
        box.eventually(partial(refused, state, name, words), f"words for {name}", 40)

    daemon = box.daemon.process.pid
    # One may have begun just now.
    box.eventually(lambda: outside_the_sandbox(daemon) == [], "all processes in the sandbox", 30)
    before_mb = most_mb(daemon)
    turning, small = cameras[TURNS_LARGE], Clip.read(videos[TURNS_LARGE])
    turning.show("view", Clip.read(videos["bomb"]))
    box.eventually(
        lambda: refused(state, TURNS_LARGE, "8192x8192 are too large"), "words for the bomb", 30
    )
    assert most_mb(daemon) < before_mb + MOST_MB
    turning.show("view", small)
    box.eventually(lambda: outcomes() == well, "all of them again", 40)
    assert state(TURNS_LARGE)["reconnects"] == 1
    assert {name: state(name)["reconnects"] for name in well if name != TURNS_LARGE} == (
        dict.fromkeys((name for name in well if name != TURNS_LARGE), 0)
    )
    pictures = {
        one.topic.split("/")[2]: Image.open(io.BytesIO(one.payload)).size
        for one in box.listener.heard
        if "/snapshot/" in one.topic
    }
    assert set(pictures) == {key(name) for name in well}
    for name, (_, _, width, height) in FORMS.items():
        assert pictures[key(name)] == (width, height)


def refused(state: Callable[[str], dict[str, Any]], name: str, words: str) -> bool:
    """Whether a camera gives nothing, and says why."""
    now = state(name)
    return now.get("state") == "retrying" and words in str(now.get("error"))
