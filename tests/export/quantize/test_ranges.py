"""Ranges over calibration samples: measured with one sample in memory."""

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from export.quantize.ranges import measure_ranges


class Lazy(Sequence[Any]):
    """Samples that are made when asked for, and how many of them were alive at once."""

    def __init__(self, frames: NDArray[np.int8]) -> None:
        self.frames, self.alive, self.most = frames, 0, 0

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: Any) -> Any:
        class Frame(np.ndarray):
            pass

        value = self.frames[index][None].copy().view(Frame)
        self.alive += 1
        self.most = max(self.most, self.alive)
        weakref.finalize(value, self._gone)
        return {"pixels": value}

    def _gone(self) -> None:
        self.alive -= 1


def test_one_sample_is_in_memory_at_a_time(vit: onnx.ModelProto, frames: NDArray[np.int8]) -> None:
    lazy = Lazy(frames)
    assert measure_ranges(vit, lazy) == measure_ranges(vit, [{"pixels": f[None]} for f in frames])
    assert lazy.most <= 2
