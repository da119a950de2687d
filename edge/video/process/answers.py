"""FrameAnswers what the daemon asks about a frame: a JPEG, or pixels for another model."""

import logging

import av.error
import numpy as np
from numpy.typing import NDArray

from edge.errors import SourceError
from edge.model.bundle.manifest import ImageSpec
from edge.video.crop import cut_out
from edge.video.decode import Frame
from edge.video.jpeg import jpeg
from edge.video.preprocess import Preprocessor
from edge.video.process.records import Question

logger = logging.getLogger(__name__)


class FrameAnswers:
    """Writes answers into the memory that the daemon reads.

    Args:
        room: Room for one answer, uint8.
    """

    def __init__(self, room: NDArray[np.uint8]) -> None:
        self._room = room
        self._preprocessors: dict[ImageSpec, Preprocessor] = {}

    def write(self, question: Question, frame: Frame | None) -> int | None:
        """Write the answer to a question; return its size, None where there is no answer."""
        if frame is None:
            return None
        try:
            answer = self._answer(question, frame)
        except (SourceError, av.error.FFmpegError, ValueError) as exc:
            logger.warning("no picture of sample %d: %s", question.sequence, exc)
            return None
        if answer.size > self._room.size:
            logger.warning("a picture of %d bytes is too large to be handed over", answer.size)
            return None
        self._room[: answer.size] = answer
        return answer.size

    def _answer(self, question: Question, frame: Frame) -> NDArray[np.uint8]:
        picture = frame.picture
        if question.jpeg_width is not None:
            return np.frombuffer(jpeg(picture, question.jpeg_width), np.uint8)
        if question.spec is None:
            raise ValueError("neither a JPEG nor pixels are wanted")
        preprocess = self._preprocessors.setdefault(question.spec, Preprocessor(question.spec))
        pixels = preprocess(picture if question.box is None else cut_out(picture, question.box))
        return pixels.reshape(-1).view(np.uint8)
