"""Grounding DINO taken apart, against Hugging Face's own forward of the same weights."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from tiny_grounding_dino import tiny_bert_tokenizer, tiny_grounding_dino
from tokenizers import Tokenizer as HfTokenizer
from transformers import GroundingDinoForObjectDetection
from transformers.models.grounding_dino.modeling_grounding_dino import (
    generate_masks_with_special_tokens_and_transfer_map as original_masks,
)

from edge.errors import ConfigError, ModelError
from edge.model.bundle.manifest import ModelFacts
from edge.model.engines import EngineSettings, open_engine
from edge.rules.caption import Caption, blocks, write_caption
from edge.rules.text import Tokenizer
from edge.scoring.boxes import Detections, find_boxes
from edge.scoring.grounding import answer, ask
from export.checkpoints.checkpoint import Checkpoint, open_checkpoint
from export.families import grounding_dino
from export.families.base import Assembly
from export.families.grounding_dino_graphs import FLOOR
from export.graph.pixels import fold_pixels
from export.graph.reshape import simplify
from export.graph.to_onnx import to_onnx
from export.proof.boxes import matched
from export.quantize.qdq import layers
from export.quantize.qdq_rules import qdq_violations
from export.quantize.static import quantize_static

HEIGHT, WIDTH, LENGTH = 64, 96, 24
SPECIAL = [101, 102, 1012, 1029]
PHRASES = (["a red car", "dogs"], ["a person with a bicycle on the roof"], ["cat"])
WORDS = [
    "a",
    "the",
    "red",
    "blue",
    "green",
    "big",
    "cat",
    "dog",
    "car",
    "bus",
    "person",
    "bicycle",
    "with",
    "on",
    "roof",
    "rack",
    "cats",
    "dogs",
]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_grounding_dino(tmp_path_factory.mktemp("gdino"))


@pytest.fixture(scope="module")
def original(directory: Path) -> Any:
    """The reference: loaded and run by transformers alone, with the attention it chooses."""
    return GroundingDinoForObjectDetection.from_pretrained(directory).eval()


@pytest.fixture(scope="module")
def checkpoint(directory: Path) -> Checkpoint:
    return open_checkpoint(str(directory))


@pytest.fixture(scope="module")
def assembly(checkpoint: Checkpoint) -> Assembly:
    return grounding_dino.assemble(checkpoint, height=HEIGHT, width=WIDTH, length=LENGTH)


@pytest.fixture(scope="module")
def graphs(assembly: Assembly) -> dict[str, onnx.ModelProto]:
    return {part.role: to_onnx(part, assembly.opset) for part in assembly.parts}


@pytest.fixture(scope="module")
def captions(assembly: Assembly) -> list[Caption]:
    spec = assembly.facts.text
    tokenizer = Tokenizer(assembly.tokenizer, spec)
    return [write_caption(phrases, tokenizer, spec) for phrases in PHRASES]


def picture(seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(1, 3, HEIGHT, WIDTH)).astype(np.float32)


def reference(
    original: Any, caption: Caption, pixels: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Logits [Q, n] and boxes [Q, 4] of the original, which reads the caption's n tokens."""
    ids = torch.from_numpy(caption.input_ids[:, caption.token_mask[0]])
    with torch.no_grad():
        output = original(pixel_values=torch.from_numpy(pixels), input_ids=ids)
    return output.logits[0, :, : ids.shape[1]].numpy(), output.pred_boxes[0].numpy()


def distance(
    caption: Caption, found: Any, expected: tuple[NDArray[np.float32], NDArray[np.float32]]
) -> tuple[np.float32, np.float32]:
    """The largest difference of logits, and of boxes, between queries matched to each other.

    Queries are the places that fit best: near ties may change places.
    """
    logits, boxes = found[0][0][:, caption.token_mask[0]], found[1][0]
    assert found[0].shape[2] == LENGTH
    assert (found[0][0][:, ~caption.token_mask[0]] == FLOOR).all()
    costs = np.abs(boxes[:, None] - expected[1][None]).sum(-1)
    ours, theirs = linear_sum_assignment(costs)
    return (
        np.abs(logits[ours] - expected[0][theirs]).max(),
        np.abs(boxes[ours] - expected[1][theirs]).max(),
    )


def test_the_split_modules_are_the_original(
    assembly: Assembly, original: Any, captions: list[Caption]
) -> None:
    text, detector = (part.module for part in assembly.parts)
    for seed, caption in enumerate(captions):
        pixels = picture(seed)
        masks = [
            torch.from_numpy(array)
            for array in (caption.token_mask, caption.position_ids, caption.block_mask)
        ]
        with torch.no_grad():
            features = text(torch.from_numpy(caption.input_ids), *masks[1:])
            found = detector(torch.from_numpy(pixels), features, *masks)
        logits, boxes = distance(
            caption, [tensor.numpy() for tensor in found], reference(original, caption, pixels)
        )
        assert logits < 1e-4
        assert boxes < 1e-5


@pytest.mark.parametrize("kind", ["onnxruntime", "openvino"])
def test_the_graphs_are_the_original_on_both_runtimes(
    kind: str, graphs: dict[str, onnx.ModelProto], original: Any, captions: list[Caption]
) -> None:
    text, detector = (
        open_engine(kind, graphs[role].SerializeToString(), EngineSettings())
        for role in ("text", "detector")
    )
    answers = []
    for seed, caption in enumerate(captions):
        pixels = picture(seed)
        question = ask(text, caption)
        found = answer(detector, question, pixels[0])
        answers.append(found[1])
        logits, boxes = distance(caption, found, reference(original, caption, pixels))
        assert logits < 1e-4
        assert boxes < 1e-5
        # The comparison can fail: another picture's answer is far away.
        other = answer(detector, question, picture(seed + 10)[0])
        assert distance(caption, other, reference(original, caption, pixels))[0] > 0.1


@pytest.fixture(scope="module")
def folded(graphs: dict[str, onnx.ModelProto], assembly: Assembly) -> onnx.ModelProto:
    image = assembly.facts.image
    return simplify(fold_pixels(graphs["detector"], "pixels", image.mean, image.std))


def int8_picture(seed: int, facts: ModelFacts) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """A picture as the device's pixels, and normalised as the original wants it."""
    pixels = np.random.default_rng(seed).integers(-128, 128, (3, HEIGHT, WIDTH), np.int8)
    mean, std = (np.array(values)[:, None, None] for values in (facts.image.mean, facts.image.std))
    return pixels, ((pixels + 128.0 - mean) / std)[None].astype(np.float32)


@pytest.mark.parametrize("kind", ["onnxruntime", "openvino"])
def test_the_devices_pixels_give_what_normalised_ones_give_the_original(
    kind: str,
    graphs: dict[str, onnx.ModelProto],
    folded: onnx.ModelProto,
    original: Any,
    captions: list[Caption],
    assembly: Assembly,
) -> None:
    text, detector = (
        open_engine(kind, graph.SerializeToString(), EngineSettings())
        for graph in (graphs["text"], folded)
    )
    for seed, caption in enumerate(captions):
        pixels, normalised = int8_picture(seed, assembly.facts)
        found = answer(detector, ask(text, caption), pixels)
        logits, boxes = distance(caption, found, reference(original, caption, normalised))
        assert logits < 1e-4
        assert boxes < 1e-5


def test_the_int8_detector_keeps_the_rules_and_finds_much_of_what_the_float_one_finds(
    graphs: dict[str, onnx.ModelProto],
    folded: onnx.ModelProto,
    captions: list[Caption],
    assembly: Assembly,
) -> None:
    """Weights are random, so boxes hang on near ties: trained ones must reach 95 %."""
    caption = captions[0]
    question = ask(
        open_engine("onnxruntime", graphs["text"].SerializeToString(), EngineSettings()), caption
    )
    pictures = [int8_picture(seed, assembly.facts)[0] for seed in range(6)]
    masks = {name: getattr(caption, name) for name in ("token_mask", "position_ids", "block_mask")}
    samples: list[dict[str, Any]] = [
        {"pixels": p[None], "features": question.features} | masks for p in pictures
    ]
    kept = grounding_dino.keep_float(layer.node.name for layer in layers(folded))
    int8 = quantize_static(folded, samples, kept)
    assert qdq_violations(int8) == []

    def found(model: onnx.ModelProto, picture: NDArray[np.int8], threshold: float) -> Detections:
        engine = open_engine("onnxruntime", model.SerializeToString(), EngineSettings())
        size = (HEIGHT, WIDTH)
        outputs = answer(engine, question, picture)
        return find_boxes(*outputs, caption.token_spans, threshold, assembly.facts.image, size)

    references = [found(folded, picture, 0.3) for picture in pictures]
    quantized = [found(int8, picture, 0.3) for picture in pictures]
    again, sure = np.sum([*map(matched, references, quantized)], axis=0)
    others, _ = np.sum([*map(matched, references, quantized[1:] + quantized[:1])], axis=0)
    assert sure > 50
    assert again / sure > 0.6
    assert others < again / 2


def test_nothing_is_double_precision_and_everything_is_a_standard_operator(
    graphs: dict[str, onnx.ModelProto],
) -> None:
    for graph in graphs.values():
        inferred = onnx.shape_inference.infer_shapes(graph, strict_mode=True)
        types = {value.type.tensor_type.elem_type for value in inferred.graph.value_info}
        assert onnx.TensorProto.DOUBLE not in types
        assert {node.domain for node in graph.graph.node} == {""}
    assert sum(node.op_type == "GridSample" for node in graphs["detector"].graph.node) == 16


def test_the_signature_is_that_of_the_bundle_format(graphs: dict[str, onnx.ModelProto]) -> None:
    def shapes(values: Any) -> dict[str, list[int]]:
        return {
            value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
            for value in values
        }

    text, detector = graphs["text"].graph, graphs["detector"].graph
    masks = {"position_ids": [1, LENGTH], "block_mask": [1, LENGTH, LENGTH]}
    assert shapes(text.input) == {"input_ids": [1, LENGTH]} | masks
    assert shapes(text.output) == {"features": [1, LENGTH, 32]}
    assert (
        shapes(detector.input)
        == {
            "pixels": [1, 3, HEIGHT, WIDTH],
            "features": [1, LENGTH, 32],
            "token_mask": [1, LENGTH],
        }
        | masks
    )
    assert shapes(detector.output) == {"logits": [1, 30, LENGTH], "boxes": [1, 30, 4]}


def test_the_detector_has_no_weights_of_bert(
    graphs: dict[str, onnx.ModelProto], checkpoint: Checkpoint
) -> None:
    def size(graph: onnx.ModelProto) -> int:
        return sum(int(np.prod(tensor.dims)) for tensor in graph.graph.initializer)

    inner: Any = checkpoint.model.model
    bert = sum(p.numel() for p in inner.text_backbone.parameters())
    everything = sum(p.numel() for p in checkpoint.model.parameters())
    assert size(graphs["text"]) > bert
    # Beside its own weights it has positions and starting boxes of each place.
    places = sum(-(-HEIGHT // side) * -(-WIDTH // side) for side in (8, 16, 32, 64))
    assert size(graphs["detector"]) < everything - bert + 2 * places * (32 + 4 + 8)


def test_two_phrases_do_not_change_each_others_features(
    graphs: dict[str, onnx.ModelProto], captions: list[Caption], assembly: Assembly
) -> None:
    spec = assembly.facts.text
    tokenizer = Tokenizer(assembly.tokenizer, spec)
    text = open_engine("onnxruntime", graphs["text"].SerializeToString(), EngineSettings())
    alone = ask(text, write_caption(["a red car"], tokenizer, spec))
    beside = ask(text, write_caption(["dogs", "a red car"], tokenizer, spec))
    one = alone.features[0, alone.caption.token_spans[0]]
    two = beside.features[0, beside.caption.token_spans[1]]
    assert np.abs(one - two).max() < 1e-5
    assert np.abs(one - alone.features[0, 5]).max() > 0.1


def test_the_facts_say_how_pictures_become_pixels(assembly: Assembly) -> None:
    facts = assembly.facts
    assert (facts.frame_class, facts.embedding) == ("P", None)
    image = facts.image
    assert (image.height, image.width, image.resize) == (HEIGHT, WIDTH, "letterbox")
    assert image.interpolation == "bilinear"
    assert image.mean == pytest.approx((123.675, 116.28, 103.53))
    assert image.std == pytest.approx((58.395, 57.12, 57.375))
    assert facts.text.context_length == LENGTH
    assert [part.pixels for part in assembly.parts] == [None, "pixels"]


def random_captions(count: int) -> Iterator[NDArray[np.int64]]:
    """Captions of a few phrases, as token ids by the reference tokenizer, filled up or not."""
    rng = np.random.default_rng(11)
    tokenizer = HfTokenizer.from_str(tiny_bert_tokenizer().decode())
    for _ in range(count):
        phrases = [
            " ".join(rng.choice(WORDS, rng.integers(1, 4))) for _ in range(rng.integers(1, 5))
        ]
        end = rng.choice([".", "?", ""])  # the original takes captions that are not repaired, too
        ids = tokenizer.encode(rng.choice([". ", "? "]).join(phrases) + end).ids
        yield np.array(ids + [0] * rng.integers(0, 8), np.int64)


def test_masks_and_positions_equal_the_originals_on_500_captions() -> None:
    for ids in random_captions(500):
        mask, positions = original_masks(torch.from_numpy(ids)[None], torch.tensor(SPECIAL))
        found = blocks(ids, SPECIAL)
        assert (found[0] == mask[0].numpy()).all()
        assert (found[1] == positions[0].numpy()).all()


@settings(max_examples=300)
@given(st.lists(st.sampled_from([0, 5, 7, *SPECIAL]), min_size=1, max_size=20))
def test_masks_and_positions_equal_the_originals_on_any_ids(ids: list[int]) -> None:
    mask, positions = original_masks(torch.tensor([ids]), torch.tensor(SPECIAL))
    found = blocks(np.array(ids), SPECIAL)
    assert (found[0] == mask[0].numpy()).all()
    assert (found[1] == positions[0].numpy()).all()


def test_a_written_caption_has_the_masks_of_the_original(captions: list[Caption]) -> None:
    for caption in captions:
        ids = torch.from_numpy(caption.input_ids)
        mask, positions = original_masks(ids, torch.tensor(SPECIAL))
        assert (caption.block_mask == mask.numpy()).all()
        assert (caption.position_ids == positions.numpy()).all()


def test_what_stays_float_when_quantized(graphs: dict[str, onnx.ModelProto]) -> None:
    nodes = graphs["detector"].graph.node
    layers = {node.name for node in nodes if node.op_type in {"MatMul", "Gemm", "Conv"}}
    kept = grounding_dino.keep_float(layers)
    for fragment in ("sampling_offsets", "attention_weights", "bbox_embed", "/start_box/", "/box/"):
        named = {layer for layer in layers if fragment in layer}
        assert named, f"no layer called {fragment}"
        assert named <= kept
    int8 = layers - kept
    swin = {layer for layer in layers if layer.startswith("/backbone/")}
    assert swin
    assert swin <= int8
    for fragment in ("deformable/fc1", "value_proj", "fusion/attn/vision_proj", "layers.1/fc2"):
        assert any(fragment in layer for layer in int8), f"{fragment} stays float"
    assert not any("/text/" in layer for layer in int8)


@pytest.mark.parametrize(
    ("sizes", "found"),
    [
        ({"height": 70}, "found 70 x 640"),
        ({"width": 0}, "found 480 x 0"),
        ({"height": 32, "width": 32}, "32 x 32 with places for 22"),
        ({"length": 3}, "4 to 64 tokens, found 3"),
        ({"length": 65}, "4 to 64 tokens, found 65"),
    ],
)
def test_sizes_that_the_model_cannot_have_are_refused(
    checkpoint: Checkpoint, sizes: dict[str, int], found: str
) -> None:
    with pytest.raises(ConfigError, match=found):
        grounding_dino.assemble(checkpoint, **sizes)


def test_another_architecture_and_another_vocabulary_are_refused(checkpoint: Checkpoint) -> None:
    other = dataclasses.replace(checkpoint, config=None)
    with pytest.raises(ModelError, match="expected a GroundingDinoForObjectDetection"):
        grounding_dino.assemble(other)
    document = json.loads(checkpoint.tokenizer)
    vocabulary = document["model"]["vocab"]
    vocabulary["."], vocabulary["[unused1013]"] = vocabulary["[unused1013]"], vocabulary["."]
    moved = dataclasses.replace(checkpoint, tokenizer=json.dumps(document).encode())
    with pytest.raises(ModelError, match="expected BERT's vocabulary"):
        grounding_dino.assemble(moved)
