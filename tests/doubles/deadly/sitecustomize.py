"""A double of native libraries that crash, for a daemon that has this folder in its PYTHONPATH.

The process ends by SIGKILL, as by the kernel that is out of memory, over a sentence or the URL of a
camera that has one of the words of ``EDGE_DEADLY`` in it.
"""

import os
import signal
from typing import Any

from edge.rules.text import TextEncoder
from edge.video import camera


def crash_over(what: object) -> None:
    if any(word in str(what) for word in os.environ["EDGE_DEADLY"].split()):
        os.kill(os.getpid(), signal.SIGKILL)


encode, open_source = TextEncoder.encode, vars(camera)["open_source"]


def deadly_encode(self: TextEncoder, texts: Any) -> Any:
    crash_over(texts)
    return encode(self, texts)


def deadly_open(url: str, *words: Any) -> Any:
    crash_over(url)
    return open_source(url, *words)


TextEncoder.encode = deadly_encode  # type: ignore[method-assign]
vars(camera)["open_source"] = deadly_open
