"""A tiny bundle for tests: real graphs, a real tokenizer, built in milliseconds.

The picture's embedding depends on its mean colour, a sentence's on its words: ``red``, ``green``
and ``blue`` meet the pictures of that colour.
"""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers

from edge.model.bundle.golden import Golden, GoldenSet
from edge.model.bundle.manifest import (
    Decision,
    EmbeddingSpec,
    ImageSpec,
    ModelFacts,
    ModelInfo,
    TextSpec,
)
from edge.model.bundle.read import Bundle
from export.bundle.pack import Artefact, golden_npz, write_bundle

SIDE = 8
DIM = 4
CONTEXT = 6
WORDS = ("[PAD]", "[UNK]", "red", "green", "blue")

_OPSET = 17
_IR_VERSION = 9

# Colour to embedding, [3, D], and word to embedding, [words, D]; the last axis is a constant, which
# keeps every vector away from zero.
_COLOURS = np.eye(3, DIM, dtype=np.float32) / np.float32(64)
_WORDS = np.array(
    [[0, 0, 0, 0], [0, 0, 0, 1], [2, -1, -1, 0.1], [-1, 2, -1, 0.1], [-1, -1, 2, 0.1]], np.float32
)


def tiny_facts() -> ModelFacts:
    """Everything a manifest says about the tiny model."""
    return ModelFacts(
        name="tiny",
        model=ModelInfo(family="tiny", id="tiny", revision="1", licence="Apache-2.0"),
        frame_class="F",
        frames=1,
        embedding=EmbeddingSpec(dim=DIM, logit_scale=1),
        image=ImageSpec(
            height=SIDE,
            width=SIDE,
            resize="stretch",
            interpolation="bilinear",
            mean=(128, 128, 128),
            std=(1, 1, 1),
        ),
        text=TextSpec(
            context_length=CONTEXT, pad_id=0, templates=("{}",), background=("something",)
        ),
        decision=Decision(threshold=0.1, hysteresis=0.02),
    )


def tiny_image_model() -> bytes:
    """``pixels`` int8 [N, 3, 8, 8] to ``embedding`` float32 [N, 4]."""
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["mean", "colours"], ["projected"]),
        helper.make_node("Add", ["projected", "offset"], ["raw"]),
        helper.make_node("LpNormalization", ["raw"], ["embedding"], axis=-1, p=2),
    ]
    offset = np.array([0, 0, 0, 0.1], np.float32)
    return _model(
        nodes,
        helper.make_tensor_value_info("pixels", TensorProto.INT8, ["N", 3, SIDE, SIDE]),
        {"colours": _COLOURS, "offset": offset},
    )


def tiny_text_model() -> bytes:
    """``input_ids`` int64 [N, 6] to ``embedding`` float32 [N, 4]."""
    nodes = [
        helper.make_node("Gather", ["words", "input_ids"], ["vectors"]),
        helper.make_node("ReduceMean", ["vectors"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("Add", ["mean", "offset"], ["raw"]),
        helper.make_node("LpNormalization", ["raw"], ["embedding"], axis=-1, p=2),
    ]
    offset = np.array([0, 0, 0, 0.01], np.float32)
    return _model(
        nodes,
        helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["N", CONTEXT]),
        {"words": _WORDS, "offset": offset},
    )


def _model(
    nodes: list[onnx.NodeProto],
    entry: onnx.ValueInfoProto,
    weights: dict[str, NDArray[np.float32]],
) -> bytes:
    result = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", DIM])
    graph = helper.make_graph(
        nodes,
        "tiny",
        [entry],
        [result],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION
    )
    data: bytes = model.SerializeToString()
    return data


def tiny_tokenizer() -> bytes:
    """Split at blanks; five words."""
    vocabulary = {word: index for index, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.add_special_tokens(["[UNK]"])
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    text: str = tokenizer.to_str()
    return text.encode()


def tiny_golden() -> Golden:
    """Red, green and blue, as pictures and as words, and what the graphs' arithmetic gives."""
    pixels = np.full((3, 3, SIDE, SIDE), -64, np.int8)
    input_ids = np.zeros((3, CONTEXT), np.int64)
    for row in range(3):
        pixels[row, row] = 64
        input_ids[row, 0] = WORDS.index("red") + row
    means = pixels.astype(np.float32).mean(axis=(2, 3))
    image = means @ _COLOURS + np.array([0, 0, 0, 0.1], np.float32)
    text = _WORDS[input_ids].mean(axis=1) + np.array([0, 0, 0, 0.01], np.float32)
    return {
        "image": GoldenSet({"pixels": pixels}, {"embedding": _unit(image)}),
        "text": GoldenSet({"input_ids": input_ids}, {"embedding": _unit(text)}),
    }


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def tiny_files() -> dict[str, Artefact]:
    """The files of the tiny bundle; the INT8 image graph is the float one under that name."""
    return {
        "image.fp32.onnx": Artefact("image", tiny_image_model(), "fp32", 0.999),
        "image.int8.onnx": Artefact("image", tiny_image_model(), "int8", 0.99),
        "text.fp32.onnx": Artefact("text", tiny_text_model(), "fp32", 0.999),
        "tokenizer.json": Artefact("tokenizer", tiny_tokenizer()),
        "axes.json": Artefact("axes", b'["red", "green", "blue", "any"]'),
        "golden.npz": Artefact("golden", golden_npz(tiny_golden())),
    }


def tiny_bundle(out: Path) -> Bundle:
    """Write the tiny bundle to ``out``."""
    return write_bundle(out, tiny_facts(), tiny_files())
