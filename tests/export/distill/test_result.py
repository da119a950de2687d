"""A distilled bundle: the student's graphs, the teacher's sentences, and an honest card."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from classroom import Classroom
from exported import Exports
from PIL import Image
from rich.progress import Progress
from typer.testing import CliRunner

from edge.cli.main import app
from edge.config.models import EngineConfig
from edge.errors import ConfigError, ModelError
from edge.model.bundle.manifest import ImageSpec, Precision
from edge.model.bundle.read import Bundle, open_bundle
from edge.scoring.open import open_models
from export.bundle.targets import TARGETS
from export.distill import pipeline, pupils, result
from export.distill.pipeline import Distillation, Distilled, distill
from export.distill.result import Candidate, MeasuredPictures, build_result, see
from export.distill.students import Student


def test_the_bundle_is_whole_and_proves_itself_as_on_a_device(
    distilled: Distilled, request_: Distillation, tmp_path: Path
) -> None:
    found = open_bundle(request_.out)
    found.verify()
    assert distilled.result is not None
    assert found.hash == distilled.result.bundle.hash
    for precision in ("fp32", "int8"):
        config = EngineConfig(kind="onnxruntime", precision=precision)
        with open_models(found, config, tmp_path) as models:  # runs the golden self-test
            assert models.precision == precision


def test_it_says_who_taught_it(distilled: Distilled, bundle: Bundle) -> None:
    assert distilled.result is not None
    model = distilled.result.bundle.manifest.model
    assert model.teacher is not None
    assert model.teacher.hash == bundle.hash
    assert model.teacher.id == bundle.manifest.model.id
    assert model.teacher.name == bundle.manifest.name
    assert model.id == f"test_vit taught by {bundle.manifest.model.id}"
    assert model.licence == bundle.manifest.model.licence
    assert bundle.manifest.model.teacher is None


def test_sentences_are_the_teachers_own_files(distilled: Distilled, bundle: Bundle) -> None:
    assert distilled.result is not None
    found = distilled.result.bundle
    theirs = {file.file: file for file in bundle.manifest.files}
    kept = [file for file in found.manifest.files if file.role in {"text", "tokenizer"}]
    assert {file.role for file in kept} == {"text", "tokenizer"}
    for file in kept:
        assert found.read_file(file) == bundle.read_file(theirs[file.file])
    assert [f.file for f in kept] == [
        f.file for f in bundle.manifest.files if f.role in {"text", "tokenizer"}
    ]
    assert found.manifest.text == bundle.manifest.text
    assert found.manifest.embedding == bundle.manifest.embedding


def test_prompts_are_scored_with_it_as_with_any_bundle(
    request_: Distillation, distilled: Distilled, exports: Exports
) -> None:
    picture = exports.pictures() / "003.png"
    words = ["score", str(picture), "a car", "a dog", "--bundle", str(request_.out)]
    done = CliRunner().invoke(app, [*words, "--engine", "onnxruntime", "--json"])
    assert done.exit_code == 0, done.output
    (sample,) = json.loads(done.stdout)["samples"]
    assert set(sample["scores"]) == {"a car", "a dog"}


def test_the_card_has_teacher_and_students_side_by_side(
    distilled: Distilled, request_: Distillation
) -> None:
    document = json.loads((request_.out / "accuracy.json").read_text())
    names = [row["name"] for row in document["distilled"]]
    assert names == [
        "teacher fp32",
        "student fp32",
        "student fp32, QAT",
        "student int8, PTQ",
        "student int8, QAT",
    ]
    rows = {row["name"]: row for row in document["distilled"]}
    assert rows["teacher fp32"]["mean_cosine"] == 1
    assert rows["teacher fp32"]["packed"] is False
    assert sum(row["packed"] for row in document["distilled"]) == 2
    text = (request_.out / "accuracy.md").read_text()
    assert all(name in text for name in names)


def test_numbers_of_the_card_are_those_of_the_packed_graphs(
    distilled: Distilled, request_: Distillation
) -> None:
    """Asked anew, by nothing but the bundle and the pictures themselves."""
    assert distilled.result is not None
    found = distilled.result.bundle
    packed = {one.name.split(",")[0]: one for one in distilled.result.pupils if one.packed}
    golden = found.golden()["image"]
    assert len(golden.inputs["pixels"]) == 8
    precisions: tuple[Precision, ...] = ("fp32", "int8")
    for precision in precisions:
        answers = pupils.embeddings(found.read("image", precision), golden.inputs["pixels"])
        cosines = (answers * golden.answers["embedding"]).sum(axis=1)
        assert cosines.min() > (0.9999 if precision == "fp32" else 0.98)
    assert packed["student fp32"].megabytes > 2 * packed["student int8"].megabytes


def test_the_quantization_aware_phase_began_where_training_ended_and_improved(
    distilled: Distilled,
) -> None:
    before, after = distilled.phases["float"], distilled.phases["qat"]
    assert before.done
    assert after.done
    assert len(before.history) == 3
    assert after.best < before.history[0]["loss"]
    assert distilled.pictures["trained on"] + distilled.pictures["held out"] <= 80


def test_the_same_again_takes_no_step_and_gives_the_same_bundle(
    distilled: Distilled, request_: Distillation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object) -> None:
        raise AssertionError("a step was taken")

    monkeypatch.setattr("export.distill.training.train._Steps._step", refuse)
    again = distill(replace(request_, out=tmp_path / "again"), Progress(disable=True))
    assert again.result is not None
    assert distilled.result is not None
    assert again.result.bundle.hash == distilled.result.bundle.hash
    assert again.phases == distilled.phases


@pytest.fixture
def measured(room: Classroom) -> tuple[ImageSpec, MeasuredPictures, Student, Student]:
    """Two students, one of them turned away from the teacher, and what they are measured on."""
    good, bad = room.student(seed=1).eval(), room.student(seed=1).eval()
    spec = room.spec(good)
    seen = see(room.training_set, spec)
    towards = torch.from_numpy(seen.reference.mean(axis=0))
    for student, sign in ((good, 1), (bad, -1)):
        with torch.no_grad():
            student.head.weight.mul_(0.2)
            student.head.bias.copy_(sign * towards)
    return spec, seen, good, bad


@pytest.mark.parametrize("first", ["good", "bad"])
def test_the_candidate_whose_int8_is_nearer_to_the_teacher_is_packed(
    bundle: Bundle,
    measured: tuple[ImageSpec, MeasuredPictures, Student, Student],
    first: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(result, "card_files", lambda _card: {})  # drawn in another test
    spec, seen, good, bad = measured
    pair = [Candidate("good", good), Candidate("bad", bad)]
    found = build_result(
        bundle, "test_vit", spec, pair if first == "good" else pair[::-1], seen,
        tmp_path / "out", TARGETS[:1],
    )  # fmt: skip
    packed = [one.name for one in found.pupils if one.packed]
    float_name = "student fp32" if first == "good" else "student fp32, good"
    assert packed == [float_name, "student int8, good"]
    cosines = {one.name: one.mean_cosine for one in found.pupils}
    assert cosines["student int8, good"] > 0.5 > cosines["student int8, bad"]


def test_pictures_that_are_measured_are_spread_over_all_there_are(
    room: Classroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result, "_CALIBRATION", 5)
    monkeypatch.setattr(result, "_HELD_OUT", 4)
    seen = see(room.training_set, room.spec(room.student()))
    assert seen.calibration.shape == (5, 3, 32, 32)
    assert len(seen.held_out) == len(seen.reference) == 4
    chosen = result._spread(len(room.training_set.held_out), 4)
    assert chosen[0] == 0
    assert chosen[-1] == len(room.training_set.held_out) - 1
    expected = room.training_set.plain.embeddings([room.training_set.held_out[i] for i in chosen])
    assert np.array_equal(seen.reference, expected)
    assert result._spread(3, 10).tolist() == [0, 1, 2]


@pytest.mark.parametrize("size", [(32, 64), (64, 32), (32, 40)])
def test_pictures_of_another_shape_than_the_teachers_are_refused(
    request_: Distillation, size: tuple[int, int], tmp_path: Path
) -> None:
    request = replace(request_, size=size, out=tmp_path / "out", work=tmp_path / "work")
    with pytest.raises(
        ConfigError, match=rf"--size: expected the shape .* 32x32, found {size[0]}x{size[1]}"
    ):
        distill(request, Progress(disable=True))


def test_a_student_may_look_at_larger_pictures_than_its_teacher(
    request_: Distillation, bundle: Bundle
) -> None:
    student, spec = pipeline._student(replace(request_, size=(64, 64)), bundle)
    assert (spec.height, spec.width) == (64, 64)
    assert spec.resize == bundle.manifest.image.resize
    assert student(torch.zeros(1, 3, 64, 64))[0].shape == (1, 24)


def test_a_place_that_holds_something_else_is_refused_before_the_work(
    request_: Distillation, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    Image.new("RGB", (4, 4)).save(out / "holiday.png")
    request = replace(request_, out=out, work=tmp_path / "work")
    with pytest.raises(ModelError, match="expected"):
        distill(request, Progress(disable=True))
    assert not (tmp_path / "work").exists()
