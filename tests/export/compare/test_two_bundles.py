"""``edge-export compare``: a bundle beside itself, beside a spoilt copy, and what cannot be done."""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import onnx
import pytest
from command import Run, in_process
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator
from rich.progress import Progress
from tiny_bundle import tiny_bundle, tiny_facts, tiny_files, tiny_golden
from tiny_detector import tiny_detector_bundle

from calibration.frames import frames_of
from edge.errors import ConfigError, ModelError
from edge.model.bundle.golden import GoldenSet
from edge.model.bundle.manifest import EmbeddingSpec
from edge.model.bundle.read import Bundle, open_bundle
from edge.model.variants import Variant
from edge.testing.synthetic import write_clip
from export.bundle.pack import Artefact, golden_npz, write_bundle
from export.cli.main import main
from export.compare.likeness import choose_pictures, embeddings
from export.compare.rounds import in_turns
from export.compare.settings import Settings
from export.compare.two_bundles import Compared, compare, document

QUICK = Settings(sentences=("red", "green", "blue"), rounds=3, turn_s=0.001)
PROMPTS = ("--prompt", "red", "--prompt", "green", "--prompt", "blue")
FAST = ("--rounds", "1", "--seconds", "0.001")
RNG = np.random.default_rng(0)

Change = Callable[[dict[str, np.ndarray]], None]


def write_picture(path: Path, colour: np.ndarray) -> None:
    picture = np.broadcast_to(colour.astype(np.uint8), (24, 32, 3)).copy()
    with av.open(path, "w", format="image2") as container:
        stream = container.add_stream("png", width=32, height=24, pix_fmt="rgb24")
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))


def changed(model: bytes, change: Change) -> bytes:
    """A graph with other weights."""
    graph = onnx.load_from_string(model)
    weights = {
        tensor.name: numpy_helper.to_array(tensor).copy() for tensor in graph.graph.initializer
    }
    change(weights)
    for tensor in graph.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name], tensor.name))
    for value in graph.graph.output:
        value.type.tensor_type.shape.dim[1].dim_value = len(weights["offset"])
    return graph.SerializeToString()


def other_bundle(path: Path, change: Change, *, text: Change | None = None, dim: int = 4) -> Bundle:
    """The tiny bundle with other weights, and what its graphs then answer for its golden set."""
    files = tiny_files()
    changes = {"image": change} | ({"text": text} if text else {})
    golden = dict(tiny_golden())
    for name, file in files.items():
        if file.role in changes:
            data = changed(file.data, changes[file.role])
            files[name] = replace(file, data=data)
            inputs = golden[file.role].inputs
            answers: Any
            (answers,) = ReferenceEvaluator(onnx.load_from_string(data)).run(None, dict(inputs))
            golden[file.role] = GoldenSet(inputs, {"embedding": answers})
    files["golden.npz"] = Artefact("golden", golden_npz(golden))
    facts = tiny_facts()
    if dim != facts.dim:
        del files["axes.json"]
        facts = facts.model_copy(update={"embedding": EmbeddingSpec(dim=dim, logit_scale=1)})
    return write_bundle(path, facts, files)


def noisy(weights: dict[str, np.ndarray], amount: float) -> None:
    noise = np.random.default_rng(1).normal(size=weights["colours"].shape)
    weights["colours"] += (amount * noise / 64).astype(np.float32)


def swapped(weights: dict[str, np.ndarray]) -> None:
    """Green is taken for blue."""
    weights["colours"][:] = weights["colours"][[0, 2, 1]]


def wider(weights: dict[str, np.ndarray]) -> None:
    for name, values in weights.items():
        weights[name] = np.concatenate([values, np.zeros_like(values[..., :1])], axis=-1)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 30 pictures: ten each of reds, greens and blues."""
    folder = tmp_path_factory.mktemp("pictures")
    for index in range(30):
        colour = RNG.integers(0, 90, 3)
        colour[index % 3] = RNG.integers(170, 256)
        write_picture(folder / f"{index:02}.png", colour)
    return folder


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("teacher") / "tiny")


@pytest.fixture
def beside(teacher: Bundle, pictures: Path) -> Callable[[Bundle], Compared]:
    files = sorted(pictures.iterdir())
    return lambda other: compare(teacher, other, files, QUICK, Progress(disable=True))


@pytest.fixture
def edge_export(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Run]:
    monkeypatch.delenv("COLUMNS", raising=False)
    with in_process("edge-export", main, capsys, monkeypatch) as run:
        yield run


# Agreement


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
    """Of reds, greens and blues only the reds are still told alike."""
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


# Costs


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


def test_every_way_has_a_turn_in_each_round_in_an_order_drawn_anew() -> None:
    opened: list[str] = []

    def way(name: str) -> Callable[[], None]:
        opened.append(name)
        return lambda: None

    told: list[int] = []
    names = ("a", "b", "c")
    times = in_turns(
        {name: partial(way, name) for name in names}, 8, 0, lambda: told.append(len(opened))
    )
    turns = [opened[start : start + 3] for start in range(0, 24, 3)]
    assert all(sorted(turn) == ["a", "b", "c"] for turn in turns)
    assert len({tuple(turn) for turn in turns}) > 2
    assert told == list(range(1, 25))
    assert {name: len(rounds) for name, rounds in times.items()} == dict.fromkeys(names, 8)


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


def test_other_words_for_the_same_picture_are_told(
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


# The command


def test_help_has_examples(edge_export: Run) -> None:
    told = " ".join(edge_export("compare", "--help").out.split())
    assert "edge-export compare bundles/teacher bundles/student" in told
    assert "compare" in edge_export("--help").out


def test_tables_for_people(edge_export: Run, teacher: Bundle, pictures: Path) -> None:
    done = edge_export(
        "compare", teacher.path, teacher.path, "--footage", pictures, *PROMPTS, *FAST
    )
    assert done.code == 0
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert "parameters 1.6e-05 M 1.6e-05 M 1.00" in lines
    (same,) = [line for line in lines if line.startswith("same first of 3 sentences")]
    assert same.count("30 of 30, 100.0 % (89 … 100)") == 3
    assert any(line.startswith("onnxruntime int8, ms 0.") for line in lines)


def test_one_json_document(edge_export: Run, teacher: Bundle, pictures: Path) -> None:
    arguments = ("--footage", pictures, *PROMPTS, *FAST, "--pictures", 12, "--json")
    found = json.loads(edge_export("compare", teacher.path, teacher.path, *arguments).out)
    assert found["a"]["hash"] == found["b"]["hash"] == teacher.hash
    assert (found["a"]["macs"], found["a"]["parameters"]) == (12, 16)
    agreement = found["agreement"]
    assert (agreement["pictures"], agreement["seen"]) == (12, 30)
    assert agreement["sentences"] == ["red", "green", "blue"]
    row = agreement["variants"]["B openvino fp32"]
    assert row["same_prompt"]["count"] == row["same_prompt"]["total"] == 12
    assert row["mean_centred_cosine"] == pytest.approx(1)
    assert found["times_as_long"]["openvino fp32"]["low"] > 0


def test_the_plot_is_a_picture(
    edge_export: Run, teacher: Bundle, pictures: Path, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "cost.png"
    done = edge_export(
        "compare", teacher.path, teacher.path, "--footage", pictures, *PROMPTS, *FAST,
        "--plot", picture,
    )  # fmt: skip
    assert done.code == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_file_that_is_no_picture_is_skipped_and_told(
    edge_export: Run, teacher: Bundle, pictures: Path, tmp_path: Path
) -> None:
    for file in sorted(pictures.iterdir())[:6]:
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "notes.txt").write_text("no picture")
    done = edge_export(
        "compare", teacher.path, teacher.path, "--footage", tmp_path, *PROMPTS, *FAST
    )
    assert done.code == 0
    assert "note: 1 files cannot be read, the first:" in done.out


# What cannot be done


def test_what_is_no_bundle_is_told(edge_export: Run, teacher: Bundle, tmp_path: Path) -> None:
    done = edge_export("compare", teacher.path, tmp_path)
    assert done.code == 3
    assert f"{tmp_path}: expected a bundle with manifest.json, found none" in done.err


def test_no_footage_is_told(edge_export: Run, teacher: Bundle, tmp_path: Path) -> None:
    arguments = (teacher.path, teacher.path, "--footage", tmp_path / "gone", *PROMPTS)
    done = edge_export("compare", *arguments)
    assert done.code == 3
    assert f"in {tmp_path}/gone, found nothing" in done.err


def test_a_single_picture_is_too_few(edge_export: Run, teacher: Bundle, pictures: Path) -> None:
    arguments = (teacher.path, teacher.path, "--footage", pictures / "00.png", *PROMPTS)
    done = edge_export("compare", *arguments)
    assert done.code == 3
    assert "expected at least two different pictures, found 1 in 1 files;" in done.err


def test_a_model_of_another_class_is_told(
    edge_export: Run, teacher: Bundle, tmp_path: Path
) -> None:
    detector = tiny_detector_bundle(tmp_path / "detector")
    done = edge_export("compare", teacher.path, detector.path)
    assert done.code == 2
    assert "expected a bundle of class F (an image and a text graph), found class P" in done.err


def test_one_sentence_is_no_choice(edge_export: Run, teacher: Bundle, pictures: Path) -> None:
    arguments = (teacher.path, teacher.path, "--footage", pictures, "--prompt", "red")
    done = edge_export("compare", *arguments)
    assert done.code == 2
    assert "expected two sentences or more to choose among, found 1" in done.err


def test_no_readable_file_is_told_with_the_first_reason(
    edge_export: Run, teacher: Bundle, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    arguments = (teacher.path, teacher.path, "--footage", tmp_path, *PROMPTS)
    done = edge_export("compare", *arguments)
    assert done.code == 3
    assert "found 0 in 1 files; 1 files cannot be read, the first: " in done.err
    assert "notes.txt" in done.err


def test_a_plot_without_matplotlib_says_what_to_install(
    edge_export: Run, teacher: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    done = edge_export("compare", teacher.path, teacher.path, "--plot", tmp_path / "cost.png")
    assert done.code == 2
    assert "pip install 'camera-edge-runtime[demo]'" in done.err


@pytest.mark.parametrize(
    ("name", "told"),
    [("cost.txt", "expected a picture such as"), ("no/cost.png", "expected an existing folder")],
)
def test_a_plot_that_cannot_be_written_is_told_before_the_work(
    edge_export: Run, teacher: Bundle, tmp_path: Path, name: str, told: str
) -> None:
    pytest.importorskip("matplotlib")
    done = edge_export("compare", teacher.path, teacher.path, "--plot", tmp_path / name)
    assert done.code == 2
    assert told in done.err


def test_a_plot_of_costs_alone_is_refused(
    edge_export: Run, teacher: Bundle, tmp_path: Path
) -> None:
    other = other_bundle(tmp_path / "b", wider, text=wider, dim=5)
    done = edge_export("compare", teacher.path, other.path, "--plot", tmp_path / "cost.png")
    assert done.code == 2
    assert "--plot: expected embeddings that compare, found" in done.err


def test_a_damaged_file_is_told(edge_export: Run, pictures: Path, tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "b")
    file = bundle.path / "image.int8.onnx"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    done = edge_export("compare", bundle.path, bundle.path, "--footage", pictures, *PROMPTS)
    assert done.code == 3
    assert "image.int8.onnx: expected SHA-256" in done.err


def test_a_class_is_told_before_anything_is_read(teacher: Bundle, tmp_path: Path) -> None:
    detector = open_bundle(tiny_detector_bundle(tmp_path / "detector").path)
    with pytest.raises(ConfigError, match="found class P"):
        compare(detector, teacher, [], QUICK, Progress(disable=True))
