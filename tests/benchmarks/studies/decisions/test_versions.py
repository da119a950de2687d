"""A clip that is encoded anew."""

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from benchmarks.studies.decisions.versions import reencoded
from edge.testing.synthetic import write_clip


def test_a_clip_encoded_again_has_the_same_pictures_at_the_same_times(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", width=64, height=48, fps=10, seconds=2, bframes=2)

    def frames(path: Any) -> Any:
        with av.open(str(path)) as container:
            return [(f.time, f.to_ndarray(format="rgb24").astype(int)) for f in
                    container.decode(video=0)]  # fmt: skip

    before, after = frames(clip), frames(reencoded(clip, tmp_path / "b.mp4", 23))
    start = before[0][0] - after[0][0]
    assert [t for t, _ in after] == pytest.approx([t - start for t, _ in before], abs=1e-3)
    worst = max(np.abs(a - b).mean() for (_, a), (_, b) in zip(before, after, strict=True))
    assert 0 < worst < 8
    poor = frames(reencoded(clip, tmp_path / "c.mp4", 45))
    assert max(np.abs(a - b).mean() for (_, a), (_, b) in zip(before, poor, strict=True)) > worst
