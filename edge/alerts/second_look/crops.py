"""Scores what a box shows as a picture of its own, without the rest of the frame.

A whole frame with a person and a red car fits "a person in red"; the crop of the person does not.
"""

from typing import Final

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from edge.alerts.second_look.base import Box
from edge.rules.bank import PromptBank
from edge.scoring.margins import margins
from edge.scoring.scorers.frames import FrameScorer
from edge.video.preprocess import Preprocessor, yuv_matrix

# Share of the box's width and height that is added on each side: boxes cut off what sticks out.
_MARGIN: Final = 0.1


class CropScorer:
    """Scores boxes by the main model.

    Args:
        scorer: Scorer of the main bundle, class F.
        preprocess: Preprocessing of the main bundle.
    """

    def __init__(self, scorer: FrameScorer, preprocess: Preprocessor) -> None:
        self._scorer = scorer
        self._preprocess = preprocess

    def margin(self, bank: PromptBank, rule: str, frame: av.VideoFrame, box: Box) -> float:
        """Return the margin of the rule on what the box shows.

        Raises:
            InferenceError: The engine failed.
        """
        pixels = self._preprocess(cut_out(frame, box.box))
        (scored,) = self._scorer.score_pictures(pixels[np.newaxis], bank)
        return float(margins(bank, scored.cosines).margin[bank.names.index(rule)])


def cut_out(
    frame: av.VideoFrame, box: tuple[float, float, float, float], margin: float = _MARGIN
) -> av.VideoFrame:
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
