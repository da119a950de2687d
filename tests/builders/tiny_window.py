"""A tiny model of class C for tests, like the one of ``tiny_bundle``: graphs of a few nodes.

The clip's embedding depends on the mean colour of its frames, later ones weighing more, so it
depends on their order. The head moves each sentence by the mean of the clip's context.

Letters in shapes: N clips, T frames, K sentences, L tokens, D embedding.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tiny_bundle import CONTEXT, DIM, SIDE, WORDS, tiny_facts, tiny_tokenizer

from edge.model.bundle.golden import Golden, GoldenSet
from edge.model.bundle.manifest import ModelFacts
from edge.model.bundle.read import Bundle
from export.bundle.pack import Artefact, golden_npz, write_bundle

FRAMES = 3

_OPSET = 17
_IR_VERSION = 9

# Colour to embedding, [3, D]; the last axis keeps every vector away from zero.
_COLOURS = np.eye(3, DIM, dtype=np.float32) / np.float32(64)
_OFFSET = np.array([0, 0, 0, 0.1], np.float32)
_SHARE = np.array(0.1, np.float32)  # of the context, in what a sentence becomes
_WEIGHTS = np.arange(1, FRAMES + 1, dtype=np.float32)[:, None] / np.float32(6)  # [T, 1]
# Word to vector, [words, D], in the order of ``tiny_bundle.WORDS``.
_WORDS = np.array(
    [[0, 0, 0, 0], [0, 0, 0, 1], [2, -1, -1, 0.1], [-1, 2, -1, 0.1], [-1, -1, 2, 0.1]], np.float32
)

_WORD_OFFSET = np.array([0, 0, 0, 0.01], np.float32)


def tiny_window_facts() -> ModelFacts:
    """Everything a manifest says about the tiny model."""
    return tiny_facts().model_copy(
        update={"name": "tiny-window", "frame_class": "C", "frames": FRAMES}
    )


def tiny_video_model(frames: int = FRAMES) -> bytes:
    """``pixels`` int8 [N, T, 3, 8, 8] to ``embedding`` [N, 4] and ``context`` [N, T, 4]."""
    node = helper.make_node
    return _model(
        [
            node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
            node("ReduceMean", ["float"], ["mean"], axes=[3, 4], keepdims=0),
            node("MatMul", ["mean", "colours"], ["context"]),
            node("Mul", ["context", "weights"], ["weighted"]),
            node("ReduceSum", ["weighted", "axis"], ["sum"], keepdims=0),
            node("Add", ["sum", "offset"], ["raw"]),
            node("LpNormalization", ["raw"], ["embedding"], axis=-1, p=2),
        ],
        [("pixels", TensorProto.INT8, ["N", frames, 3, SIDE, SIDE])],
        [("embedding", ["N", DIM]), ("context", ["N", frames, DIM])],
        {
            "colours": _COLOURS,
            "weights": np.resize(_WEIGHTS, (frames, 1)),
            "offset": _OFFSET,
            "axis": np.array([1]),
        },
    )


def tiny_head_model() -> bytes:
    """``embedding`` [N, 4], ``context`` [N, 3, 4] and ``text`` [K, 4] to ``cosine`` [N, K]."""
    node = helper.make_node
    return _model(
        [
            node("ReduceMean", ["context"], ["seen"], axes=[1], keepdims=1),
            node("Mul", ["seen", "share"], ["move"]),
            node("Add", ["text", "move"], ["moved"]),  # [K, D] + [N, 1, D] -> [N, K, D]
            node("LpNormalization", ["moved"], ["said"], axis=-1, p=2),
            node("Unsqueeze", ["embedding", "last"], ["column"]),  # [N, D, 1]
            node("MatMul", ["said", "column"], ["products"]),
            node("Squeeze", ["products", "last"], ["cosine"]),
        ],
        [
            ("embedding", TensorProto.FLOAT, ["N", DIM]),
            ("context", TensorProto.FLOAT, ["N", FRAMES, DIM]),
            ("text", TensorProto.FLOAT, ["K", DIM]),
        ],
        [("cosine", ["N", "K"])],
        {"share": _SHARE, "last": np.array([2])},
    )


def tiny_window_text_model() -> bytes:
    """``input_ids`` int64 [K, 6] to ``embedding`` [K, 4] and ``length`` [K]."""
    node = helper.make_node
    return _model(
        [
            node("Gather", ["words", "input_ids"], ["vectors"]),
            node("ReduceMean", ["vectors"], ["mean"], axes=[1], keepdims=0),
            node("Add", ["mean", "offset"], ["raw"]),
            node("LpNormalization", ["raw"], ["embedding"], axis=-1, p=2),
            node("ReduceL2", ["raw"], ["length"], axes=[-1], keepdims=0),
        ],
        [("input_ids", TensorProto.INT64, ["K", CONTEXT])],
        [("embedding", ["K", DIM]), ("length", ["K"])],
        {"words": _WORDS, "offset": _WORD_OFFSET},
    )


def tiny_window_golden() -> Golden:
    """Clips that turn from one colour to another, words of colours, and each with each."""
    input_ids = np.zeros((3, CONTEXT), np.int64)
    input_ids[:, 0] = WORDS.index("red") + np.arange(3)
    vectors = _WORDS[input_ids].mean(axis=1) + _WORD_OFFSET
    clips = np.stack([colour_clip(first, last) for first, last in ((0, 1), (1, 2), (2, 0))])
    embedding, context = video_reference(clips)
    head = {"embedding": embedding, "context": context, "text": vectors}
    return {
        "video": GoldenSet({"pixels": clips}, {"embedding": embedding, "context": context}),
        "head": GoldenSet(head, {"cosine": head_reference(embedding, context, vectors)}),
        "text": GoldenSet(
            {"input_ids": input_ids},
            {"embedding": _unit(vectors), "length": np.linalg.norm(vectors, axis=1)},
        ),
    }


def tiny_window_bundle(out: Path) -> Bundle:
    """Write a bundle of the tiny model to ``out``."""
    files = {
        "video.fp32.onnx": Artefact("video", tiny_video_model(), "fp32", 0.999),
        "head.fp32.onnx": Artefact("head", tiny_head_model(), "fp32", 0.999),
        "text.fp32.onnx": Artefact("text", tiny_window_text_model(), "fp32", 0.999),
        "tokenizer.json": Artefact("tokenizer", tiny_tokenizer()),
        "golden.npz": Artefact("golden", golden_npz(tiny_window_golden())),
    }
    return write_bundle(out, tiny_window_facts(), files)


def colour_clip(first: int, last: int) -> NDArray[np.int8]:
    """A clip, int8 [T, 3, 8, 8], whose last frame has another colour than those before it."""
    clip = np.full((FRAMES, 3, SIDE, SIDE), -64, np.int8)
    clip[:-1, first] = 64
    clip[-1, last] = 64
    return clip


def video_reference(clips: NDArray[np.int8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """``embedding`` and ``context`` as the tiny video graph's arithmetic gives them."""
    context = clips.astype(np.float32).mean(axis=(3, 4)) @ _COLOURS  # [N, T, D]
    return _unit((context * _WEIGHTS).sum(axis=1) + _OFFSET), context


def head_reference(
    embedding: NDArray[np.float32], context: NDArray[np.float32], text: NDArray[np.float32]
) -> NDArray[np.float32]:
    """``cosine`` [N, K] as the tiny head's arithmetic gives it."""
    said = _unit(text + context.mean(axis=1, keepdims=True) * _SHARE)  # [N, K, D]
    return np.asarray(np.einsum("nd,nkd->nk", embedding, said), np.float32)


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), np.float32)


def _model(
    nodes: list[onnx.NodeProto],
    inputs: list[tuple[str, int, list[int | str]]],
    outputs: list[tuple[str, list[int | str]]],
    weights: dict[str, NDArray[Any]],
) -> bytes:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION
    )
    data: bytes = model.SerializeToString()
    return data
