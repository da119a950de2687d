"""An accuracy card of a few variants, measured and by hand."""

from dataclasses import replace
from typing import Any

import numpy as np

from edge.model.bundle.manifest import ModelInfo, Precision
from export.proof.agreement import Agreement, Prompts, Share
from export.proof.answers import Steadiness
from export.proof.card import Card, CardVariant, Environment
from export.proof.gates import GATES, judge
from export.proof.verify import Closeness, Measured, compare

ROWS, DIM = 20, 8
RNG = np.random.default_rng(4)


def unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


ORIGINAL = unit(RNG.standard_normal((ROWS, DIM)))
PROMPTS = Prompts(
    ("a cat", "a dog", "a car"),
    unit(RNG.standard_normal((3, DIM))),
    unit(RNG.standard_normal((2, DIM))),
    0.1,
)


def variant(file: str, noise: float, **changes: Any) -> CardVariant:
    """The original with noise; the same for each file name and amount."""
    rng = np.random.default_rng(9)
    found = unit(ORIGINAL + rng.standard_normal(ORIGINAL.shape) * noise)
    measured = compare(
        {"embedding": found},
        {"embedding": ORIGINAL},
        prompts=PROMPTS,
        steadiness=Steadiness(0.0, 1e-6, 2e-5),
    )
    precisions: dict[str, Precision] = {"fp32": "fp32", "fp16": "fp16", "int8": "int8"}
    precision = precisions[file.split(".")[1]]
    return replace(
        CardVariant(
            file=file,
            role="image",
            precision=precision,
            runtime="onnxruntime 1.30 on CPU",
            inputs="frames",
            measured=measured,
            verdict=judge(measured, GATES["image", precision]),
        ),
        **changes,
    )


CARD = Card(
    name="tiny",
    model=ModelInfo(family="clip", id="tiny/clip", revision="abc123", licence="MIT"),
    variants=[
        variant("image.fp32.onnx", 0),
        variant("image.int8.onnx", 0.01, columns={"mean_concept_cosine": 0.9975}),
        variant("image.fp16.onnx", 0.5),
    ],
    refused={
        "text.int8.onnx": "embedding: expected finite answers, found others for 2 of 20 inputs"
    },
    inputs={"frames": "of the yard, 1 a second"},
    prompts=PROMPTS.texts,
    threshold=0.1,
    conditions=Environment("Tiny CPU", {"python": "3.11", "onnxruntime": "1.30"}),
    limits=("Anything about the text tower.",),
)
# By hand, so that no processor's rounding is part of the text.
SAID = replace(
    CARD,
    variants=[
        replace(
            CARD.variants[1],
            measured=Measured(
                inputs=50,
                outputs={"embedding": Closeness(0.03125, np.array([0.9975] * 49 + [0.9775]), 1.03)},
                same_prompt=Agreement(Share(49, 50), 0.0125),
                alerts=Share(30, 31),
                finds_itself=Share(50, 50),
                steadiness=Steadiness(0.0, None, None),
            ),
        ),
        replace(
            CARD.variants[2],
            measured=Measured(
                inputs=50,
                outputs={"embedding": Closeness(0.25, np.full(50, 0.875), 0.125)},
                same_prompt=Agreement(Share(10, 50), 0.25),
                finds_itself=Share(50, 50),
                steadiness=Steadiness(0.0, 0.5, 0.01),
            ),
        ),
    ],
)
SAID = replace(
    SAID,
    variants=[
        replace(said, verdict=judge(said.measured, GATES["image", said.precision]))
        for said in SAID.variants
    ],
)
