"""X-CLIP (Microsoft) in three graphs is the original; numbers come from transformers itself."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.model.bundle.manifest import Role

pytest.importorskip("torch")
pytest.importorskip("transformers")

import onnx
import torch
from tiny_checkpoints import CLIP_VOCABULARY, CONTEXT, DIM, SIDE, tiny_clip
from tiny_xclip import FRAMES, PATCHES, tiny_xclip

from edge.errors import InferenceError, ModelError
from edge.model.bundle.contract import ANY, contract_of
from edge.model.engines import Engine, EngineSettings, open_engine
from edge.rules.text import TextEncoder, Tokenizer
from export.checkpoints.catalog import Row
from export.checkpoints.checkpoint import Checkpoint, open_checkpoint
from export.families.base import Assembly, Part
from export.families.xclip_ms import assemble
from export.graph.pixels import fold_pixels
from export.graph.reshape import simplify
from export.graph.to_onnx import to_onnx
from export.quantize.static import quantize_static

SENTENCES = ["a person opens a door", "a dog", "two cars collide at a crossing", "sleep", "x"]
END = CLIP_VOCABULARY - 1
# All above one and all different, so that no axis can be taken for another.
CLIPS = 3
SETTINGS = EngineSettings()


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_xclip(tmp_path_factory.mktemp("xclip") / "tiny")


@pytest.fixture(scope="module")
def checkpoint(directory: Path) -> Checkpoint:
    return open_checkpoint(str(directory))


@pytest.fixture(scope="module")
def assembly(checkpoint: Checkpoint) -> Assembly:
    return assemble(checkpoint)


@pytest.fixture(scope="module")
def parts(assembly: Assembly) -> dict[str, Part]:
    return {part.role: part for part in assembly.parts}


@pytest.fixture(scope="module")
def graphs(parts: dict[str, Part], assembly: Assembly) -> dict[str, onnx.ModelProto]:
    return {role: to_onnx(part, assembly.opset) for role, part in parts.items()}


@pytest.fixture(scope="module", params=["onnxruntime", "openvino"])
def engines(
    request: pytest.FixtureRequest, graphs: dict[str, onnx.ModelProto]
) -> dict[str, Engine]:
    pytest.importorskip(request.param)
    return {
        role: open_engine(request.param, graph.SerializeToString(), SETTINGS)
        for role, graph in graphs.items()
    }


@pytest.fixture(scope="module")
def ids(assembly: Assembly) -> np.ndarray:
    return Tokenizer(assembly.tokenizer, assembly.facts.text).encode(SENTENCES)


@pytest.fixture(scope="module")
def clips() -> np.ndarray:
    draw = np.random.default_rng(5)
    return draw.standard_normal((CLIPS, FRAMES, 3, SIDE, SIDE)).astype(np.float32)


@pytest.fixture(scope="module")
def reference(checkpoint: Checkpoint, clips: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Cosines [N, K] of the original, called as its own examples call it."""
    return original_cosines(checkpoint, clips, ids)


def original_cosines(checkpoint: Checkpoint, clips: np.ndarray, ids: np.ndarray) -> np.ndarray:
    model: Any = checkpoint.model
    # Hugging Face's processor masks what follows the first end-of-text token.
    after = np.cumsum(ids == END, axis=1) - (ids == END) > 0
    with torch.no_grad():
        output = model(
            input_ids=torch.from_numpy(ids),
            pixel_values=torch.from_numpy(clips.copy()),
            attention_mask=torch.from_numpy((~after).astype(np.int64)),
        )
        return (output.logits_per_video / model.logit_scale.exp()).numpy()


def run_split(parts: Mapping[str, Part], clips: np.ndarray, ids: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        embedding, context = parts["video"].module(torch.from_numpy(clips.copy()))
        rows, length = parts["text"].module(torch.from_numpy(ids))
        return parts["head"].module(embedding, context, rows * length[:, None]).numpy()


def run_engines(engines: Mapping[str, Engine], clips: np.ndarray, ids: np.ndarray) -> np.ndarray:
    video = engines["video"].run({"pixels": clips})
    text = engines["text"].run({"input_ids": ids})
    vectors = text["embedding"] * text["length"][:, None]
    return engines["head"].run(video | {"text": vectors})["cosine"]


def test_the_split_is_the_original(
    parts: dict[str, Part], clips: np.ndarray, ids: np.ndarray, reference: np.ndarray
) -> None:
    assert reference.shape == (CLIPS, len(SENTENCES))
    assert np.abs(run_split(parts, clips, ids) - reference).max() < 1e-5


def test_without_the_head_or_without_lengths_it_would_not_be(
    parts: dict[str, Part], clips: np.ndarray, ids: np.ndarray, reference: np.ndarray
) -> None:
    with torch.no_grad():
        embedding, context = parts["video"].module(torch.from_numpy(clips.copy()))
        rows, _ = parts["text"].module(torch.from_numpy(ids))
        unit_only = parts["head"].module(embedding, context, rows)
        other_clip = parts["head"].module(embedding, context.flip(0), rows)
    assert np.abs((embedding @ rows.T).numpy() - reference).max() > 0.01
    assert np.abs(unit_only.numpy() - reference).max() > 0.01
    assert np.abs(unit_only.numpy() - other_clip.numpy()).max() > 1e-3


def test_the_graphs_are_the_original_in_every_runtime(
    engines: dict[str, Engine], clips: np.ndarray, ids: np.ndarray, reference: np.ndarray
) -> None:
    cosines = run_engines(engines, clips, ids)
    assert cosines.dtype == np.float32
    assert np.abs(cosines - reference).max() < 1e-4


@pytest.mark.parametrize(("rows", "sentences"), [(1, 1), (1, 5), (2, 2), (3, 1), (2, 5)])
def test_any_number_of_clips_meets_any_number_of_sentences(
    engines: dict[str, Engine],
    clips: np.ndarray,
    ids: np.ndarray,
    reference: np.ndarray,
    rows: int,
    sentences: int,
) -> None:
    cosines = run_engines(engines, clips[:rows], ids[:sentences])
    assert cosines == pytest.approx(reference[:rows, :sentences], abs=1e-4)


def test_what_each_graph_takes_and_gives_is_what_a_bundle_says(
    assembly: Assembly, engines: dict[Role, Engine]
) -> None:
    assert assembly.facts.graphs == ("video", "head", "text")
    for role, engine in engines.items():
        expected = contract_of(assembly.facts, role)
        for specs, found in (
            (expected.inputs, engine.inputs),
            (expected.outputs, engine.outputs),
        ):
            assert [spec.name for spec in specs] == [spec.name for spec in found]
            for spec, have in zip(specs, found, strict=True):
                wanted = [PATCHES if extent == ANY else extent for extent in spec.shape]
                assert list(have.shape) == wanted, f"{role} {spec.name}"


def test_rows_are_unit_vectors(
    engines: dict[str, Engine], clips: np.ndarray, ids: np.ndarray
) -> None:
    video, text = engines["video"].run({"pixels": clips}), engines["text"].run({"input_ids": ids})
    for rows in (video["embedding"], text["embedding"]):
        assert np.linalg.norm(rows, axis=1) == pytest.approx(1, abs=1e-5)
    assert np.ptp(text["length"]) > 0.01, "sentences of one length could not tell a lost length"


def test_the_end_of_a_sentence_is_read_whatever_fills_up_the_row(
    engines: dict[str, Engine], ids: np.ndarray
) -> None:
    """A tie: the end-of-text token is the highest id, and also the padding."""
    assert (ids == END).sum(axis=1).min() > 1
    zeros = np.where(np.cumsum(ids == END, axis=1) - (ids == END) > 0, 0, ids)
    padded = engines["text"].run({"input_ids": ids})
    assert padded["embedding"] == pytest.approx(
        engines["text"].run({"input_ids": zeros})["embedding"], abs=1e-5
    )


def test_the_device_s_text_encoder_keeps_the_lengths(
    assembly: Assembly, engines: dict[Role, Engine], ids: np.ndarray, checkpoint: Checkpoint
) -> None:
    spec = assembly.facts.text
    encoder = TextEncoder(engines["text"], Tokenizer(assembly.tokenizer, spec), spec)
    encoding = encoder.encode(SENTENCES)
    model: Any = checkpoint.model
    with torch.no_grad():
        vectors = model.text_projection(model.text_model(torch.from_numpy(ids))[1]).numpy()
    assert encoding.lengths is not None
    found = encoding.embeddings * encoding.lengths[:, None]
    assert np.abs(found - vectors).max() < 1e-4


def test_reversed_frames_change_the_answer(
    engines: dict[str, Engine], clips: np.ndarray, ids: np.ndarray, checkpoint: Checkpoint
) -> None:
    backwards = np.ascontiguousarray(clips[:, ::-1])
    forward = run_engines(engines, clips, ids)
    reverse = run_engines(engines, backwards, ids)
    assert np.abs(forward - reverse).max() > 1e-3
    assert np.abs(reverse - original_cosines(checkpoint, backwards, ids)).max() < 1e-4


def test_each_frame_s_features_depend_on_the_other_frames(
    checkpoint: Checkpoint, assembly: Assembly, clips: np.ndarray
) -> None:
    """Class C is declared, and true: with class F, frame 0 would be what it was, bit for bit."""
    assert (assembly.facts.frame_class, assembly.facts.frames) == ("C", FRAMES)
    tower = checkpoint.model.get_submodule("vision_model")
    changed = clips[:1].copy()
    changed[0, -1] += 1
    with torch.no_grad():
        before, after = (tower(torch.from_numpy(clip[0]))[1] for clip in (clips[:1], changed))
    assert (before[:-1] - after[:-1]).abs().amax(dim=1).min() > 1e-6


def test_clips_of_a_batch_do_not_mix(engines: dict[str, Engine], clips: np.ndarray) -> None:
    changed = clips.copy()
    changed[1] += 1
    before, after = (engines["video"].run({"pixels": batch}) for batch in (clips, changed))
    for name in ("embedding", "context"):
        assert np.abs(before[name][[0, 2]] - after[name][[0, 2]]).max() < 1e-6
        assert np.abs(before[name][1] - after[name][1]).max() > 1e-3


@pytest.mark.parametrize(
    "shape",
    [
        (1, FRAMES - 1, 3, SIDE, SIDE),
        (1, FRAMES + 1, 3, SIDE, SIDE),
        (1, 2 * FRAMES, 3, SIDE, SIDE),
        (FRAMES, 3, SIDE, SIDE),
        (2 * FRAMES, 3, SIDE, SIDE),
    ],
)
def test_another_number_of_frames_or_a_flat_batch_cannot_be_fed(
    engines: dict[str, Engine], parts: dict[str, Part], shape: tuple[int, ...]
) -> None:
    pixels = np.zeros(shape, np.float32)
    with pytest.raises(InferenceError, match=rf"pixels: expected shape \[\?, {FRAMES}, 3, 32, 32"):
        engines["video"].run({"pixels": pixels})
    with pytest.raises(ValueError, match=rf"expected clips of {FRAMES} frames"):
        parts["video"].module(torch.from_numpy(pixels))


def test_the_original_takes_a_flat_batch_of_unrelated_pictures_without_a_word(
    checkpoint: Checkpoint, clips: np.ndarray
) -> None:
    """Why the tower is never exposed as it is."""
    tower = checkpoint.model.get_submodule("vision_model")
    with torch.no_grad():
        assert tower(torch.from_numpy(clips[0]))[1].shape[0] == FRAMES


def test_facts_come_from_the_checkpoint(assembly: Assembly, checkpoint: Checkpoint) -> None:
    facts = assembly.facts
    assert (facts.name, facts.model.family) == ("tiny", "xclip_ms")
    assert (facts.dim, facts.text.context_length, facts.text.pad_id) == (DIM, CONTEXT, END)
    assert facts.text.templates == ("{}",)
    assert (facts.image.resize, facts.image.interpolation) == ("shortest_edge", "bilinear")
    assert facts.image.mean == pytest.approx((123.675, 116.28, 103.53))
    model: Any = checkpoint.model
    assert facts.embedding is not None
    assert facts.embedding.logit_scale == pytest.approx(model.logit_scale.exp().item())


def test_another_number_of_frames_than_the_catalogue_has_is_a_model_error(
    checkpoint: Checkpoint,
) -> None:
    row = Row("xclip-8", "xclip_ms", "somebody/xclip", None, "MIT", frames=8)
    with pytest.raises(ModelError, match=r"expected 8 frames .* found 4"):
        assemble(replace(checkpoint, row=row))


def test_another_architecture_is_a_model_error(tmp_path: Path) -> None:
    other = open_checkpoint(str(tiny_clip(tmp_path / "clip")))
    with pytest.raises(ModelError, match="expected an XCLIPModel of transformers, found CLIPModel"):
        assemble(replace(other, family="xclip_ms"))


@pytest.mark.parametrize("kind", ["onnxruntime", "openvino"])
def test_the_device_s_int8_pixels_give_what_the_original_gives_for_the_same_pictures(
    graphs: dict[str, onnx.ModelProto], assembly: Assembly, parts: dict[str, Part], kind: str
) -> None:
    """Five axes: the tower folds frames into the batch before its first convolution."""
    pytest.importorskip(kind)
    image = assembly.facts.image
    folded = fold_pixels(graphs["video"], "pixels", image.mean, image.std)
    bytes_ = np.random.default_rng(8).integers(0, 256, (2, FRAMES, 3, SIDE, SIDE), np.uint8)
    mean, std = (np.array(v, np.float32).reshape(3, 1, 1) for v in (image.mean, image.std))
    with torch.no_grad():
        expected = parts["video"].module(torch.from_numpy((bytes_ - mean) / std))
    engine = open_engine(kind, folded.SerializeToString(), SETTINGS)
    assert engine.inputs == contract_of(assembly.facts, "video").inputs
    found = engine.run({"pixels": (bytes_ ^ 0x80).view(np.int8)})
    for name, wanted in zip(("embedding", "context"), expected, strict=True):
        assert np.abs(found[name] - wanted.numpy()).max() < 1e-4, name


def test_the_video_tower_in_int8_still_sees_the_order_of_frames(
    graphs: dict[str, onnx.ModelProto], assembly: Assembly
) -> None:
    pytest.importorskip("openvino")
    image = assembly.facts.image
    folded = simplify(fold_pixels(graphs["video"], "pixels", image.mean, image.std))
    clips = np.random.default_rng(9).integers(-128, 128, (8, FRAMES, 3, SIDE, SIDE), np.int8)
    quantized = quantize_static(folded, [{"pixels": clip[None]} for clip in clips[:4]])
    exact, small = (
        open_engine("openvino", model.SerializeToString(), SETTINGS)
        for model in (folded, quantized)
    )
    reference = exact.run({"pixels": clips})["embedding"]
    answers = small.run({"pixels": clips})["embedding"]
    assert np.einsum("nd,nd->n", reference, answers).min() > 0.9
    # What reversing the frames changes points the same way in both.
    backwards = np.ascontiguousarray(clips[:, ::-1])
    moved = exact.run({"pixels": backwards})["embedding"] - reference
    moved_small = small.run({"pixels": backwards})["embedding"] - answers
    lengths = np.linalg.norm(moved, axis=1) * np.linalg.norm(moved_small, axis=1)
    assert (np.einsum("nd,nd->n", moved, moved_small) / lengths).mean() > 0.6
