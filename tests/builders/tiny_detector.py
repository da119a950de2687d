"""A tiny detector for tests, class P: real graphs that find squares by the names of colours.

Each cell of 8 x 8 pixels is one box; it fits ``red``, ``green`` or ``blue`` as its mean colour is.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from edge.model.bundle.golden import Golden, GoldenSet
from edge.model.bundle.manifest import Decision, ImageSpec, ModelFacts, ModelInfo, TextSpec
from edge.model.bundle.read import Bundle
from edge.rules.caption import Caption, write_caption
from edge.rules.text import Tokenizer
from export.bundle.pack import Artefact, golden_npz, write_bundle
from export.checkpoints.tokenizer_json import bert_tokenizer

HEIGHT, WIDTH = 32, 48
CELL = 8
LENGTH = 16
WORDS = (
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "?",
    "a", "square", "red", "green", "blue",
)  # fmt: skip

_OPSET = 18
_IR_VERSION = 9
_FLOOR = -80.0
# Colours by word, [words, E]: what is grey fits none of them.
_COLOURS = {"red": (1, -0.5, -0.5), "green": (-0.5, 1, -0.5), "blue": (-0.5, -0.5, 1)}
_STEEPNESS = 1 / 20
_BIAS = -5.0
_ZEROS: dict[str, Any] = {"rows": np.array([1]), "none": np.float32(0), "begin": np.array(0)}


def tiny_detector_facts() -> ModelFacts:
    """Everything a manifest says about the tiny detector."""
    return ModelFacts(
        name="tiny-detector",
        model=ModelInfo(family="tiny", id="tiny-detector", revision="1", licence="Apache-2.0"),
        frame_class="P",
        frames=1,
        image=ImageSpec(
            height=HEIGHT,
            width=WIDTH,
            resize="letterbox",
            interpolation="area",
            mean=(128, 128, 128),
            std=(1, 1, 1),
        ),
        text=TextSpec(context_length=LENGTH, pad_id=0, templates=("{}",), background=("square",)),
        decision=Decision(threshold=0.5, hysteresis=0.1),
    )


def tiny_detector_tokenizer() -> bytes:
    """BERT's format, a dozen words."""
    return bert_tokenizer({word: index for index, word in enumerate(WORDS)}, lowercase=True)


def tiny_detector_text() -> onnx.ModelProto:
    """``features`` [1, L, 3]: the colour that each word names, zeros for the others."""
    colours = np.array([_COLOURS.get(word, (0, 0, 0)) for word in WORDS], np.float32)
    nodes = [
        helper.make_node("Gather", ["colours", "input_ids"], ["words"]),
        *_seen(),
        helper.make_node("Unsqueeze", ["seen", "last"], ["column"]),
        helper.make_node("Where", ["column", "words", "nothing"], ["features"]),
    ]
    inputs = {
        "input_ids": (TensorProto.INT64, [1, LENGTH]),
        "position_ids": (TensorProto.INT64, [1, LENGTH]),
        "block_mask": (TensorProto.BOOL, [1, LENGTH, LENGTH]),
    }
    constants = {"colours": colours, "last": np.array([2]), "nothing": np.float32(0)}
    return _model(nodes, inputs, {"features": [1, LENGTH, 3]}, constants | _ZEROS)


def tiny_detector_model() -> onnx.ModelProto:
    """``logits`` [1, Q, L] and ``boxes`` [1, Q, 4] of the Q cells."""
    boxes = _cells()
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        helper.make_node(
            "AveragePool", ["float"], ["means"], kernel_shape=[CELL, CELL], strides=[CELL, CELL]
        ),
        helper.make_node("Reshape", ["means", "flat"], ["columns"]),  # [1, 3, Q]
        helper.make_node("Transpose", ["columns"], ["cells"], perm=[0, 2, 1]),
        helper.make_node("Transpose", ["features"], ["words"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["cells", "words"], ["fit"]),  # [1, Q, L]
        helper.make_node("Mul", ["fit", "steepness"], ["steep"]),
        helper.make_node("Add", ["steep", "bias"], ["raw"]),
        *_seen(),
        helper.make_node("And", ["token_mask", "seen"], ["words_seen"]),
        helper.make_node("Where", ["words_seen", "raw", "floor"], ["logits"]),
        helper.make_node("Identity", ["cell_boxes"], ["boxes"]),
    ]
    inputs = {
        "pixels": (TensorProto.INT8, [1, 3, HEIGHT, WIDTH]),
        "features": (TensorProto.FLOAT, [1, LENGTH, 3]),
        "token_mask": (TensorProto.BOOL, [1, LENGTH]),
        "position_ids": (TensorProto.INT64, [1, LENGTH]),
        "block_mask": (TensorProto.BOOL, [1, LENGTH, LENGTH]),
    }
    constants = {
        "flat": np.array([1, 3, boxes.shape[1]], np.int64),
        "steepness": np.float32(_STEEPNESS),
        "bias": np.float32(_BIAS),
        "floor": np.float32(_FLOOR),
        "cell_boxes": boxes,
    }
    outputs = {"logits": [1, boxes.shape[1], LENGTH], "boxes": list(boxes.shape)}
    return _model(nodes, inputs, outputs, constants | _ZEROS)


def tiny_detector_bundle(out: Path) -> Bundle:
    """Write the tiny detector's bundle to ``out``."""
    text, detector = tiny_detector_text(), tiny_detector_model()
    files = {
        "detector.fp32.onnx": Artefact("detector", detector.SerializeToString(), "fp32", 0.999),
        "text.fp32.onnx": Artefact("text", text.SerializeToString(), "fp32", 0.999),
        "tokenizer.json": Artefact("tokenizer", tiny_detector_tokenizer()),
        "golden.npz": Artefact("golden", golden_npz(_golden(text, detector))),
    }
    return write_bundle(out, tiny_detector_facts(), files)


def _seen() -> list[onnx.NodeProto]:
    """Use the inputs that this model has no use for: OpenVINO drops what nothing reads.

    ``seen`` [1, L] is true: each token sees at least itself, and no position is negative.
    """
    return [
        helper.make_node("Cast", ["block_mask"], ["block"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["block", "rows"], ["most"], keepdims=0),
        helper.make_node("Greater", ["most", "none"], ["some"]),
        helper.make_node("GreaterOrEqual", ["position_ids", "begin"], ["placed"]),
        helper.make_node("And", ["some", "placed"], ["seen"]),
    ]


def _golden(text: onnx.ModelProto, detector: onnx.ModelProto) -> Golden:
    spec = tiny_detector_facts().text
    tokenizer = Tokenizer(tiny_detector_tokenizer(), spec)
    captions = [
        write_caption(phrases, tokenizer, spec)
        for phrases in (["red", "a blue square"], ["green", "blue", "red"])
    ]
    pixels = np.random.default_rng(5).integers(-128, 128, (2, 3, HEIGHT, WIDTH), np.int8)
    asked = [_text_inputs(caption) for caption in captions]
    features = [_run(text, inputs)["features"] for inputs in asked]
    seen = [
        {"pixels": pixels[row : row + 1], "features": features[row]}
        | {"token_mask": caption.token_mask}
        | {name: asked[row][name] for name in ("position_ids", "block_mask")}
        for row, caption in enumerate(captions)
    ]
    answers = [_run(detector, inputs) for inputs in seen]
    return {
        "text": GoldenSet(_rows(asked), {"features": np.concatenate(features)}),
        "detector": GoldenSet(_rows(seen), _rows(answers)),
    }


def _text_inputs(caption: Caption) -> dict[str, NDArray[Any]]:
    return {
        "input_ids": caption.input_ids,
        "position_ids": caption.position_ids,
        "block_mask": caption.block_mask,
    }


def _run(model: onnx.ModelProto, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    names = [value.name for value in model.graph.output]
    answers: Any = ReferenceEvaluator(model).run(names, dict(inputs))
    return dict(zip(names, answers, strict=True))


def _rows(dicts: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    return {name: np.concatenate([row[name] for row in dicts]) for name in dicts[0]}


def _cells() -> NDArray[np.float32]:
    """Centre x, centre y, width, height in 0..1 of each cell, row by row; [1, Q, 4]."""
    rows, columns = HEIGHT // CELL, WIDTH // CELL
    y, x = np.divmod(np.arange(rows * columns), columns)
    size = np.broadcast_to([1 / columns, 1 / rows], (rows * columns, 2))
    centres = np.stack([(x + 0.5) / columns, (y + 0.5) / rows], axis=1)
    return np.concatenate([centres, size], axis=1)[np.newaxis].astype(np.float32)


def _model(
    nodes: list[onnx.NodeProto],
    inputs: Mapping[str, tuple[int, list[int]]],
    outputs: Mapping[str, list[int]],
    constants: Mapping[str, Any],
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, *facts) for name, facts in inputs.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs.items()],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION
    )
    onnx.checker.check_model(model, full_check=True)
    return model
