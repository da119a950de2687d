"""From a bundle and a configuration to encoders."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from present import present
from tiny_bundle import (
    tiny_bundle,
    tiny_facts,
    tiny_files,
    tiny_golden,
    tiny_image_model,
    tiny_text_model,
)

from edge.config.models import EngineConfig
from edge.config.prompt import PromptConfig
from edge.errors import EngineUnavailable, InferenceError, ModelError
from edge.model import variants
from edge.model.bundle.manifest import Precision
from edge.model.bundle.read import Bundle
from edge.scoring.open import open_models
from edge.system.cache_file import CacheFile
from edge.system.ending import Ended
from export.bundle.pack import write_bundle

EngineKind = Literal["openvino", "onnxruntime"]
KINDS: tuple[EngineKind, ...] = ("openvino", "onnxruntime")
PIXELS = tiny_golden()["image"].inputs["pixels"]


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("models") / "bundle")


def with_image(tmp_path: Path, data: bytes, role: str = "image") -> Bundle:
    """A bundle with another image (or text) graph, hashes right."""
    files = {
        name: replace(artefact, data=data) if artefact.role == role else artefact
        for name, artefact in tiny_files().items()
    }
    return write_bundle(tmp_path / "bundle", tiny_facts(), files)


def constant(model: bytes, name: str) -> bytes:
    """The same graph with its weights all zero: the offset alone answers."""
    graph = onnx.load_from_string(model)
    [tensor] = [t for t in graph.graph.initializer if t.name == name]
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * 0, name))
    return graph.SerializeToString()


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_and_sentences_meet_in_one_space(bundle: Bundle, kind: EngineKind) -> None:
    pytest.importorskip(kind)
    golden = tiny_golden()
    with open_models(bundle, EngineConfig(kind=kind)) as opened:
        pictures = present(opened.scoring.crops).encode(golden["image"].inputs["pixels"])
        with opened.open_text_engine() as engine:
            sentences = engine.run({"input_ids": golden["text"].inputs["input_ids"]})["embedding"]
    assert (pictures @ sentences.T).argmax(axis=1).tolist() == [0, 1, 2]
    assert pictures.dtype == np.float32


@pytest.mark.parametrize("kind", KINDS)
def test_sentences_that_are_kept_need_no_text_graph(
    bundle: Bundle, kind: EngineKind, tmp_path: Path
) -> None:
    pytest.importorskip(kind)
    sentences = CacheFile(tmp_path / "sentences.db")
    rules = {"red": PromptConfig(text=("red", "green"))}
    with open_models(bundle, EngineConfig(kind=kind), sentences=sentences) as opened:
        with opened.scoring.open_compiler() as compile_prompts:
            first = compile_prompts(rules)
        opened.stop.set()  # from now on the text graph cannot be opened
        with opened.scoring.open_compiler() as compile_prompts:
            again = compile_prompts(rules)
        assert (again.rows == first.rows).all()
        assert again.hash == first.hash
        with (
            opened.scoring.open_compiler() as compile_prompts,
            pytest.raises(Ended),
        ):
            compile_prompts({"blue": PromptConfig(text=("blue",))})


@pytest.mark.parametrize("kind", KINDS)
def test_the_self_test_and_the_device_used_are_reported(bundle: Bundle, kind: EngineKind) -> None:
    pytest.importorskip(kind)
    with open_models(bundle, EngineConfig(kind=kind)) as opened:
        assert opened.variant.kind == kind
        assert opened.main.engine.device == "CPU"
        assert opened.main.report is not None
        assert opened.main.report.min_cosine == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("installed", KINDS)
def test_auto_takes_an_engine_that_is_installed(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, installed: str
) -> None:
    pytest.importorskip(installed)
    monkeypatch.setattr(variants, "find_spec", lambda kind: kind == installed or None)
    with open_models(bundle, EngineConfig(kind="auto")) as opened:
        assert opened.variant.kind == installed


def test_auto_with_no_engine_says_what_to_install(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variants, "find_spec", lambda _: None)
    with pytest.raises(EngineUnavailable, match=r"pip install 'camera-edge-runtime\[openvino\]'"):
        open_models(bundle, EngineConfig(kind="auto"))


@pytest.mark.parametrize("asked", ["int8", "fp32"])
def test_a_precision_that_is_asked_for_is_taken(bundle: Bundle, asked: Precision) -> None:
    with open_models(bundle, EngineConfig(precision=asked)) as opened:
        assert opened.precision == asked
        assert opened.text_precision == "fp32"


def test_auto_precision_without_int8_takes_what_there_is(tmp_path: Path) -> None:
    files = tiny_files()
    del files["image.int8.onnx"]
    with open_models(write_bundle(tmp_path / "b", tiny_facts(), files), EngineConfig()) as opened:
        assert opened.precision == "fp32"


def test_a_precision_that_is_not_there_names_those_that_are(bundle: Bundle) -> None:
    with pytest.raises(ModelError, match="image graph in fp16, found fp32, int8; set engine"):
        open_models(bundle, EngineConfig(precision="fp16"))


def test_an_absent_device_is_no_fall_back(bundle: Bundle) -> None:
    with pytest.raises(EngineUnavailable, match="expected device 'NPU7'"):
        open_models(bundle, EngineConfig(device="NPU7"))


def test_a_constant_image_graph_does_not_start(tmp_path: Path) -> None:
    bundle = with_image(tmp_path, constant(tiny_image_model(), "colours"))
    with pytest.raises(
        ModelError, match=r"passes its self-test: .*golden self-test on .* CPU: expected"
    ):
        open_models(bundle, EngineConfig())


def test_a_constant_text_graph_is_refused_when_prompts_are_compiled(tmp_path: Path) -> None:
    bundle = with_image(tmp_path, constant(tiny_text_model(), "words"), role="text")
    with open_models(bundle, EngineConfig()) as opened:
        with pytest.raises(ModelError, match="golden self-test"), opened.open_text_engine():
            pass
        assert present(opened.scoring.crops).encode(PIXELS).shape == (3, 4)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("pixels", "images", r"input pixels int8 \[\?, 3, 8, 8\], found images int8"),
        ("embedding", "output", r"output embedding float32 \[\?, 4\], found none"),
    ],
)
def test_a_graph_with_other_names_is_refused(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    model = onnx.load_from_string(tiny_image_model())
    for value in (*model.graph.input, *model.graph.output):
        value.name = new if value.name == old else value.name
    for node in model.graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]
    with pytest.raises(ModelError, match=message):
        open_models(with_image(tmp_path, model.SerializeToString()), EngineConfig())


def test_a_graph_may_leave_an_axis_dynamic(tmp_path: Path) -> None:
    model = onnx.load_from_string(tiny_text_model())
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "L"
    bundle = with_image(tmp_path, model.SerializeToString(), role="text")
    golden = tiny_golden()
    with open_models(bundle, EngineConfig()) as opened, opened.open_text_engine() as engine:
        found = engine.run({"input_ids": golden["text"].inputs["input_ids"]})["embedding"]
    assert found == pytest.approx(golden["text"].answers["embedding"], abs=1e-5)


def test_a_graph_that_fixes_the_batch_is_refused(tmp_path: Path) -> None:
    model = onnx.load_from_string(tiny_image_model())
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    with pytest.raises(ModelError, match=r"found pixels int8 \[1, 3, 8, 8\]"):
        open_models(with_image(tmp_path, model.SerializeToString()), EngineConfig())


def test_a_text_graph_may_tell_its_coverage_too(tmp_path: Path) -> None:
    model = onnx.load_from_string(tiny_text_model())
    model.graph.node.append(
        onnx.helper.make_node("ReduceMax", ["embedding"], ["coverage"], axes=[1], keepdims=0)
    )
    model.graph.output.append(
        onnx.helper.make_tensor_value_info("coverage", onnx.TensorProto.FLOAT, ["N"])
    )
    bundle = with_image(tmp_path, model.SerializeToString(), role="text")
    with open_models(bundle, EngineConfig()) as opened, opened.open_text_engine() as engine:
        results = engine.run({"input_ids": tiny_golden()["text"].inputs["input_ids"]})
    assert {name: array.shape for name, array in results.items()} == {
        "embedding": (3, 4),
        "coverage": (3,),
    }


def test_embeddings_that_are_not_finite_cost_the_batch(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_models(bundle, EngineConfig(kind="null")) as opened:
        bad = {"embedding": np.full((1, 4), np.nan, np.float32)}
        monkeypatch.setattr(opened.main.engine, "run", lambda _tensors: bad)
        with pytest.raises(InferenceError, match="finite"):
            present(opened.scoring.crops).encode(PIXELS)


def test_the_null_engine_stands_in_for_any_bundle(
    bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    with open_models(bundle, EngineConfig(kind="null")) as opened:
        assert present(opened.scoring.crops).encode(PIXELS).shape == (3, 4)
        assert opened.main.report is None
        with opened.open_text_engine() as engine:
            assert engine.run({"input_ids": tiny_golden()["text"].inputs["input_ids"]})[
                "embedding"
            ].shape == (3, 4)
    assert "embeddings mean nothing" in caplog.text


def test_after_close_nothing_is_encoded(bundle: Bundle) -> None:
    opened = open_models(bundle, EngineConfig())
    opened.close()
    opened.close()
    with pytest.raises(InferenceError, match="closed"):
        present(opened.scoring.crops).encode(PIXELS)
