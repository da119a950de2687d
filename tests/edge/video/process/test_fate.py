"""When a camera's process has gone wrong."""

from random import Random

import pytest

from edge.config.models import CameraConfig
from edge.video.hardware import Decode
from edge.video.process.fate import Fate
from edge.video.process.limits import LIMITS
from edge.video.worker import Step


@pytest.mark.parametrize(
    ("decode", "step", "silent_s", "is_wrong"),
    [
        ("auto", "begin", 29.0, False),  # sixteen cameras open one device
        ("nvdec", "begin", 29.0, False),
        ("auto", "begin", 31.0, True),
        ("auto", "read", 5.0, True),  # it has its device
        ("cpu", "begin", 5.0, True),  # there is nothing to open
        ("cpu", "begin", 3.0, False),
    ],
)
def test_who_opens_a_device_may_be_silent_at_its_beginning(
    decode: Decode, step: Step, silent_s: float, *, is_wrong: bool
) -> None:
    config = CameraConfig.model_validate({"url": "rtsp://127.0.0.1/none", "decode": decode})
    fate = Fate(config, live=True, limits=LIMITS, rng=Random(1))
    wrong = fate.wrong(step, silent_s, silent_s, 0, 0)
    assert (wrong is not None) is is_wrong, wrong
