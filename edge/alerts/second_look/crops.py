"""What a box shows, as a picture of its own: does it fit the sentence without the rest?

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

# Of the box's width and height, on each side: boxes cut off what sticks out.
_MARGIN: Final = 0.1


class CropScorer:
    """Scores boxes by the main model.

    Args:
        scorer: Of the main bundle, class F.
        preprocess: Of the main bundle.
    """

    def __init__(self, scorer: FrameScorer, preprocess: Preprocessor) -> None:
        self._scorer = scorer
        self._preprocess = preprocess

    def margin(self, bank: PromptBank, rule: str, frame: av.VideoFrame, box: Box) -> float:
        """The margin of the rule on what the box shows.

        Raises:
            InferenceError: The engine failed.
        """
        pixels = self._preprocess(cut_out(frame, box.box))
        (scored,) = self._scorer.score_pictures(pixels[np.newaxis], bank)
        return float(margins(bank, scored.cosines).margin[bank.names.index(rule)])


def cut_out(
    frame: av.VideoFrame, box: tuple[float, float, float, float], margin: float = _MARGIN
) -> av.VideoFrame:
    """The part of a frame inside a box and a little around it; the whole frame as it is.

    Args:
        frame: In any pixel format.
        box: Left, top, right, bottom in 0..1.
        margin: Of the box's width and height, added on each side.
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
    """Pixels of a span in 0..1, at least one."""
    first = min(max(0, round(start * extent)), extent - 1)
    return first, max(first + 1, min(extent, round(stop * extent)))
