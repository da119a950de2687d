"""Compares a student with its teacher for the accuracy card."""

from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray

from edge.model.engines import EngineSettings, open_engine
from export.compare import likeness
from export.graph import macs
from export.graph.reshape import to_bytes
from export.proof.agreement import Prompts
from export.proof.answers import ask
from export.proof.card import Pupil

INT8: Final = "image.int8.onnx"
"""Name of the INT8 variant, which is compared with the teacher like the float student."""


def pupil(
    name: str,
    graph: onnx.ModelProto,
    embedding: NDArray[np.float32],
    reference: NDArray[np.float32],
    prompts: Prompts,
    *,
    packed: bool = False,
) -> Pupil:
    """Compare a model's embeddings of pictures with the teacher's embeddings of the same pictures.

    Args:
        name: Name for people.
        graph: Graph whose operations and size are counted.
        embedding: Embeddings by the model, float32 [N, D], unit rows.
        reference: Embeddings by the teacher, float32 [N, D], unit rows.
        prompts: Sentences among which both choose.
        packed: Whether the bundle holds this model.
    """
    found = likeness.likeness(embedding, reference, prompts)
    same = found.measured.same_prompt
    return Pupil(
        name=name,
        mean_cosine=float(found.cosines.mean()),
        min_cosine=float(found.cosines.min()),
        centred_cosine=float(found.centred.mean()),
        same_choice=None if same is None else same.share,
        retrieval=found.measured.finds_itself,
        gmacs=macs.count(graph).macs / 1e9,
        megabytes=len(to_bytes(graph)) / 1e6,
        packed=packed,
    )


def embeddings(data: bytes, pixels: NDArray[np.int8]) -> NDArray[np.float32]:
    """Embeddings float32 [N, D] of int8 pixels [N, 3, H, W] by an ONNX image graph."""
    engine = open_engine("onnxruntime", data, EngineSettings(threads=0))
    try:
        return np.asarray(ask(engine, {"pixels": pixels}, ("embedding",))[0]["embedding"])
    finally:
        engine.close()
