"""Scores a clip unchanged, in other light, encoded anew, and with the model's INT8 graph."""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

from benchmarks.studies.altered import Alteration, darker, light
from calibration.replay import Setup, clip_s, shown
from edge.scoring.margins import margins
from edge.video.sample import Sample

FPS: Final = 2.0
PASSES: Final = 2
REFERENCE: Final = "as it is, float"
LIGHT: Final[Mapping[str, Alteration]] = {
    "brightness x 0.6": darker(0.6),
    "brightness x 1.5": darker(1.5),
    "gamma 0.6": light(lambda rgb: rgb**0.6),
    "gamma 1.7": light(lambda rgb: rgb**1.7),
}
CRF: Final = {"x264 crf 23": 23, "x264 crf 35": 35}
VERSIONS: Final = ("int8", *LIGHT, *CRF)


@dataclass(frozen=True, slots=True, eq=False)
class VersionScores:
    """Scores of one version of a clip, over all passes. n samples, P prompts.

    Attributes:
        times: Seconds of the timeline, float64 [n].
        cosine: Cosines of the prompts, float64 [n, P].
        margin: Margins of the prompts, float64 [n, P].
    """

    times: NDArray[np.float64]
    cosine: NDArray[np.float64]
    margin: NDArray[np.float64]


def score_versions(clip: Path, setup: Setup, int8: Setup) -> Iterator[tuple[str, VersionScores]]:
    """Yield name and scores of every version of a clip.

    Args:
        clip: File of the clip.
        setup: Models in float, and the bank of the prompts.
        int8: Models with the INT8 graph, and the same bank.

    Raises:
        TypeError: The model is not one of single frames (class F).
    """
    pass_s = clip_s(clip, FPS)
    cosines: dict[str, list[tuple[float, NDArray[np.float32]]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for count in range(PASSES):
            phase, begin_s = count / PASSES, count * pass_s
            for one in shown(clip, setup, phase):
                at = begin_s + one.t
                cosines.setdefault(REFERENCE, []).append((at, one.scored.cosines))
                cosines.setdefault("int8", []).append((at, _scored(int8, one.sample)))
                for name, alter in LIGHT.items():
                    altered = replace(one.sample, pixels=alter(one.sample.pixels))
                    cosines.setdefault(name, []).append((at, _scored(setup, altered)))
        for name, crf in CRF.items():
            again = reencoded(clip, Path(folder) / f"{crf}.mp4", crf)
            for count in range(PASSES):
                for one in shown(again, setup, count / PASSES):
                    cosines.setdefault(name, []).append(
                        (count * pass_s + one.t, one.scored.cosines)
                    )
    for name, rows in cosines.items():
        scores = margins(setup.bank, np.stack([row for _, row in rows]))
        yield (
            name,
            VersionScores(
                np.array([at for at, _ in rows]),
                scores.cosine.astype(np.float64),
                scores.margin.astype(np.float64),
            ),
        )


def _scored(setup: Setup, sample: Sample) -> NDArray[np.float32]:
    (scored,) = setup.models.scoring.scorer.score([sample], setup.bank)
    if scored is None:
        raise TypeError("expected a model of single frames (class F)")
    return scored.cosines


def reencoded(clip: Path, out: Path, crf: int) -> Path:
    """Decode a clip and encode it again as H.264, every frame at its time.

    Args:
        clip: File to read.
        out: File to write.
        crf: Quality of x264, 0 (lossless) to 51.

    Returns:
        ``out``.
    """
    with av.open(str(clip)) as source, av.open(str(out), "w") as target:
        stream = source.streams.video[0]
        encoder = target.add_stream("libx264", rate=stream.average_rate)
        encoder.width, encoder.height, encoder.pix_fmt = stream.width, stream.height, "yuv420p"
        encoder.time_base = stream.time_base
        encoder.options = {"crf": str(crf), "preset": "veryfast", "bf": "0"}
        for frame in source.decode(stream):
            frame.pict_type = av.video.frame.PictureType.NONE
            target.mux(encoder.encode(frame))
        target.mux(encoder.encode(None))
    return out
