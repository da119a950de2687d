"""What a camera's process logs, whatever name it gives."""

import logging

import pytest

from edge.video.process.logged import write
from edge.video.process.records import Logged


def test_names_that_nobody_has_leave_no_logger(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "edge")
    for name in ("edge.a_stranger", "edge.video.a_stranger", "edge.video.camera"):
        write(Logged(level=40, name=name, text="said"), "yard")
    assert [one.name for one in caplog.records] == ["edge.video", "edge.video", "edge.video.camera"]
    assert not [name for name in logging.root.manager.loggerDict if "stranger" in name]
