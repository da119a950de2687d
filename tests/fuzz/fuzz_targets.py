"""What is fuzzed: each target reads hostile bytes as the product does, and may fail in its own words only.

A target is data: a function of bytes, and the errors that its callers expect. Any other exception is
a finding, and so are a call of more than a second and a process that grows by more than 200 MB
(``run.py``).
"""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import fuzz_cameras
import fuzz_configs
import fuzz_files
import fuzz_index
import fuzz_messages
import fuzz_models
from fuzz_target import Target

CORPUS: Final = Path(__file__).parent / "corpus"
TARGETS: Final[Mapping[str, Target]] = {
    name: target
    for group in (fuzz_configs, fuzz_messages, fuzz_files, fuzz_index, fuzz_models, fuzz_cameras)
    for name, target in group.TARGETS.items()
}


def fuzz_one(name: str, data: bytes) -> None:
    """Let a target read some bytes; anything but an expected error comes out."""
    target = TARGETS[name]
    with suppress(*target.expected):
        target.read(data)
