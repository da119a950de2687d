"""What each variant lost against its float original, as numbers and as a card."""

import json
from dataclasses import asdict, dataclass

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from export.default_bundle.concepts import CONCEPT_AXES


@dataclass(frozen=True, slots=True)
class Loss:
    """Agreement of a variant with the float original on the same inputs.

    Attributes:
        inputs: How many, and of what.
        mean_cosine: Of the whole embedding.
        min_cosine: The worst input.
        mean_concept_cosine: Of the 1080 concept axes alone, without those that make the vector
            unit long and hide small evidence.
        min_concept_cosine: The worst input.
        top_concept_agreement: Share of inputs with the same strongest concept, 0..1.
    """

    inputs: str
    mean_cosine: float
    min_cosine: float
    mean_concept_cosine: float
    min_concept_cosine: float
    top_concept_agreement: float


def image_embeddings(model: onnx.ModelProto, pixels: NDArray[np.int8]) -> NDArray[np.float32]:
    """Return float32 [M,D] of an image graph under ONNX Runtime, one picture at a time."""
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return np.concatenate([session.run(None, {"pixels": row[None]})[0] for row in pixels])


def loss(inputs: str, found: NDArray[np.float32], reference: NDArray[np.float32]) -> Loss:
    """Compare embeddings float32 [M,D] row by row."""
    whole = _cosines(found, reference)
    concepts = _cosines(found[:, :CONCEPT_AXES], reference[:, :CONCEPT_AXES])
    top = found[:, :CONCEPT_AXES].argmax(1) == reference[:, :CONCEPT_AXES].argmax(1)
    return Loss(
        inputs=f"{len(found)} {inputs}",
        mean_cosine=round(float(whole.mean()), 5),
        min_cosine=round(float(whole.min()), 5),
        mean_concept_cosine=round(float(concepts.mean()), 5),
        min_concept_cosine=round(float(concepts.min()), 5),
        top_concept_agreement=round(float(top.mean()), 4),
    )


def accuracy_json(losses: dict[str, Loss], note: str) -> bytes:
    """Return ``accuracy.json``: loss by file name."""
    document = {"variants": {name: asdict(row) for name, row in losses.items()}, "note": note}
    return (json.dumps(document, indent=2) + "\n").encode()


def accuracy_card(losses: dict[str, Loss], note: str) -> bytes:
    """Return ``accuracy.md``, the same for a person."""
    lines = [
        "# What each variant lost against its float original",
        "",
        "| file | inputs | cosine mean | worst | concepts mean | worst | same top concept |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {name} | {row.inputs} | {row.mean_cosine:.4f} | {row.min_cosine:.4f} "
            f"| {row.mean_concept_cosine:.4f} | {row.min_concept_cosine:.4f} "
            f"| {row.top_concept_agreement:.1%} |"
            for name, row in losses.items()
        ),
        "",
        note,
        "",
    ]
    return "\n".join(lines).encode()


def _cosines(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    # An empty scene without any evidence has no direction: equal if both are.
    return np.where(norms > 0, (a * b).sum(1) / np.maximum(norms, 1e-12), 1.0).astype(np.float32)
