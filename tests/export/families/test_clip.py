"""CLIP-like families: the graphs answer as the original's own public functions do."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import open_clip
import pytest
import tiny_checkpoints as testing
import torch
from numpy.typing import NDArray
from torch.nn.functional import normalize
from transformers import AutoTokenizer

from edge.errors import ModelError
from edge.model.engines import EngineSettings, open_engine
from edge.rules.text import TextEncoder, Tokenizer
from export.checkpoints.checkpoint import Checkpoint, open_checkpoint
from export.families import assemble
from export.families.towers import embedding_of
from export.graph.to_onnx import to_onnx

FAMILIES = ["clip", "siglip2", "chinese_clip", "vision_text_dual_encoder", "open_clip"]
ENGINES = ["onnxruntime", "openvino"]
SENTENCES = ["a person", "two red cars", "a dog!", "x"]
TOLERANCE = 1e-4


def pictures(rows: int = 5, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, 3, testing.SIDE, testing.SIDE, generator=torch.manual_seed(seed))


def run(
    graph: onnx.ModelProto, engine: str, tensors: dict[str, Any]
) -> dict[str, NDArray[np.float32]]:
    opened = open_engine(engine, graph.SerializeToString(), EngineSettings())
    try:
        return opened.run(tensors)
    finally:
        opened.close()


def original_images(checkpoint: Checkpoint, pixels: torch.Tensor) -> NDArray[np.float32]:
    model: Any = checkpoint.model
    with torch.no_grad():
        if checkpoint.family == "open_clip":
            return model.encode_image(pixels, normalize=True).numpy()
        features = model.get_image_features(pixel_values=pixels)
        return normalize(embedding_of(features), dim=-1).numpy()


def original_texts(checkpoint: Checkpoint, sentences: list[str], **how: Any) -> NDArray[np.float32]:
    """Through the library's own tokenizer, padding and pooling, not ours."""
    model: Any = checkpoint.model
    with torch.no_grad():
        if checkpoint.family == "open_clip":
            ids = open_clip.SimpleTokenizer(context_length=testing.CONTEXT)(sentences)
            return model.encode_text(ids, normalize=True).numpy()
        tokenizer = AutoTokenizer.from_pretrained(checkpoint.directory)
        paddings: dict[str, dict[str, Any]] = {
            # As each family's own processor pads.
            "clip": {"padding": True},
            "siglip2": {"padding": "max_length", "max_length": testing.CONTEXT},
        }
        padding = paddings.get(checkpoint.family, {"padding": True})
        if checkpoint.family == "clip":
            tokenizer.pad_token = "<|endoftext|>"
        elif checkpoint.family == "siglip2":
            tokenizer.pad_token = "<pad>"
        else:
            tokenizer.pad_token = "[PAD]"
        batch = tokenizer(sentences, return_tensors="pt", **padding)
        inputs = {"input_ids": batch["input_ids"]}
        if checkpoint.family != "siglip2":
            inputs["attention_mask"] = batch["attention_mask"]
        features = model.get_text_features(**inputs)
        return normalize(embedding_of(features), dim=-1).numpy()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_image_graph_answers_as_the_original(exported: Any, family: str, engine: str) -> None:
    model = exported(family)
    pixels = pictures()
    found = run(model.graphs["image"], engine, {"pixel_values": pixels.numpy()})["embedding"]
    expected = original_images(model.checkpoint, pixels)
    assert found.shape == (5, model.assembly.facts.embedding.dim)
    assert np.abs(found - expected).max() <= TOLERANCE
    # What must not pass: colours in the order of OpenCV, or a mean that is off by a few levels.
    swapped = run(model.graphs["image"], engine, {"pixel_values": pixels.numpy()[:, ::-1]})
    darker = run(model.graphs["image"], engine, {"pixel_values": pixels.numpy() - 0.1})
    for wrong in (swapped, darker):
        assert np.abs(wrong["embedding"] - expected).max() > 10 * TOLERANCE


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_text_graph_answers_as_the_original(exported: Any, family: str, engine: str) -> None:
    model = exported(family)
    ids = model.tokenizer.encode(SENTENCES)
    found = run(model.graphs["text"], engine, {"input_ids": ids})["embedding"]
    expected = original_texts(model.checkpoint, SENTENCES)
    assert np.abs(found - expected).max() <= TOLERANCE
    others = ["a person", "two red cats", "a dog!", "y"]
    wrong = run(model.graphs["text"], engine, {"input_ids": model.tokenizer.encode(others)})
    differ = np.abs(wrong["embedding"] - expected).max(axis=1) > 10 * TOLERANCE
    assert differ.tolist() == [False, True, False, True]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_devices_own_text_encoder_answers_as_the_original(exported: Any, family: str) -> None:
    model = exported(family)
    graph = model.graphs["text"].SerializeToString()
    engine = open_engine("onnxruntime", graph, EngineSettings())
    encoder = TextEncoder(engine, model.tokenizer, model.assembly.facts.text)
    found = encoder.encode(SENTENCES)
    engine.close()
    expected = original_texts(model.checkpoint, SENTENCES)
    assert np.abs(found.embeddings - expected).max() <= TOLERANCE
    assert found.coverage is None


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("role", ["image", "text"])
def test_a_row_does_not_depend_on_its_neighbours(
    exported: Any, family: str, role: str, engine: str
) -> None:
    model = exported(family)
    if role == "image":
        tensors = {"pixel_values": pictures(4).numpy()}
    else:
        tensors = {"input_ids": model.tokenizer.encode(SENTENCES)}
    opened = open_engine(engine, model.graphs[role].SerializeToString(), EngineSettings())
    together = opened.run(tensors)
    for row in range(4):
        alone = opened.run({name: rows[row : row + 1] for name, rows in tensors.items()})
        for name, answer in alone.items():
            assert np.allclose(answer[0], together[name][row], atol=1e-5), name
    opened.close()


@pytest.mark.parametrize("family", FAMILIES)
def test_words_are_unit_rows_up_to_the_padding_and_one_of_them_is_the_sentence(
    exported: Any, family: str
) -> None:
    model = exported(family)
    ids = model.tokenizer.encode(SENTENCES)
    answer = run(model.graphs["text"], "onnxruntime", {"input_ids": ids})
    words = answer["words"]
    assert words.shape == (*ids.shape, model.assembly.facts.embedding.dim)
    for row, sentence in enumerate(SENTENCES):
        tokens = len(model.tokenizer._ids(sentence))
        lengths = np.linalg.norm(words[row], axis=1)
        assert lengths[:tokens] == pytest.approx(1, abs=1e-5)
        assert (lengths[tokens:] == 0).all()
        pooled = {"clip": tokens - 1, "open_clip": tokens - 1}.get(family, 0)
        if family == "siglip2":  # pools its last position, which is padding
            continue
        assert np.allclose(words[row, pooled], answer["embedding"][row], atol=1e-6)


def test_words_are_what_the_original_makes_of_each_token(exported: Any) -> None:
    model = exported("clip")
    ids = model.tokenizer.encode(SENTENCES)
    with torch.no_grad():
        states = model.checkpoint.model.text_model(input_ids=torch.from_numpy(ids))
        expected = model.checkpoint.model.text_projection(states.last_hidden_state)
    expected = normalize(expected, dim=-1).numpy()
    found = run(model.graphs["text"], "onnxruntime", {"input_ids": ids})["words"]
    tokens = len(model.tokenizer._ids(SENTENCES[0]))
    assert np.abs(found[0, :tokens] - expected[0, :tokens]).max() <= TOLERANCE


def test_chinese_clip_pools_the_first_token_and_not_berts_pooler(exported: Any) -> None:
    model = exported("chinese_clip").checkpoint.model
    ids = torch.from_numpy(exported("chinese_clip").tokenizer.encode(["a dog"]))
    with torch.no_grad():
        states = model.text_model(ids, attention_mask=(ids != 0).long()).last_hidden_state
        expected = normalize(model.text_projection(states[:, 0]), dim=-1).numpy()
    graph = exported("chinese_clip").graphs["text"]
    found = run(graph, "onnxruntime", {"input_ids": ids.numpy()})["embedding"]
    assert np.abs(found - expected).max() <= TOLERANCE


def test_outputs_of_transformers_4_and_5_are_the_same_embedding(exported: Any) -> None:
    """transformers 4 returns the tensor, 5 an output that holds it."""
    model = exported("clip").checkpoint.model
    features = model.get_image_features(pixel_values=pictures())
    if not isinstance(features, torch.Tensor):
        assert features.last_hidden_state.shape != features.pooler_output.shape
    projected = model.visual_projection(model.vision_model(pictures()).pooler_output)

    class Output5:
        pooler_output = projected

    for output in (features, projected, Output5()):
        assert torch.allclose(embedding_of(output), projected, atol=1e-6)


def test_a_model_of_transformers_4_gives_the_same_graph(exported: Any, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(str(testing.tiny_clip(tmp_path / "clip")))
    model: Any = checkpoint.model
    new_style = model.get_image_features
    model.get_image_features = lambda **inputs: embedding_of(new_style(**inputs))
    assert isinstance(model.get_image_features(pixel_values=pictures()), torch.Tensor)
    (image, _) = assemble(checkpoint).parts
    found = to_onnx(image)
    expected = exported("clip").graphs["image"]
    answers = [
        run(graph, "onnxruntime", {"pixel_values": pictures().numpy()})["embedding"]
        for graph in (found, expected)
    ]
    assert np.allclose(answers[0], answers[1], atol=1e-6)


def test_mobileclips_text_tower_sees_its_padding(tmp_path: Path) -> None:
    """It looks both ways and open_clip fills up with zeros: the device must as well."""
    directory = testing.tiny_open_clip(tmp_path / "mobile", no_causal_mask=True)
    checkpoint = open_checkpoint(str(directory))
    assembly = assemble(checkpoint)
    (_, text) = assembly.parts
    graph = to_onnx(text)
    ids = Tokenizer(assembly.tokenizer, assembly.facts.text).encode(SENTENCES)
    found = run(graph, "onnxruntime", {"input_ids": ids})["embedding"]
    assert np.abs(found - original_texts(checkpoint, SENTENCES)).max() <= TOLERANCE
    end = ids.max()
    padded_otherwise = np.where(np.cumsum(ids == end, axis=1) > 0, end, ids)
    wrong = run(graph, "onnxruntime", {"input_ids": padded_otherwise})["embedding"]
    assert np.abs(wrong - found).max() > 10 * TOLERANCE


def test_facts_say_how_the_family_reads_pictures_and_sentences(exported: Any) -> None:
    facts = {family: exported(family).assembly.facts for family in FAMILIES}
    assert facts["clip"].image.resize == "shortest_edge"
    assert facts["siglip2"].image.resize == "stretch"
    assert facts["siglip2"].image.mean == (127.5, 127.5, 127.5)
    assert facts["clip"].image.mean == pytest.approx((122.77, 116.75, 104.09), abs=0.01)
    assert facts["open_clip"].image == facts["clip"].image
    assert facts["clip"].text.pad_id == testing.CLIP_VOCABULARY - 1  # its end of text
    assert facts["open_clip"].text.pad_id == 0
    assert facts["clip"].embedding.logit_scale == pytest.approx(1 / 0.07, rel=1e-3)
    assert facts["chinese_clip"].text.background[0] == "空荡的场景"
    for family, found in facts.items():
        assert (found.model.family, found.frame_class, found.frames) == (family, "F", 1)
        assert found.text.context_length == testing.CONTEXT


def test_a_text_model_without_a_pooler_is_refused(exported: Any, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(str(testing.tiny_dual_encoder(tmp_path / "dual")))
    model: Any = checkpoint.model
    model.text_model.pooler = None
    with pytest.raises(ModelError, match="expected a text model with a pooler"):
        assemble(checkpoint)


def test_a_tokenizer_of_a_larger_model_is_refused(clip_directory: Path, exported: Any) -> None:
    checkpoint = exported("clip").checkpoint
    other = type(checkpoint)(
        **{name: getattr(checkpoint, name) for name in checkpoint.__slots__}
        | {"tokenizer": exported("open_clip").assembly.tokenizer}
    )
    with pytest.raises(ModelError, match=r"ids below 1514, .* found the id 49407"):
        assemble(other)
