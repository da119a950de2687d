"""Measures how alike two bundles see the same pictures, each through its own preprocessing.

Letters in shapes: N pictures, D embedding, T templates.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration.footage import farthest, thumbnail
from calibration.frames import each_frame
from edge.errors import ModelError, SourceError
from edge.model.bundle.manifest import ImageSpec
from edge.model.bundle.read import Bundle
from edge.model.engines import Engine
from edge.model.graphs import open_graph, open_text_engine
from edge.model.variants import Variant
from edge.rules.sheet import sentence_rows
from edge.rules.text import TextEncoder, Tokenizer, unit_rows
from export.compare.costs import IMAGE, SETTINGS
from export.proof import verify
from export.proof.agreement import Prompts, row_cosines


@dataclass(frozen=True, slots=True)
class Pictures:
    """Chosen frames of files.

    Attributes:
        fps: Frames per second that were taken from a video.
        picked: Numbers of the chosen frames among those taken, by file.
        seen: Number of frames that they were chosen from.
        skipped: Reason why a file gave no frame, by file.
    """

    fps: float
    picked: Mapping[Path, frozenset[int]]
    seen: int
    skipped: Mapping[Path, str]

    @property
    def count(self) -> int:
        """Number of chosen frames, N."""
        return sum(len(numbers) for numbers in self.picked.values())


@dataclass(frozen=True, slots=True, eq=False)
class Likeness:
    """Likeness of embeddings to the reference.

    Attributes:
        measured: Cosines, first choices, alerts in common and retrieval.
        centred: Cosine to the reference after the reference's mean is subtracted from both, float64
            [N]. All pictures of a space share a large part, which makes unrelated ones look alike.
    """

    measured: verify.Measured
    centred: NDArray[np.float64]

    @property
    def cosines(self) -> NDArray[np.float64]:
        """Cosine of each picture to the reference, float64 [N]."""
        found = self.measured.main.cosines
        return np.ones(0) if found is None else found


def choose_pictures(files: Sequence[Path], spec: ImageSpec, fps: float, count: int) -> Pictures:
    """Choose at most ``count`` frames that differ most; the same files give the same frames.

    Args:
        files: Videos and pictures; files that cannot be read are left out and named.
        spec: Preprocessing of the frames before they are compared.
        fps: Frames per second that are taken from a video.
        count: Number of frames.

    Raises:
        ModelError: There are fewer than two different frames.
    """
    looks: list[NDArray[np.float32]] = []
    places: list[tuple[Path, int]] = []
    skipped: dict[Path, str] = {}
    for file in files:
        try:
            found = [thumbnail(frame) for frame in each_frame(file, spec, fps)]
        except SourceError as exc:
            skipped[file] = str(exc)
            continue
        looks += found
        places += [(file, number) for number in range(len(found))]
    chosen = farthest(np.stack(looks), count) if looks else []
    if len(chosen) < 2:
        raise ModelError(
            f"expected at least two different pictures, found {len(chosen)} in {len(files)} files"
            f"{''.join(f'; {words}' for words in unreadable(skipped))}; give --footage of several "
            "scenes"
        )
    picked: dict[Path, set[int]] = {}
    for index in chosen:
        file, number = places[index]
        picked.setdefault(file, set()).add(number)
    frozen = {file: frozenset(numbers) for file, numbers in picked.items()}
    return Pictures(fps, frozen, len(places), skipped)


def unreadable(skipped: Mapping[Path, str]) -> list[str]:
    """Return a note on the files that were left out; an empty list where there are none."""
    return [
        f"{len(skipped)} files cannot be read, the first: {reason}"
        for reason in list(skipped.values())[:1]
    ]


def embeddings(
    bundle: Bundle, ways: Sequence[Variant], pictures: Pictures
) -> dict[Variant, NDArray[np.float32]]:
    """Return each variant's embeddings of the pictures, float32 [N, D], unit rows.

    Raises:
        ModelError: A graph cannot be read.
        SourceError: A file can no longer be read.
        InferenceError: An engine failed.
    """
    spec = bundle.manifest.image
    with ExitStack() as stack:
        engines: dict[Variant, Engine] = {}
        for variant in ways:
            engines[variant] = open_graph(bundle, IMAGE, variant, SETTINGS)
            stack.callback(engines[variant].close)
        rows: dict[Variant, list[NDArray[np.float32]]] = {variant: [] for variant in ways}
        for file, numbers in pictures.picked.items():
            for number, frame in enumerate(each_frame(file, spec, pictures.fps)):
                if number in numbers:
                    for variant, engine in engines.items():
                        rows[variant].append(engine.run({"pixels": frame[None]})["embedding"])
    return {variant: np.concatenate(found) for variant, found in rows.items()}


def prompts_of(bundle: Bundle, kind: str, sentences: Sequence[str]) -> Prompts:
    """Embed sentences as the device does, with the bundle's background and threshold.

    Args:
        bundle: Bundle with the text graph, tokenizer and templates.
        kind: Engine, a key of ``edge.model.engines.ENGINES``.
        sentences: Sentences, at least two.

    Raises:
        ConfigError: A sentence cannot be encoded.
        ModelError: The text graph fails its self-test, or gives vectors without a direction.
        InferenceError: The engine failed.
    """
    spec = bundle.manifest.text
    with open_text_engine(bundle, kind, SETTINGS) as engine:
        encoder = TextEncoder(engine, Tokenizer(bundle.tokenizer(), spec), spec)
        rows, background = (
            # [sentences, T, D] -> [sentences, D]
            unit_rows(sentence_rows(encoder, spec.templates, texts).mean(axis=1, dtype=np.float64))
            for texts in (sentences, spec.background)
        )
    return Prompts(tuple(sentences), rows, background, bundle.manifest.decision.threshold)


def likeness(
    found: NDArray[np.float32], reference: NDArray[np.float32], prompts: Prompts
) -> Likeness:
    """Compare embeddings [N, D] with the reference's [N, D], unit rows each.

    Raises:
        ModelError: A number is not finite, or the reference sees all pictures alike.
    """
    measured = verify.compare({"embedding": found}, {"embedding": reference}, prompts=prompts)
    mean = reference.mean(axis=0, dtype=np.float64)
    return Likeness(measured, row_cosines(found - mean, reference - mean))
