"""Runs Grounding DINO's two graphs: the text graph once for a caption, then the detector.

Letters in shapes: H, W picture, L tokens, E features of a token, Q queries of the detector.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.errors import InferenceError
from edge.model.engines.base import Engine
from edge.rules.caption import Caption


@dataclass(frozen=True, slots=True, eq=False)
class EncodedCaption:
    """What a detector looks for.

    Attributes:
        caption: All phrases as one text.
        features: float32 [1, L, E]: what the text graph made of the caption.
    """

    caption: Caption
    features: NDArray[np.float32]


def ask(text: Engine, caption: Caption) -> EncodedCaption:
    """Run the text graph, the larger part of the model, once for a caption.

    Args:
        text: Engine of the ``text`` graph.
        caption: What to look for.

    Raises:
        InferenceError: The engine failed, or gave numbers that are not finite.
    """
    features = text.run(
        {
            "input_ids": caption.input_ids,
            "position_ids": caption.position_ids,
            "block_mask": caption.block_mask,
        }
    )["features"]
    return EncodedCaption(caption, _finite(features))


def answer(
    detector: Engine, question: EncodedCaption, pixels: NDArray[np.int8]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Run the detector on one picture.

    Args:
        detector: Engine of the ``detector`` graph.
        question: From ``ask``, made with the same bundle.
        pixels: int8 [3, H, W], ``u8 ^ 0x80``.

    Returns:
        ``logits`` float32 [1, Q, L] and ``boxes`` float32 [1, Q, 4]: centre x, centre y, width,
        height in 0..1 of the detector's input.

    Raises:
        InferenceError: The engine failed, or gave numbers that are not finite.
    """
    caption = question.caption
    outputs = detector.run(
        {
            "pixels": pixels[np.newaxis],
            "features": question.features,
            "token_mask": caption.token_mask,
            "position_ids": caption.position_ids,
            "block_mask": caption.block_mask,
        }
    )
    return _finite(outputs["logits"]), _finite(outputs["boxes"])


def _finite(array: NDArray[np.float32]) -> NDArray[np.float32]:
    if not np.isfinite(array).all():
        raise InferenceError("expected finite numbers from the model, found others")
    return array
