"""Quantized students and the bundles that come of them."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from rich.progress import Progress

from edge.config.models import EngineConfig
from edge.engines import EngineSettings, open_engine
from edge.errors import ConfigError, ModelError
from edge.manifest import ImageSpec
from edge.variants import open_graph, prove, variants
from export import weight_ranges
from export.distill import qat, result
from export.distill.pipeline import distill
from export.distill.result import graph_of
from export.distill.students import create, full_name, image_spec
from export.qdq_rules import require_qdq_rules
from export.quantize.qdq import insert_qdq
from export.quantize.ranges import measure_ranges
from export.reshape import to_bytes

TEACHER = ImageSpec(
    height=64,
    width=64,
    resize="shortest_edge",
    interpolation="bicubic",
    mean=(1,) * 3,
    std=(1,) * 3,
)


def quantized(name, seed=0):
    student = create(name, 24, (64, 64), seed=seed).eval()
    spec = image_spec(student, (64, 64), TEACHER)
    graph = graph_of(student, spec)
    sites = qat.insert_quantizers(student, torch.zeros(2, 3, 64, 64))
    random = np.random.default_rng(1)
    coarse = random.integers(-128, 128, (6, 3, 4, 4), dtype=np.int8)
    pixels = coarse.repeat(16, axis=2).repeat(16, axis=3)
    mean, std = (torch.tensor(v).reshape(3, 1, 1) for v in (spec.mean, spec.std))
    pictures = (torch.from_numpy(pixels).float() + 128 - mean) / std
    qat.observe(student, sites, [pictures])
    return student, graph, sites, pixels, pictures


def run(graph, pixels):
    engine = open_engine("onnxruntime", to_bytes(graph), EngineSettings(threads=1, fuse=False))
    return engine.run({"pixels": pixels})["embedding"]


@pytest.mark.parametrize("name", ["test_efficientnet", "test_vit"])
def test_what_is_trained_is_what_the_int8_file_computes(name):
    student, graph, sites, pixels, pictures = quantized(name)
    with torch.no_grad():  # as training may: ranges that no measurement would give
        for site in sites:
            for quantizer in site.inputs:
                if quantizer is not None:
                    quantizer.largest.mul_(0.35)
        trained = student(pictures)[0].numpy()
        plain = student.embed(pictures).numpy()
    int8 = insert_qdq(graph, qat.ranges_of(sites, graph))
    require_qdq_rules(int8)
    agreed = (run(int8, pixels) * trained).sum(axis=1)
    measured = insert_qdq(graph, measure_ranges(graph, [{"pixels": p[None]} for p in pixels]))
    ignored = (run(measured, pixels) * trained).sum(axis=1)
    assert agreed.min() > 0.99
    assert 1 - ignored.mean() > 3 * (1 - agreed.mean())
    assert np.abs(plain - run(graph, pixels)).max() < 1e-4  # embed() is not rounded


@pytest.mark.parametrize("name", ["test_efficientnet", "test_vit"])
def test_ranges_and_weights_are_learned_through_the_rounding(name):
    student, _, sites, _, pictures = quantized(name)
    student(pictures)[0].sum().backward()
    ranges = {id(q): q for site in sites for q in site.inputs if q is not None}
    assert all(float(q.largest.grad.abs()) > 0 for q in ranges.values())
    assert float(student.head.weight.grad.abs().max()) > 0


def test_the_layers_of_another_graph_are_refused():
    _, _, sites, *_ = quantized("test_vit")
    _, other, *_ = quantized("test_efficientnet")
    with pytest.raises(ModelError, match="layers of the traced student in its graph, found"):
        qat.ranges_of(sites, other)


@given(
    arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 4)),
        elements=st.floats(-8, 8, width=32),
    )
)
def test_both_rules_of_weight_ranges_are_one(weight):
    found = qat.channel_ranges(torch.from_numpy(weight)).numpy()
    assert found == pytest.approx(weight_ranges.channel_ranges(weight), rel=1e-6)


def test_the_bundle_has_the_teachers_sentences_and_says_whose_they_are(bundle, distilled):
    teacher, done = bundle, distilled
    bundle = done.result.bundle
    bundle.verify()
    told = bundle.manifest.model.teacher
    assert (told.hash, told.name) == (teacher.hash, teacher.manifest.name)
    assert bundle.manifest.model.id != teacher.manifest.model.id
    for role in ("tokenizer", "text"):
        mine, theirs = (
            [b.read_file(f) for f in b.manifest.files if f.role == role] for b in (bundle, teacher)
        )
        assert mine == theirs
    assert done.pictures["trained on"] + done.pictures["held out"] == 80


def test_a_device_finds_every_variant_right(distilled):
    bundle = distilled.result.bundle
    found = variants(bundle, EngineConfig())
    assert {variant.precision for variant in found} >= {"fp32", "int8"}
    for variant in found:
        engine = open_graph(bundle, "image", variant, EngineSettings())
        prove(bundle, "image", variant, engine)
        engine.close()


def test_the_card_has_teacher_and_students_side_by_side(distilled):
    bundle = distilled.result.bundle
    rows = json.loads(bundle.read("accuracy"))["distilled"]
    assert [row["name"] for row in rows] == [
        "teacher fp32", "student fp32", "student fp32, QAT",
        "student int8, PTQ", "student int8, QAT",
    ]  # fmt: skip
    assert rows[0]["mean_cosine"] == 1
    assert sum(row["packed"] for row in rows) == 2
    (card,) = [f for f in bundle.manifest.files if f.file == "accuracy.md"]
    text = bundle.read_file(card).decode()
    assert "## Student and teacher" in text
    assert "student int8, PTQ" in text


@pytest.mark.parametrize("better", ["PTQ", "QAT"])
def test_the_bundle_holds_what_agrees_best_in_int8(request_, tmp_path, monkeypatch, better):
    plain = result._examine

    def examine(candidate, *args):
        found = plain(candidate, *args)
        cosine = 0.9 if candidate.name == better else 0.8
        return replace(found, int8=replace(found.int8, mean_cosine=cosine))

    monkeypatch.setattr(result, "_examine", examine)
    request = replace(request_, out=tmp_path / "out")  # trained already
    done = distill(request, Progress(disable=True))
    packed = [pupil.name for pupil in done.result.pupils if pupil.packed]
    assert packed[-1] == f"student int8, {better}"


def test_weights_of_another_network_are_refused(tmp_path):
    from safetensors.torch import save_file  # noqa: PLC0415

    save_file(create("test_vit", 4, (32, 32)).backbone.state_dict(), tmp_path / "vit")
    with pytest.raises(ModelError, match="expected the weights of this student"):
        create("test_efficientnet", 4, (32, 32), weights=tmp_path / "vit")
    (tmp_path / "text").write_text("nothing")
    with pytest.raises(ModelError, match="expected safetensors of the student"):
        create("test_vit", 4, (32, 32), weights=tmp_path / "text")


def test_students_have_short_names_and_unknown_ones_are_told_with_near_ones():
    assert full_name("mobilevit-v2") == "mobilevitv2_100"
    with pytest.raises(ConfigError, match="some that it knows: mobilevit-v2"):
        create("mobilevit-v9", 4, (32, 32))
