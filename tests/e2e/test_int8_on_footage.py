"""What INT8 costs on footage that neither built nor calibrated it, on both runtimes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from calibration.frames import frames_of
from edge.model.bundle.manifest import Precision
from edge.model.bundle.read import open_bundle
from edge.model.engines import EngineSettings, open_engine
from export.default_bundle.accuracy import concept_columns
from export.proof.agreement import row_cosines

CLIPS = ("bottle-detection", "car-detection", "people-door", "person-bicycle-car", "worker-zone")


@pytest.fixture(scope="module")
def frames(footage: Path, concepts_bundle: Path) -> NDArray[np.int8]:
    spec = open_bundle(concepts_bundle).manifest.image
    return np.concatenate([frames_of(footage / f"{clip}.mp4", spec, fps=2) for clip in CLIPS])


@pytest.fixture(scope="module")
def embed(frames: NDArray[np.int8], concepts_bundle: Path) -> Callable[..., Any]:
    """Embeddings of all frames, by runtime and precision."""
    bundle = open_bundle(concepts_bundle)

    def embed(kind: str, precision: Precision) -> NDArray[np.float32]:
        settings = EngineSettings(threads=2)
        engine = open_engine(kind, bundle.read("image", precision), settings)
        try:
            return np.concatenate(
                [engine.run({"pixels": row[None]})["embedding"] for row in frames]
            )
        finally:
            engine.close()

    return embed


@pytest.fixture(scope="module")
def reference(embed: Callable[..., Any]) -> NDArray[np.float32]:
    """Embeddings of the float graph; it is run once more among the variants."""
    found: NDArray[np.float32] = embed("onnxruntime", "fp32")
    return found


def loss(found: NDArray[np.float32], reference: NDArray[np.float32]) -> dict[str, Any]:
    cosines = row_cosines(found, reference)
    whole: dict[str, float] = {"mean_cosine": cosines.mean(), "min_cosine": cosines.min()}
    return {**whole, **concept_columns(found, reference)}


@pytest.mark.slow
@pytest.mark.bundle
@pytest.mark.footage
def test_int8_agrees_with_float_on_footage_it_has_not_seen(
    embed: Callable[..., Any],
    reference: NDArray[np.float32],
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = {
        (kind, precision): loss(embed(kind, precision), reference)
        for kind in ("onnxruntime", "openvino")
        for precision in ("fp32", "int8")
    }
    with capsys.disabled():
        print("\n\n| runtime | precision | cosine mean | worst | concepts mean | worst | top-1 |")
        print("|---|---|---|---|---|---|---|")
        for (kind, precision), row in rows.items():
            print(
                f"| {kind} | {precision} | {row['mean_cosine']:.4f} | {row['min_cosine']:.4f} "
                f"| {row['mean_concept_cosine']:.4f} | {row['min_concept_cosine']:.4f} "
                f"| {row['top_concept_agreement']:.1%} |"
            )
    for (_, precision), row in rows.items():
        exact = precision == "fp32"
        assert row["mean_cosine"] >= (0.9999 if exact else 0.99)
        assert row["min_cosine"] >= (0.999 if exact else 0.95)
        # Of 1083 axes, many of which a street shows equally little of.
        assert row["top_concept_agreement"] >= (0.99 if exact else 0.85)


@pytest.mark.bundle
@pytest.mark.footage
def test_a_shuffled_answer_would_be_seen(reference: NDArray[np.float32]) -> None:
    """Negative control: embeddings of the wrong frames are far from these figures."""
    shuffled = loss(np.roll(reference, 40, axis=0), reference)
    assert shuffled["min_concept_cosine"] < 0.5
    assert shuffled["top_concept_agreement"] < 0.9
