"""Scores for class C: the model looks at a camera's last T frames together.

Each sentence is changed by what the clip shows before the two are compared.

Letters in shapes: N clips, T frames, H, W picture, C context vectors of a clip, K rows of the bank,
D embedding.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.errors import InferenceError, ModelError
from edge.model.engines.base import Engine, TensorSpec
from edge.model.engines.tensors import describe
from edge.rules.bank import PromptBank
from edge.scoring.scorers.base import Scored
from edge.scoring.window import Window
from edge.video.sample import Sample


class WindowScorer:
    """Keeps a window of each camera and, once it is full, scores it with every sample.

    So the tower runs once for each sample and computes T frames each time.

    Args:
        video: Engine of the ``video`` graph.
        head: Engine of the ``head`` graph.
        frames: T, from the manifest.

    Raises:
        ModelError: The graphs do not take T frames, or do not fit each other.
    """

    def __init__(self, video: Engine, head: Engine, frames: int) -> None:
        self._clip = _clip_shape(video, frames)
        _check_fit(video, head)
        self._video = video
        self._head = head
        self._windows: dict[str, Window] = {}

    def encode(self, clips: NDArray[np.int8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Embed clips.

        Args:
            clips: int8 [N, T, 3, H, W], ``u8 ^ 0x80``, oldest frame first.

        Returns:
            ``embedding`` float32 [N, D], unit rows, and ``context`` float32 [N, C, D].

        Raises:
            InferenceError: Wrong dtype or shape (N single pictures are no clip), the runtime
                failed, or gave no finite numbers.
        """
        outputs = self._video.run({"pixels": clips})
        embedding, context = outputs["embedding"], outputs["context"]
        if not (np.isfinite(embedding).all() and np.isfinite(context).all()):
            raise InferenceError("expected finite embeddings, found others; the batch is dropped")
        return embedding, context

    def score(self, samples: Sequence[Sample], bank: PromptBank) -> list[Scored | None]:
        full = [sample.camera for sample in samples if self.push(sample).is_full]
        scored = self.score_windows(full, bank)
        return [scored.get(sample.camera) for sample in samples]

    def score_windows(self, cameras: Sequence[str], bank: PromptBank) -> dict[str, Scored]:
        """Score the windows of these cameras as they are; each must be full.

        Raises:
            InferenceError: The engine failed.
        """
        if not cameras:
            return {}
        clips = np.empty((len(cameras), *self._clip), np.int8)
        for clip, camera in zip(clips, cameras, strict=True):
            self._windows[camera].copy_to(clip)
        embedding, context = self.encode(clips)
        cosines = self._meet(bank, embedding, context)
        return {
            camera: Scored(*row) for camera, *row in zip(cameras, cosines, embedding, strict=True)
        }

    def push(self, sample: Sample) -> Window:
        """Add a camera's next sample to its window, and return the window.

        Raises:
            InferenceError: The sample is of another size than the graph takes.
        """
        frames, *picture = self._clip
        if sample.pixels.dtype != np.int8 or sample.pixels.shape != tuple(picture):
            raise InferenceError(
                f"{sample.camera}: expected a sample int8 {picture}, found "
                f"{sample.pixels.dtype} {list(sample.pixels.shape)}"
            )
        window = self._windows.setdefault(sample.camera, Window(frames))
        window.push(sample)
        return window

    def _meet(
        self, bank: PromptBank, embedding: NDArray[np.float32], context: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Run the head: cosines [N, K] of clips and sentences."""
        text = bank.rows
        if bank.lengths is not None:
            # The head adds a change to the sentence's own vector, so its length matters.
            text = text * bank.lengths[:, None]
        outputs = self._head.run({"embedding": embedding, "context": context, "text": text})
        cosine: NDArray[np.float32] = outputs["cosine"]
        expected = (len(embedding), len(text))
        if cosine.shape != expected or not np.isfinite(cosine).all():
            raise InferenceError(
                f"expected finite cosines {list(expected)} from the head, found "
                f"{list(cosine.shape)}, finite: {np.isfinite(cosine).all()}; the batch is dropped"
            )
        return cosine


def _clip_shape(video: Engine, frames: int) -> tuple[int, ...]:
    """Shape T, 3, H, W of the graph's clip. T is part of the weights, so it must be fixed."""
    match {spec.name: spec.shape for spec in video.inputs}:
        case {"pixels": (None | 1, int() as found, 3, int() as height, int() as width)} if (
            found == frames
        ):
            return frames, 3, height, width
        case _:
            raise ModelError(
                f"expected a video graph that takes pixels [N, {frames}, 3, H, W], found "
                f"{_words(video.inputs)}: frames in the manifest must be the graph's; build the "
                "bundle again"
            )


def _check_fit(video: Engine, head: Engine) -> None:
    """Check that the head takes what the tower gives, and sentences as its last input."""
    given = {spec.name: spec.shape for spec in video.outputs}
    taken = {spec.name: spec.shape for spec in head.inputs}
    fits = (
        given.keys() >= {"embedding", "context"}
        and list(taken) == ["embedding", "context", "text"]
        and _agree(given["embedding"], taken["embedding"])
        and _agree(given["embedding"], taken["text"])
        and _agree(given["context"], taken["context"])
    )
    if not fits:
        raise ModelError(
            f"expected a head that takes what the video graph gives ({_words(video.outputs)}) and "
            f"text, found {_words(head.inputs)}: build the bundle again"
        )


def _agree(given: tuple[int | None, ...], taken: tuple[int | None, ...]) -> bool:
    """Whether two shapes can be the same; an extent that a runtime does not know is None."""
    return len(given) == len(taken) and all(
        None in {a, b} or a == b for a, b in zip(given, taken, strict=True)
    )


def _words(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(f"{spec.name} {describe(spec.shape)}" for spec in specs)
