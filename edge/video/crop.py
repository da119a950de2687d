"""Cuts a box out of a frame."""

from typing import Final

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from edge.video.preprocess import yuv_matrix
from edge.video.worker import Edges

# Share of the box's width and height that is added on each side: boxes cut off what sticks out.
_MARGIN: Final = 0.1


def cut_out(frame: av.VideoFrame, box: Edges, margin: float = _MARGIN) -> av.VideoFrame:
    """Cut the box and a little around it out of a frame.

    Args:
        frame: Frame in any pixel format.
        box: Left, top, right, bottom in 0..1.
        margin: Share of the box's width and height that is added on each side.

    Returns:
        RGB picture; where the box covers the whole frame, the frame as it is.
    """
    left, top, right, bottom = box
    wider, higher = margin * (right - left), margin * (bottom - top)
    x0, x1 = _span(left - wider, right + wider, frame.width)
    y0, y1 = _span(top - higher, bottom + higher, frame.height)
    if (x0, y0, x1, y1) == (0, 0, frame.width, frame.height):
        return frame
    rgb = VideoReformatter().reformat(frame, format="rgb24", src_colorspace=yuv_matrix(frame))
    pixels = np.ascontiguousarray(rgb.to_ndarray()[y0:y1, x0:x1], np.uint8)
    return av.VideoFrame.from_ndarray(pixels, format="rgb24")


def _span(start: float, stop: float, extent: int) -> tuple[int, int]:
    """Return first and last pixel (excluded) of a span in 0..1; at least one pixel."""
    first = min(max(0, round(start * extent)), extent - 1)
    return first, max(first + 1, min(extent, round(stop * extent)))
