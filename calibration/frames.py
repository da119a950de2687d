"""Reads the frames that fix INT8 ranges, and checks that they are enough and different enough.

The frames pass through the device's own decoder and preprocessing, so the ranges are those of the
pixels on the device.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration.limits import MIN_FRAMES
from edge.errors import ModelError
from edge.model.bundle.manifest import ImageSpec
from edge.video.decode import Decoder, kept_frames
from edge.video.preprocess import Preprocessor
from edge.video.sampler import Sampler
from edge.video.sources import open_source

# Mean standard deviation of a pixel over the set, in units of 0..255: below it, all frames are one
# picture.
MIN_VARIATION = 4.0


def frames_of(path: Path, spec: ImageSpec, fps: float) -> NDArray[np.int8]:
    """Read a video or a picture as int8 pixels [M,3,H,W], ``fps`` frames per second of video.

    Raises:
        SourceError: The file is no video, or has no decodable frame.
    """
    return np.stack(list(each_frame(path, spec, fps)))


def each_frame(path: Path, spec: ImageSpec, fps: float) -> Iterator[NDArray[np.int8]]:
    """Read ``path`` as ``frames_of`` does, one frame [3,H,W] at a time.

    Raises:
        SourceError: The file is no video, or has no decodable frame.
    """
    preprocess = Preprocessor(spec)
    with open_source(str(path)) as source:
        decoder = Decoder(source.stream)
        for frame in kept_frames(source.packets(), decoder, Sampler(fps)):
            yield preprocess(frame.picture)


def calibration_set(frames: NDArray[np.int8]) -> NDArray[np.int8]:
    """Return ``frames`` [M,3,H,W] and their mirror images, after checks.

    Raises:
        ModelError: There are too few frames, or all are the same.
    """
    if len(frames) < MIN_FRAMES:
        raise ModelError(
            f"The calibration set has {len(frames)} frames, expected at least {MIN_FRAMES}; "
            "add footage or sample it more often."
        )
    variation = float(frames.astype(np.float32).std(0).mean())
    if variation < MIN_VARIATION:
        raise ModelError(
            f"The calibration frames differ by {variation:.1f} of 255, expected at least "
            f"{MIN_VARIATION}; add footage of other scenes."
        )
    return np.concatenate([frames, frames[..., ::-1]])
