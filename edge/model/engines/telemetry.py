"""Prevents the runtimes from reporting their use: a camera box reports to its owner only.

Both runtimes report over the internet by default, and write an identifier of the machine to the
home directory. They read their switch when they are first imported, so this must run earlier.
"""

import os
import sys


def forbid_telemetry() -> None:
    """Prevent reports of onnxruntime and openvino; call it before they are imported."""
    # onnxruntime 1.31, Privacy.md: no uploader, events or device identifier are created.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    # openvino 2026.4 has no switch, and reports its import (openvino/tools/ovc/__init__.py) unless
    # its telemetry package is missing. The entry None makes the package appear to be missing.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
