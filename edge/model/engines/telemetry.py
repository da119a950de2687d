"""Keeps the runtimes from reporting their use: a camera box reports to nobody but its owner.

Both runtimes report over the internet by default, and leave an identifier of the machine in the
home directory. Both read their switch when they are first imported, so this must run before.
"""

import os
import sys


def forbid_telemetry() -> None:
    """Keep onnxruntime and openvino, not yet imported, from reporting anything."""
    # onnxruntime 1.31, Privacy.md: keeps uploader, events and device identifier from being made.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    # openvino 2026.4 has no switch, and reports its import (openvino/tools/ovc/__init__.py) unless
    # its telemetry package is missing. None makes it look so.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
