"""Scores what a box shows as a picture of its own, without the rest of the frame.

A whole frame with a person and a red car fits "a person in red"; the crop of the person does not.
"""

import numpy as np

from edge.alerts.second_look.base import Box, PixelsOf, held_pixels
from edge.model.bundle.manifest import ImageSpec
from edge.rules.bank import PromptBank
from edge.scoring.margins import margins
from edge.scoring.scorers.frames import FrameScorer
from edge.video.sample import Sample


class CropScorer:
    """Scores boxes by the main model.

    Args:
        scorer: Scorer of the main bundle, class F.
        spec: Pixels of the main bundle.
        pixels_of: Gives the pixels of crops.
    """

    def __init__(self, scorer: FrameScorer, spec: ImageSpec, pixels_of: PixelsOf) -> None:
        self._scorer = scorer
        self._spec = spec
        self._pixels_of = pixels_of

    def margin(self, bank: PromptBank, rule: str, sample: Sample, box: Box) -> float:
        """Return the margin of the rule on what the box shows of a sample's frame.

        Raises:
            InferenceError: The engine failed, or the frame is gone.
        """
        pixels = held_pixels(self._pixels_of, sample, self._spec, box.box)
        (scored,) = self._scorer.score_pictures(pixels[np.newaxis], bank)
        return float(margins(bank, scored.cosines).margin[bank.names.index(rule)])
