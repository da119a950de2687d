"""A bundle of class C, opened and used as the daemon does it."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from present import present
from tiny_bundle import tiny_tokenizer
from tiny_window import (
    FRAMES,
    colour_clip,
    head_reference,
    tiny_head_model,
    tiny_video_model,
    tiny_window_bundle,
    tiny_window_facts,
    tiny_window_golden,
    tiny_window_text_model,
    video_reference,
)

from edge.alerts.pipeline import Pipeline
from edge.alerts.rule_set import RuleSet
from edge.config.models import Config, EngineConfig
from edge.config.prompt import PromptConfig
from edge.delivery.payloads import ModelRef
from edge.errors import ModelError
from edge.model.bundle.read import Bundle
from edge.model.graphs import open_graph
from edge.model.variants import Variant
from edge.rules.bank import PromptBank
from edge.scoring.open import Models, open_models
from edge.scoring.scorers.window import WindowScorer
from edge.video.sample import Arrival, Sample
from export.bundle.pack import Artefact, golden_npz, write_bundle

KINDS = ["openvino", "onnxruntime"]
RED, GREEN, BLUE = range(3)
PROMPTS = {
    colour: {"text": colour, "on": {"for": 1, "of": 1}, "threshold": 0.1}
    for colour in ("red", "green", "blue")
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_window_bundle(tmp_path_factory.mktemp("window") / "bundle")


@pytest.fixture(params=KINDS)
def models(request: pytest.FixtureRequest, bundle: Bundle) -> Iterator[Models]:
    pytest.importorskip(request.param)
    with open_models(bundle, EngineConfig(kind=request.param)) as opened:
        yield opened


def bank_of(models: Models) -> PromptBank:
    prompts = {name: PromptConfig.model_validate(p) for name, p in PROMPTS.items()}
    with models.scoring.open_compiler() as compiler:
        return compiler(prompts)


def samples(clip: NDArray[np.int8], start: float = 0.0) -> list[Sample]:
    return [
        Sample("porch", number, Arrival(1.75e9, start + number / 2, None), pixels)
        for number, pixels in enumerate(clip)
    ]


def test_a_bundle_of_class_c_scores_clips_as_its_graphs_say(models: Models) -> None:
    assert isinstance(models.scoring.scorer, WindowScorer)
    assert models.main.report is not None
    bank = bank_of(models)
    clip = colour_clip(RED, BLUE)
    *early, answer = (models.scoring.scorer.score([sample], bank)[0] for sample in samples(clip))
    assert early == [None] * (FRAMES - 1)
    assert answer is not None
    embedding, context = video_reference(clip[None])
    expected = head_reference(embedding, context, bank.rows * present(bank.lengths)[:, None])
    assert answer.cosines == pytest.approx(expected[0], abs=1e-5)


def test_a_compiled_bank_holds_the_lengths_of_the_model_s_vectors(models: Models) -> None:
    bank = bank_of(models)
    lengths = present(bank.lengths)
    golden = tiny_window_golden()["text"]
    # One plain template: the rows of the three colours are the golden ones.
    assert lengths[:3] == pytest.approx(golden.answers["length"], abs=1e-5)
    assert bank.rows[:3] == pytest.approx(golden.answers["embedding"], abs=1e-5)
    assert len(lengths) == len(bank.rows)
    with pytest.raises(ValueError, match="read-only"):
        lengths[0] = 1


def test_clips_become_alerts(models: Models, bundle: Bundle) -> None:
    config = Config.model_validate(
        {
            "device": {"id": "box"},
            "bundle": "unused",
            "mqtt": {"host": "localhost"},
            "prompts": PROMPTS,
            "cameras": {"porch": {"url": "file:x.mp4"}},
        }
    )
    pipeline = Pipeline(
        config,
        ModelRef(id="m", hash="h", precision="fp32"),
        bundle.manifest.decision,
        models.scoring.scorer,
        RuleSet(config.prompts, bank_of(models)),
    )
    messages = [
        message
        for sample in samples(colour_clip(GREEN, GREEN))
        for message in pipeline.process(sample)
    ]
    assert [message.kind for message in messages] == ["alert", "embedding"]
    assert json.loads(messages[0].payload)["prompt"] == {"id": "green", "text": "green"}


def test_the_null_engine_opens_it_too(bundle: Bundle) -> None:
    with open_models(bundle, EngineConfig(kind="null")) as opened:
        bank = bank_of(opened)
        *_, answer = (
            opened.scoring.scorer.score([s], bank)[0] for s in samples(colour_clip(RED, RED))
        )
    assert answer is not None
    assert answer.cosines.shape == (len(bank.rows),)


def test_graphs_for_another_number_of_frames_than_the_manifest_s_are_refused(
    tmp_path: Path,
) -> None:
    pytest.importorskip("onnxruntime")
    files = {
        "video.onnx": Artefact("video", tiny_video_model(FRAMES + 1), "fp32", 0.999),
        "head.onnx": Artefact("head", tiny_head_model(), "fp32", 0.999),
        "text.onnx": Artefact("text", tiny_window_text_model(), "fp32", 0.999),
        "tokenizer.json": Artefact("tokenizer", tiny_tokenizer()),
        "golden.npz": Artefact("golden", golden_npz(tiny_window_golden())),
    }
    bundle = write_bundle(tmp_path / "bundle", tiny_window_facts(), files)
    with pytest.raises(
        ModelError, match=r"expected the input pixels int8 \[\?, 3, 3, 8, 8\], found .*\[\?, 4, 3"
    ):
        open_models(bundle, EngineConfig(kind="onnxruntime"))


def test_a_text_graph_that_keeps_its_lengths_to_itself_is_refused(tmp_path: Path) -> None:
    """The head would compare other sentences than the ones that were compiled."""
    pytest.importorskip("onnxruntime")
    import onnx  # noqa: PLC0415

    graph = onnx.load_from_string(tiny_window_text_model())
    del graph.graph.output[1]
    files = {
        "video.onnx": Artefact("video", tiny_video_model(), "fp32", 0.999),
        "head.onnx": Artefact("head", tiny_head_model(), "fp32", 0.999),
        "text.onnx": Artefact("text", graph.SerializeToString(), "fp32", 0.999),
        "tokenizer.json": Artefact("tokenizer", tiny_tokenizer()),
        "golden.npz": Artefact("golden", golden_npz(tiny_window_golden())),
    }
    bundle = write_bundle(tmp_path / "bundle", tiny_window_facts(), files)
    variant = Variant("onnxruntime", "onnx", "fp32")
    with (
        open_models(bundle, EngineConfig(kind="onnxruntime")) as opened,
        pytest.raises(ModelError, match=r"expected the output embedding .*, length float32 \[\?\]"),
    ):
        open_graph(bundle, "text", variant, opened.settings)
