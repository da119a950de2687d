"""The measurement of the engine: which variants are timed, and what the report holds."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import numpy_helper
from tiny_bundle import tiny_facts, tiny_files

from benchmarks.model.measure import measure
from benchmarks.model.results import FLOOR, ModelSettings
from edge.errors import EngineUnavailable
from edge.model.bundle.read import Bundle
from export.bundle.pack import write_bundle

ENGINES = ("onnxruntime", "openvino")
SETTINGS = ModelSettings(
    engines=ENGINES,
    precisions=("fp32", "int8"),
    device="CPU",
    threads=1,
    batches=(1, 3),
    rounds=2,
    warmup=1,
    iterations=4,
    seed=0,
)


@pytest.fixture(autouse=True)
def runtimes() -> None:
    for engine in ENGINES:
        pytest.importorskip(engine)


@pytest.fixture(scope="session")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle whose INT8 graph ignores the picture."""
    files = tiny_files()
    graph = onnx.load_from_string(files["image.int8.onnx"].data)
    [colours] = [tensor for tensor in graph.graph.initializer if tensor.name == "colours"]
    colours.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(colours) * 0, "colours"))
    blind = replace(files["image.int8.onnx"], data=graph.SerializeToString())
    path = tmp_path_factory.mktemp("bench") / "wrong"
    return write_bundle(path, tiny_facts(), {**files, "image.int8.onnx": blind})


def test_every_variant_is_timed_at_every_batch_size(bundle: Bundle) -> None:
    ticks: list[None] = []
    results = measure(bundle, SETTINGS, lambda: ticks.append(None))
    variants = [FLOOR] + [f"{engine} {precision}" for engine in ENGINES
                          for precision in ("fp32", "int8")]  # fmt: skip
    found = [(result.variant, result.batch) for result in results.variants]
    assert found == [(variant, batch) for batch in (1, 3) for variant in variants]
    assert len(ticks) == SETTINGS.turns
    for result in results.variants:
        assert result.status == ("floor" if result.variant == FLOOR else "ok")
        assert result.calls == SETTINGS.rounds * SETTINGS.iterations
        assert result.device == "CPU"
        assert result.ms is not None
        assert result.rounds_ms is not None
        assert list(result.ms) == ["p50", "p90", "p99"]
        assert 0 < result.ms["p50"] <= result.ms["p90"] <= result.ms["p99"]
        assert result.rounds_ms.low <= result.rounds_ms.median <= result.rounds_ms.high
        assert result.frames_per_s == pytest.approx(1000 / result.ms["p50"])
        if result.variant != FLOOR:
            assert result.min_cosine == pytest.approx(1, abs=1e-4)


def test_each_pair_of_variants_is_compared_and_the_floor_with_none(bundle: Bundle) -> None:
    results = measure(bundle, replace(SETTINGS, batches=(1,)), lambda: None)
    assert [(pair.above, pair.below) for pair in results.ratios] == [
        ("onnxruntime fp32", "onnxruntime int8"),
        ("onnxruntime fp32", "openvino fp32"),
        ("onnxruntime fp32", "openvino int8"),
        ("onnxruntime int8", "openvino fp32"),
        ("onnxruntime int8", "openvino int8"),
        ("openvino fp32", "openvino int8"),
    ]
    for pair in results.ratios:
        assert 0 < pair.ratio.low <= pair.ratio.median <= pair.ratio.high


def test_a_variant_with_wrong_answers_has_no_time(wrong: Bundle) -> None:
    ticks: list[None] = []
    results = measure(wrong, SETTINGS, lambda: ticks.append(None))
    assert len(ticks) == SETTINGS.turns
    status = {result.variant: result.status for result in results.variants}
    assert status == {
        "null": "floor",
        "onnxruntime fp32": "ok",
        "onnxruntime int8": "failed",
        "openvino fp32": "ok",
        "openvino int8": "failed",
    }
    for result in results.variants:
        if result.status == "failed":
            assert result.reason is not None
            assert "expected a cosine of at least" in result.reason
            assert (result.ms, result.rounds_ms, result.core_ms) == (None, None, None)
    pairs = {(pair.above, pair.below) for pair in results.ratios}
    assert pairs == {("onnxruntime fp32", "openvino fp32")}


def test_a_wrong_variant_is_shown_as_failed_and_ends_with_1(
    wrong: Bundle, edge_bench: Callable[[str], Any]
) -> None:
    done = edge_bench(f"model --bundle {wrong.path} --rounds 1 --iterations 1 --markdown")
    assert done.code == 1
    rows = [line for line in done.out.splitlines() if line.startswith("| openvino")]
    assert re.match(r"\| openvino fp32 \| 1 \| \d", rows[0])
    assert rows[1] == "| openvino int8 | 1 | FAILED |  |  |  |  |  |"
    assert "openvino int8, batch 1, FAILED: golden self-test" in done.out


def test_the_document_holds_what_a_reader_needs_to_repeat_it(
    bundle: Bundle, edge_bench: Callable[[str], Any], places: Callable[[Any], set[str]]
) -> None:
    done = edge_bench("model --batch 1,2 --rounds 2 --iterations 2 --warmup 1 --seed 7 --json -")
    assert done.code == 0, done.err
    report = done.report
    assert report["schema"] == "edge-bench/1"
    assert report["bundle"]["hash"] == bundle.hash
    assert {"numpy", "av", "ffmpeg", "openvino", "onnxruntime"} <= set(report["versions"])
    assert report["settings"] == {
        "engines": ["onnxruntime", "openvino"],
        "precisions": ["fp32", "int8"],
        "device": "CPU",
        "threads": 1,
        "batches": [1, 2],
        "rounds": 2,
        "warmup": 1,
        "iterations": 2,
        "seed": 7,
    }
    assert report["machine"]["cores"] >= 1
    assert report["machine"]["memory_mb"] > 100
    assert report["memory"]["peak_mb"] >= report["memory"]["now_mb"] > 10
    timed = next(row for row in report["results"]["model"]["variants"] if row["status"] == "ok")
    row = places(timed)
    assert row == {"", *(f".{name}" for name in (
        "variant", "engine", "precision", "runtime", "device", "batch", "status", "reason",
        "mean_cosine", "min_cosine", "calls", "ms", "ms.p50", "ms.p90", "ms.p99",
        "rounds_ms", "rounds_ms.median", "rounds_ms.low", "rounds_ms.high",
        "core_ms", "frames_per_s",
    ))}  # fmt: skip


def test_a_device_that_is_not_there_is_an_error_and_no_row(bundle: Bundle) -> None:
    with pytest.raises(EngineUnavailable, match="expected device 'GPU'"):
        measure(bundle, replace(SETTINGS, device="GPU"), lambda: None)


def test_a_report_can_be_a_file(edge_bench: Callable[[str], Any], tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    done = edge_bench(
        f"model --engine openvino --precision fp32 --rounds 1 --iterations 1 --json {path}"
    )
    assert done.code == 0
    assert "openvino fp32" in done.out
    assert path.read_text().startswith('{\n "schema": "edge-bench/1"')
