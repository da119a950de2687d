"""Provides a camera for tests: an RTSP server in the process that plays clips and fails on command.

It is part of the runtime, so that users' tests, the demo and the benches use the same camera as the
project's own tests::

    from edge.testing import TestCamera

    with TestCamera({"street": "street.mp4"}, user="viewer", password="secret") as camera:
        watch(camera.url("street"))  # rtsp://viewer:secret@127.0.0.1:41237/street
        camera.faults.stall = True   # the picture freezes, the connection stays
        camera.drop()                # every client is disconnected
        camera.power_off()           # connection refused, until power_on()

The camera demuxes and never encodes, so it costs about as much CPU as copying its bit rate. RTP is
interleaved in the RTSP connection (TCP only: FFmpeg needs ``rtsp_transport=tcp``). From a shell:
``python -m edge.testing CLIP...``. ``edge.testing.synthetic.write_clip`` makes small clips. The
guide is docs/testing.md.
"""

from edge.testing.camera import TestCamera
from edge.testing.clip import AccessUnit, Clip
from edge.testing.faults import Faults
from edge.testing.habits import Habits, Login

__all__ = ["AccessUnit", "Clip", "Faults", "Habits", "Login", "TestCamera"]
