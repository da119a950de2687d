"""Measures what the variants of the default bundle lost, for its accuracy card.

It adds three columns to the card: how well a variant agrees on the concept axes alone.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import onnx
from numpy.typing import NDArray

from edge.model.bundle.manifest import ModelFacts, Precision
from edge.model.engines import Engine, EngineSettings, open_engine
from export.default_bundle.concepts import CONCEPT_AXES
from export.proof.agreement import Prompts, first_choice, row_cosines
from export.proof.answers import ask
from export.proof.card import Card, CardVariant, these_conditions
from export.proof.gates import GATES, judge
from export.proof.verify import compare

# What people ask of the camera of a house, a yard or a street.
PROMPTS = (
    "a person",
    "a person riding a bicycle",
    "a bicycle",
    "a motorcycle",
    "a car",
    "a truck",
    "a bus",
    "a dog",
    "an animal",
    "a suitcase",
    "a traffic light",
    "smoke",
)
# The sentences were embedded earlier, in batches, so the graph's steadiness is not measured here;
# the golden test runs the graph itself.
_TEXT = replace(GATES["text", "fp16"], max_repeat=None, max_neighbours=None, max_batch=None)
_INPUTS = {
    "frames": "of the street clip, those between the frames that INT8 was calibrated on",
    "sentences": "the anchors of all concepts",
}
_LIMITS = (
    (
        "How INT8 does on other footage. The frames are of the clip that it was calibrated on, so "
        "these figures are kind; the README has those on footage that it has not seen."
    ),
    "What INT8 does to the detector: it stays in float in every variant.",
    "Anything about `image.fp32.onnx`: that is the float original itself.",
)
# All cores: nothing is timed here.
_SETTINGS = EngineSettings(threads=0)


def measure(
    facts: ModelFacts,
    images: Mapping[Precision, onnx.ModelProto],
    pixels: NDArray[np.int8],
    reference: NDArray[np.float32],
    prompts: Prompts,
    sentences: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> Card:
    """Measure all variants.

    Args:
        facts: Facts of the model.
        images: Image graphs by precision.
        pixels: Frames to measure on, int8 [M,3,H,W].
        reference: Embeddings of ``pixels`` by the float original, float32 [M,D].
        prompts: Prompts that a frame chooses among.
        sentences: Embeddings of the same sentences, float32 [K,D] each: by the text graph in the
            bundle, and by its original.
    """
    conditions = these_conditions("numpy", "onnx", "onnxruntime")
    runtime = f"onnxruntime {conditions.versions['onnxruntime']} on CPU"
    return Card(
        name=facts.name,
        model=facts.model,
        variants=[
            *(
                image_variant(precision, model, pixels, reference, prompts)
                for precision, model in images.items()
            ),
            text_variant(runtime, *sentences),
        ],
        inputs=_INPUTS,
        conditions=conditions,
        prompts=prompts.texts,
        threshold=prompts.threshold,
        limits=_LIMITS,
    )


def open_image(model: onnx.ModelProto) -> Engine:
    """Open an image graph under ONNX Runtime."""
    return open_engine("onnxruntime", model.SerializeToString(), _SETTINGS)


def image_embeddings(model: onnx.ModelProto, pixels: NDArray[np.int8]) -> NDArray[np.float32]:
    """Return an image graph's embeddings, float32 [M,D]; it runs on one picture at a time."""
    engine = open_image(model)
    try:
        return ask(engine, {"pixels": pixels}, ("embedding",))[0]["embedding"]
    finally:
        engine.close()


def image_variant(
    precision: Precision,
    model: onnx.ModelProto,
    pixels: NDArray[np.int8],
    reference: NDArray[np.float32],
    prompts: Prompts,
) -> CardVariant:
    """Measure an image graph on frames, int8 [M,3,H,W], of known embeddings, float32 [M,D]."""
    engine = open_image(model)
    try:
        found, steadiness = ask(engine, {"pixels": pixels}, ("embedding",))
        runtime = f"{engine.runtime} on {engine.device}"
    finally:
        engine.close()
    measured = compare(found, {"embedding": reference}, prompts=prompts, steadiness=steadiness)
    return CardVariant(
        f"image.{precision}.onnx",
        "image",
        precision,
        runtime,
        "frames",
        measured,
        judge(measured, GATES["image", precision]),
        concept_columns(found["embedding"], reference),
    )


def text_variant(
    runtime: str, found: NDArray[np.float32], reference: NDArray[np.float32]
) -> CardVariant:
    """Compare embeddings of sentences, float32 [K,D], by weights stored as fp16 and as fp32."""
    measured = compare({"embedding": found}, {"embedding": reference})
    return CardVariant(
        "text.fp16.onnx",
        "text",
        "fp16",
        runtime,
        "sentences",
        measured,
        judge(measured, _TEXT),
        concept_columns(found, reference),
    )


def concept_columns(
    found: NDArray[np.float32], reference: NDArray[np.float32]
) -> Mapping[str, float]:
    """Compare embeddings, float32 [M,D], on the 1080 concept axes alone.

    The other axes make a vector unit long, and so hide how small evidence changes.
    """
    found, reference = found[:, :CONCEPT_AXES], reference[:, :CONCEPT_AXES]
    cosines = row_cosines(found, reference)
    return {
        "mean_concept_cosine": round(float(cosines.mean()), 5),
        "min_concept_cosine": round(float(cosines.min()), 5),
        "top_concept_agreement": round(first_choice(found, reference).share.value, 4),
    }
