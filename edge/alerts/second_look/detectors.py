"""Finds boxes: by the main bundle's regions, or by a detector that reads the sentences.

Letters in shapes: Q queries, P phrases, D embedding.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, Protocol

import numpy as np

from edge.alerts.second_look.base import Box, PixelsOf, held_pixels
from edge.errors import InferenceError
from edge.model.bundle.manifest import ImageSpec, TextSpec
from edge.model.engines.base import Engine
from edge.rules.bank import PromptBank
from edge.rules.caption import write_caption
from edge.rules.text import Tokenizer
from edge.scoring.boxes import Detections, find_boxes, keep_boxes
from edge.scoring.captions import CaptionEncoder
from edge.scoring.grounding import EncodedCaption, answer
from edge.video.sample import Sample

# Least evidence of a region that counts, in the default bundle: empty scenes reach 0.08 to 0.1, the
# weakest true events reach 0.15 (export/default_bundle/space.py).
REGION_THRESHOLD: Final = 0.15


Boxes = Callable[[str], tuple[Box, ...]]
"""Returns the boxes of a rule by its name, best first. It may raise ``InferenceError``."""

Finder = Callable[[Sample], Boxes]
"""Looks at a sample once. Raises ``InferenceError``: the engine failed, or the frame is gone."""


class Detector(Protocol):
    """Finds boxes by phrase in a sample."""

    def prepare(self, bank: PromptBank, phrases: Mapping[str, Sequence[str]]) -> Finder:
        """Make a finder for the phrases of each rule.

        Raises:
            ConfigError: The phrases do not fit into one caption.
            InferenceError: The engine failed.
        """
        ...


class RegionsDetector:
    """Finds boxes by the ``regions`` graph of the main bundle, in the sample's own pixels.

    Args:
        engine: Engine of the graph.
        spec: Pixels of the bundle.
        threshold: Smallest score of a box; None for ``REGION_THRESHOLD``.
    """

    def __init__(self, engine: Engine, spec: ImageSpec, threshold: float | None) -> None:
        self._engine = engine
        self._spec = spec
        self._threshold = REGION_THRESHOLD if threshold is None else threshold

    def prepare(self, bank: PromptBank, _phrases: Mapping[str, Sequence[str]]) -> Finder:
        return partial(self._boxes, bank)  # regions are in the space of all sentences

    def _boxes(self, bank: PromptBank, sample: Sample) -> Boxes:
        outputs = self._engine.run({"pixels": sample.pixels[np.newaxis]})
        regions, boxes = outputs["regions"][0], outputs["boxes"]
        if not (np.isfinite(regions).all() and np.isfinite(boxes).all()):
            raise InferenceError("expected finite regions, found others")
        size = sample.size or (self._spec.height, self._spec.width)

        def of(rule: str) -> tuple[Box, ...]:
            rows = [
                row
                for prompt in bank.prompts_of(rule)
                for row in range(prompt.texts.start, prompt.texts.stop)
            ]
            scores = np.clip(regions @ bank.rows[rows].T, 0, 1)  # [Q, P]
            found = keep_boxes(scores, boxes, self._threshold, self._spec, size)
            return _boxes(found, [bank.sentences[row] for row in rows])

        return of


class CaptionDetector:
    """Finds boxes by a bundle of class P (Grounding DINO), in the frame itself.

    Args:
        engine: Engine of the ``detector`` graph.
        encode: Runs the ``text`` graph.
        tokenizer: Tokenizer of the bundle.
        specs: Pixels and tokens of the bundle.
        threshold: Smallest score of a box.
        pixels_of: Gives the pixels of frames.
    """

    def __init__(
        self,
        engine: Engine,
        encode: CaptionEncoder,
        tokenizer: Tokenizer,
        specs: tuple[ImageSpec, TextSpec],
        threshold: float,
        pixels_of: PixelsOf,
    ) -> None:
        self._engine = engine
        self._encode = encode
        self._tokenizer = tokenizer
        self._image, self._text = specs
        self._threshold = threshold
        self._pixels_of = pixels_of

    def prepare(self, _bank: PromptBank, phrases: Mapping[str, Sequence[str]]) -> Finder:
        """Encode one caption for each rule: phrases of other rules would change its scores."""
        captions = [
            write_caption(tuple(dict.fromkeys(own)), self._tokenizer, self._text)
            for own in phrases.values()
        ]
        questions = dict(zip(phrases, self._encode(captions), strict=True))
        return partial(self._boxes, questions)

    def _boxes(self, questions: Mapping[str, EncodedCaption], sample: Sample) -> Boxes:
        pixels = held_pixels(self._pixels_of, sample, self._image)
        size = sample.size or (self._image.height, self._image.width)

        def of(rule: str) -> tuple[Box, ...]:
            question = questions[rule]
            logits, boxes = answer(self._engine, question, pixels)
            caption = question.caption
            found = find_boxes(
                logits, boxes, caption.token_spans, self._threshold, self._image, size
            )
            return _boxes(found, caption.phrases)

        return of


def _boxes(found: Detections, phrases: Sequence[str]) -> tuple[Box, ...]:
    return tuple(
        Box(phrases[index], float(score), (float(a), float(b), float(c), float(d)))
        for index, score, (a, b, c, d) in zip(found.classes, found.scores, found.boxes, strict=True)
    )
