"""Bundles compared: one beside itself, beside a spoilt copy, and those that do not compare."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from compared import changed, colours, other_bundle, wider
from onnx.reference import ReferenceEvaluator
from rich.progress import Progress
from tiny_bundle import tiny_bundle, tiny_facts, tiny_files
from tiny_detector import tiny_detector_bundle

from calibration.frames import frames_of
from edge.errors import ConfigError, ModelError
from edge.model.bundle.read import Bundle, open_bundle
from edge.model.variants import Variant
from edge.testing.synthetic import write_clip
from export.bundle.pack import write_bundle
from export.compare.likeness import choose_pictures, embeddings
from export.compare.settings import Settings
from export.compare.two_bundles import Compared, compare, document

QUICK = Settings(sentences=("red", "green", "blue"), rounds=3, turn_s=0.001)


def noisy(weights: dict[str, np.ndarray], amount: float) -> None:
    noise = np.random.default_rng(1).normal(size=weights["colours"].shape)
    weights["colours"] += (amount * noise / 64).astype(np.float32)


def swapped(weights: dict[str, np.ndarray]) -> None:
    """Green is taken for blue."""
    weights["colours"][:] = weights["colours"][[0, 2, 1]]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return colours(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("teacher") / "tiny")


@pytest.fixture
def beside(teacher: Bundle, pictures: Path) -> Callable[[Bundle], Compared]:
    files = sorted(pictures.iterdir())
    return lambda other: compare(teacher, other, files, QUICK, Progress(disable=True))


def test_a_bundle_agrees_with_itself(beside: Callable[..., Any], teacher: Bundle) -> None:
    agreed = beside(teacher).agreed
    assert agreed.reference == "openvino fp32"
    assert set(agreed.rows) == {"A openvino int8", "B openvino fp32", "B openvino int8"}
    assert (agreed.pictures, agreed.seen, agreed.skipped) == (30, 30, {})
    for row in agreed.rows.values():
        assert row.cosines.min() == pytest.approx(1, abs=1e-6)
        assert row.centred.min() == pytest.approx(1, abs=1e-5)
        assert row.measured.same_prompt.share.value == 1
        assert row.measured.finds_itself.value == 1
        assert row.measured.alerts.value == 1


def test_the_more_a_student_is_spoilt_the_less_it_agrees(
    beside: Callable[..., Any], tmp_path: Path
) -> None:
    rows = []
    for amount in (0.0, 0.1, 1.0, 5.0):
        bundle = other_bundle(tmp_path / f"{amount}", partial(noisy, amount=amount))
        rows.append(beside(bundle).agreed.rows["B openvino fp32"])
    for cosines in ([row.cosines for row in rows], [row.centred for row in rows]):
        values = [each.mean() for each in cosines]
        assert values == sorted(values, reverse=True)
        assert values[0] - values[-1] > 0.1
    assert rows[-1].measured.finds_itself.value < rows[0].measured.finds_itself.value


def test_what_is_taken_for_something_else_is_another_first_choice(
    beside: Callable[..., Any], tmp_path: Path
) -> None:
    """Of reds, greens and blues only the reds are still chosen alike."""
    row = beside(other_bundle(tmp_path / "b", swapped)).agreed.rows["B openvino fp32"]
    share = row.measured.same_prompt.share
    assert (share.count, share.total) == (10, 30)
    low, high = share.interval
    assert 0.15 < low < 1 / 3 < high < 0.55
    assert row.measured.alerts.value < 0.6


def test_a_large_common_part_hides_strangers_unless_it_is_taken_off(
    pictures: Path, tmp_path: Path
) -> None:
    """Both see every picture as all but the same one; centred, one sees blue for green."""

    def common(weights: dict[str, np.ndarray], *, stranger: bool) -> None:
        weights["offset"][3] = 20
        if stranger:
            swapped(weights)

    a, b = (
        other_bundle(tmp_path / f"{stranger}", partial(common, stranger=stranger))
        for stranger in (False, True)
    )
    files = sorted(pictures.iterdir())
    agreed = compare(a, b, files, QUICK, Progress(disable=True)).agreed
    assert agreed is not None
    row = agreed.rows["B openvino fp32"]
    assert row.cosines.min() > 0.96
    assert row.centred.mean() < 0.6


def test_each_bundle_sees_pictures_through_its_own_preprocessing(
    beside: Callable[..., Any], teacher: Bundle, tmp_path: Path
) -> None:
    """A constant mean of any picture: the filter and the size change nothing but rounding."""
    facts = tiny_facts()
    image = facts.image.model_copy(update={"resize": "letterbox"})
    other = write_bundle(tmp_path / "b", facts.model_copy(update={"image": image}), tiny_files())
    row = beside(other).agreed.rows["B openvino fp32"]
    # Grey above and below, which the teacher's stretched pictures do not have.
    assert 0.5 < row.cosines.min() < 0.9999


def test_of_a_clip_the_chosen_frames_are_shown(teacher: Bundle, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", width=96, height=64, fps=10, seconds=3)
    spec = teacher.manifest.image
    chosen = choose_pictures([clip], spec, 10, 5)
    assert (chosen.count, chosen.seen) == (5, 30)
    variant = Variant("onnxruntime", "onnx", "fp32")
    found = embeddings(teacher, [variant], chosen)[variant]
    frames = frames_of(clip, spec, 10)[sorted(chosen.picked[clip])]
    model = ReferenceEvaluator(onnx.load_from_string(teacher.read("image", "fp32")))
    (expected,) = (np.asarray(answer) for answer in model.run(None, {"pixels": frames}))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_costs_are_counted_and_timed_in_rounds(beside: Callable[..., Any], tmp_path: Path) -> None:
    found = beside(other_bundle(tmp_path / "b", partial(noisy, amount=0.1)))
    names = {f"{kind} {p}" for kind in ("openvino", "onnxruntime") for p in ("fp32", "int8")}
    assert set(found.ratios) == names
    for costs in found.costs.values():
        assert (costs.work.macs, costs.work.parameters) == (12, 16)
        assert set(costs.sizes) == {"fp32", "int8"}
        assert costs.total > sum(costs.sizes.values())
        assert set(costs.ms) == names
        for ms in costs.ms.values():
            assert 0 < ms.low <= ms.median <= ms.high
    for ratio in found.ratios.values():
        assert 0 < ratio.low <= ratio.median <= ratio.high


def test_a_variant_that_fails_its_self_test_has_no_time_and_is_named(
    beside: Callable[..., Any], tmp_path: Path
) -> None:
    files = tiny_files()
    int8 = files["image.int8.onnx"]
    files["image.int8.onnx"] = replace(int8, data=changed(int8.data, swapped))
    found = beside(write_bundle(tmp_path / "b", tiny_facts(), files))
    assert set(found.costs["B"].ms) == {"openvino fp32", "onnxruntime fp32"}
    assert set(found.ratios) == {"openvino fp32", "onnxruntime fp32"}
    assert "B openvino int8" not in found.agreed.rows
    assert [note.partition(":")[0] for note in found.notes] == [
        "B openvino int8 is not used",
        "B onnxruntime int8 is not used",
    ]


def test_a_bundle_of_which_nothing_works_is_refused(
    beside: Callable[..., Any], tmp_path: Path
) -> None:
    files = tiny_files()
    for name in ("image.fp32.onnx", "image.int8.onnx"):
        files[name] = replace(files[name], data=changed(files[name].data, swapped))
    with pytest.raises(ModelError, match="expected a variant that passes its self-test: openvino"):
        beside(write_bundle(tmp_path / "b", tiny_facts(), files))


def test_embeddings_of_another_size_are_compared_by_cost_alone(
    beside: Callable[..., Any], tmp_path: Path
) -> None:
    found = beside(other_bundle(tmp_path / "b", wider, text=wider, dim=5))
    assert found.agreed is None
    (note,) = found.notes
    assert note.startswith("embeddings: A's have 4 numbers, B's 5; they are of different spaces")
    assert found.costs["B"].work.macs == 15
    assert document(found)["agreement"] is None


def test_other_words_for_the_same_picture_are_reported(
    beside: Callable[..., Any], tmp_path: Path
) -> None:
    def shifted(weights: dict[str, np.ndarray]) -> None:
        weights["offset"][3] = 0.02

    same, other = (
        beside(other_bundle(tmp_path / name, partial(noisy, amount=0.1), text=text))
        for name, text in (("same", None), ("other", shifted))
    )
    assert same.notes == ()
    assert [note.partition(";")[0] for note in other.notes] == ["sentences are A's here"]


def test_a_class_is_reported_before_anything_is_read(teacher: Bundle, tmp_path: Path) -> None:
    detector = open_bundle(tiny_detector_bundle(tmp_path / "detector").path)
    with pytest.raises(ConfigError, match="found class P"):
        compare(detector, teacher, [], QUICK, Progress(disable=True))
