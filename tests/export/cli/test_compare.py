"""``edge-export compare``: tables, JSON and a plot, and what cannot be done."""

import json
import sys
from pathlib import Path

import pytest
from command import Run
from compared import colours, other_bundle, wider
from tiny_bundle import tiny_bundle
from tiny_detector import tiny_detector_bundle

from edge.model.bundle.read import Bundle

PROMPTS = ("--prompt", "red", "--prompt", "green", "--prompt", "blue")
FAST = ("--rounds", "1", "--seconds", "0.001")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return colours(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("teacher") / "tiny")


def test_help_has_examples(edge_export: Run) -> None:
    text = " ".join(edge_export("compare", "--help").out.split())
    assert "edge-export compare bundles/teacher bundles/student" in text
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


def test_a_file_that_is_no_picture_is_skipped_and_reported(
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


def test_what_is_no_bundle_is_reported(edge_export: Run, teacher: Bundle, tmp_path: Path) -> None:
    done = edge_export("compare", teacher.path, tmp_path)
    assert done.code == 3
    assert f"{tmp_path}: expected a bundle with manifest.json, found none" in done.err


def test_no_footage_is_reported(edge_export: Run, teacher: Bundle, tmp_path: Path) -> None:
    arguments = (teacher.path, teacher.path, "--footage", tmp_path / "gone", *PROMPTS)
    done = edge_export("compare", *arguments)
    assert done.code == 3
    assert f"in {tmp_path}/gone, found nothing" in done.err


def test_a_single_picture_is_too_few(edge_export: Run, teacher: Bundle, pictures: Path) -> None:
    arguments = (teacher.path, teacher.path, "--footage", pictures / "00.png", *PROMPTS)
    done = edge_export("compare", *arguments)
    assert done.code == 3
    assert "expected at least two different pictures, found 1 in 1 files;" in done.err


def test_a_model_of_another_class_is_reported(
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


def test_no_readable_file_is_reported_with_the_first_reason(
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
    ("name", "message"),
    [("cost.txt", "expected a picture such as"), ("no/cost.png", "expected an existing folder")],
)
def test_a_plot_that_cannot_be_written_is_reported_before_the_work(
    edge_export: Run, teacher: Bundle, tmp_path: Path, name: str, message: str
) -> None:
    pytest.importorskip("matplotlib")
    done = edge_export("compare", teacher.path, teacher.path, "--plot", tmp_path / name)
    assert done.code == 2
    assert message in done.err


def test_a_plot_of_costs_alone_is_refused(
    edge_export: Run, teacher: Bundle, tmp_path: Path
) -> None:
    other = other_bundle(tmp_path / "b", wider, text=wider, dim=5)
    done = edge_export("compare", teacher.path, other.path, "--plot", tmp_path / "cost.png")
    assert done.code == 2
    assert "--plot: expected embeddings that compare, found" in done.err


def test_a_damaged_file_is_reported(edge_export: Run, pictures: Path, tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "b")
    file = bundle.path / "image.int8.onnx"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    done = edge_export("compare", bundle.path, bundle.path, "--footage", pictures, *PROMPTS)
    assert done.code == 3
    assert "image.int8.onnx: expected SHA-256" in done.err
