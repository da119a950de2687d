"""Assembles the graphs of the default bundle and runs them on frames and texts.

The image tower maps pixels to an embedding; the text tower maps token ids to an embedding and a
coverage.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import DTypeLike, NDArray
from onnx import TensorProto
from tokenizers import Tokenizer

from edge.model.bundle.golden import GoldenSet
from export.default_bundle import centernet, efficientnet, minilm, regions, space
from export.default_bundle.concepts import DIM, Concepts
from export.default_bundle.graph import Extent, Graph

Weights = dict[str, NDArray[Any]]

# H and W. 16:9 like the cameras, at a quarter of their usual substream. Measured on six clips:
# 320x576 and 384x672 cost 1.3 and 1.7 times as much and rank the prompts no better; a 448x448
# picture without its aspect ratio loses two thirds of the cars.
SIZE: Extent = (288, 512)
CLASSIFIER, DETECTOR = "classifier", "detector"


def image_graph(
    weights: Weights, detector: centernet.GraphModel, concepts: Concepts
) -> onnx.ModelProto:
    """Return the image tower: int8 ``pixels`` [N,3,288,512] -> float ``embedding`` [N,1083]."""
    graph = Graph()
    with graph.scope(DETECTOR):
        heat = centernet.heat_map(graph, detector, "pixels", SIZE)
    with graph.scope(CLASSIFIER):
        logits = efficientnet.logits(graph, weights, "pixels", SIZE)
    embedding = space.image_embedding(graph, heat, logits, concepts)
    return graph.model(
        "concepts image",
        {"pixels": (TensorProto.INT8, ["N", 3, *SIZE])},
        {embedding: ["N", DIM]},
    )


def regions_graph(detector: centernet.GraphModel) -> onnx.ModelProto:
    """Return int8 ``pixels`` [1,3,288,512] -> float ``boxes`` [1,Q,4], ``regions`` [1,Q,1083]."""
    graph = Graph()
    with graph.scope(DETECTOR):
        heat, edges = centernet.heat_and_edges(graph, detector, "pixels", SIZE)
    boxes, found = regions.add_regions(graph, heat, edges, SIZE)
    return graph.model(
        "concepts regions",
        {"pixels": (TensorProto.INT8, [1, 3, *SIZE])},
        {boxes: [1, regions.COUNT, 4], found: [1, regions.COUNT, DIM]},
    )


def find_regions(model: onnx.ModelProto, frames: NDArray[np.int8]) -> GoldenSet:
    """Return the boxes and regions of each frame, as golden rows; ``frames`` are int8 [N,3,H,W]."""
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    found = [session.run(["boxes", "regions"], {"pixels": frame[None]}) for frame in frames]
    boxes, rows = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return GoldenSet({"pixels": frames}, {"boxes": boxes, "regions": rows})


def sentence_graph(weights: Weights) -> onnx.ModelProto:
    """Return MiniLM without the text head: int64 ``input_ids`` [K,L] -> ``sentence`` [K,384]."""
    graph = Graph()
    sentence = minilm.sentence_embedding(graph, weights, "input_ids", stored=np.float32)
    return graph.model(
        "sentences", {"input_ids": (TensorProto.INT64, ["K", "L"])}, {sentence: ["K", minilm.DIM]}
    )


def text_graph(
    weights: Weights, concepts: Concepts, anchors: NDArray[np.float32], stored: DTypeLike
) -> onnx.ModelProto:
    """Return the text tower: int64 ``input_ids`` [K,L] -> ``embedding`` [K,1083], ``coverage`` [K].

    Args:
        weights: Tensors of MiniLM.
        concepts: Axes and anchors.
        anchors: float32 [A,384], the tower's embedding of each anchor.
        stored: Type of the large weights in the file.
    """
    graph = Graph()
    with graph.scope("tower"):
        sentence = minilm.sentence_embedding(graph, weights, "input_ids", stored)
    embedding, coverage = space.text_embedding(graph, sentence, concepts, anchors)
    return graph.model(
        "concepts text",
        {"input_ids": (TensorProto.INT64, ["K", "L"])},
        {embedding: ["K", DIM], coverage: ["K"]},
    )


def embed_texts(
    model: onnx.ModelProto, tokenizer: Tokenizer, texts: Sequence[str]
) -> NDArray[np.float32]:
    """Return the first output of a text graph for each text, float32 [K,D]."""
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    ids = [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
    # Texts of a similar length share a batch, which then needs next to no padding.
    order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
    rows: dict[int, NDArray[np.float32]] = {}
    for start in range(0, len(order), 128):
        batch = order[start : start + 128]
        length = max(len(ids[index]) for index in batch)
        found = session.run(None, {"input_ids": pad([ids[index] for index in batch], length)})[0]
        rows.update(zip(batch, found, strict=True))
    return np.stack([rows[index] for index in range(len(ids))])


def pad(ids: list[list[int]], length: int) -> NDArray[np.int64]:
    """Return token ids padded to one length, int64 [K,length]."""
    return np.array([row + [minilm.PAD_ID] * (length - len(row)) for row in ids], np.int64)
