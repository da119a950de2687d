"""The measured choice: the fastest variant that answers right, and no other."""

import json
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from onnx import numpy_helper
from present import present
from tiny_bundle import tiny_bundle, tiny_facts, tiny_files, tiny_image_model

from edge.config.models import EngineConfig
from edge.errors import EngineUnavailable, ModelError
from edge.model import choice as module
from edge.model.bundle.manifest import Precision, Role
from edge.model.bundle.read import Bundle
from edge.model.choice import MeasuredVariant, choose, fastest
from edge.model.engines.base import Engine, EngineSettings
from edge.model.graphs import open_graph
from edge.model.variants import Variant
from edge.scoring.open import open_models
from edge.system.ending import Ended, Stop
from export.bundle.pack import write_bundle

AUTO = EngineConfig()


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return tiny_bundle(tmp_path / "bundle")


def blind(model: bytes) -> bytes:
    """The same graph without colours: every picture gets the same answer."""
    graph = onnx.load_from_string(model)
    [tensor] = [t for t in graph.graph.initializer if t.name == "colours"]
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * 0, "colours"))
    return graph.SerializeToString()


def with_blind(path: Path, *names: str) -> Bundle:
    files = {
        name: replace(artefact, data=blind(artefact.data)) if name in names else artefact
        for name, artefact in tiny_files().items()
    }
    return write_bundle(path, tiny_facts(), files)


def timed(monkeypatch: pytest.MonkeyPatch, **ms: float) -> list[str]:
    """Let each variant take so long; returns which were measured."""
    asked: list[str] = []

    def measure(
        _bundle: Bundle, variant: Variant, _settings: object, _stop: Stop, _attempts: object
    ) -> MeasuredVariant:
        asked.append(str(variant))
        return MeasuredVariant(
            kind=variant.kind,
            format=variant.format,
            precision=variant.precision,
            ms=ms[f"{variant.kind}_{variant.precision}"],
            min_cosine=1.0,
        )

    monkeypatch.setattr(module, "_measure", measure)
    return asked


def measured(precision: Precision, ms: float | None) -> MeasuredVariant:
    failure = "broken" if ms is None else None
    return MeasuredVariant(
        kind="openvino", format="onnx", precision=precision, ms=ms, min_cosine=1, failure=failure
    )


@pytest.mark.parametrize(
    ("fp32", "int8", "expected"),
    [
        (10.0, 5.0, "int8"),
        (5.0, 10.0, "fp32"),
        (10.0, 9.8, "fp32"),  # timing is not good for two per cent: the exact one
        (None, 10.0, "int8"),
        (10.0, None, "fp32"),
    ],
)
def test_the_fastest_is_taken_and_a_tie_goes_to_the_more_exact(
    fp32: float | None, int8: float | None, expected: str
) -> None:
    best = fastest([measured("fp32", fp32), measured("int8", int8)])
    assert best is not None
    assert best.precision == expected


def test_nothing_is_taken_if_everything_failed() -> None:
    assert fastest([measured("fp32", None), measured("int8", None)]) is None


def test_every_variant_that_the_runtimes_can_open_is_measured(
    bundle: Bundle, tmp_path: Path
) -> None:
    found = choose(bundle, AUTO, tmp_path / "cache")
    tried = {(one.kind, one.precision) for one in found.measured}
    assert tried == {(k, p) for k in ("openvino", "onnxruntime") for p in ("fp32", "int8")}
    for one in found.measured:
        assert one.ms is not None
        assert one.ms > 0
        assert one.min_cosine == pytest.approx(1, abs=1e-4)


def test_a_variant_that_answers_wrongly_is_not_taken_however_fast(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = with_blind(tmp_path / "bundle", "image.int8.onnx")
    found = choose(bundle, AUTO, tmp_path / "cache")
    assert found.variant.precision == "fp32"
    failures = {one.precision: one.failure for one in found.measured}
    assert failures["fp32"] is None
    assert "golden self-test" in present(failures["int8"])
    assert "int8: not usable" in caplog.text


def test_if_none_answers_right_the_reasons_are_given(tmp_path: Path) -> None:
    bundle = with_blind(tmp_path / "bundle", "image.int8.onnx", "image.fp32.onnx")
    with pytest.raises(ModelError, match=r"passes its self-test: .*fp32: ModelError: golden"):
        choose(bundle, AUTO, tmp_path / "cache")


def test_a_damaged_file_is_no_reason_to_run_another_one(bundle: Bundle, tmp_path: Path) -> None:
    path = bundle.path / "image.int8.onnx"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match="expected SHA-256"):
        choose(bundle, AUTO, tmp_path / "cache")


def test_a_device_that_no_runtime_has_is_unavailable(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match="expected device 'NPU7'"):
        choose(bundle, EngineConfig(device="NPU7"), tmp_path / "cache")


def test_it_is_measured_once_and_again_when_asked(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = {"openvino_fp32": 4, "openvino_int8": 3, "onnxruntime_fp32": 2, "onnxruntime_int8": 1}
    asked = timed(monkeypatch, **times)
    first = choose(bundle, AUTO, tmp_path / "cache")
    assert (str(first.variant), first.remembered, len(asked)) == ("onnxruntime int8", False, 4)
    second = choose(bundle, AUTO, tmp_path / "cache")
    assert (second.variant, second.remembered, len(asked)) == (first.variant, True, 4)
    assert second.measured == first.measured
    choose(bundle, AUTO, tmp_path / "cache", again=True)
    assert len(asked) == 8


@pytest.mark.parametrize(
    "change",
    [
        lambda patch: patch.setattr(module, "_processor", lambda: "another CPU"),
        lambda patch: patch.setattr(module, "_version", lambda package: f"{package} 99"),
    ],
    ids=["processor", "runtime"],
)
def test_another_processor_or_runtime_is_measured_anew(
    bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[pytest.MonkeyPatch], None],
) -> None:
    choose(bundle, AUTO, tmp_path / "cache")
    change(monkeypatch)
    assert not choose(bundle, AUTO, tmp_path / "cache").remembered


def test_the_end_of_the_daemon_interrupts_a_measurement_and_nothing_is_kept(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, opened = Stop(), list[str]()

    def asked_meanwhile(
        bundle: Bundle, role: Role, variant: Variant, settings: EngineSettings
    ) -> Engine:
        opened.append(str(variant))
        if len(opened) == 2:
            stop.set()
        return open_graph(bundle, role, variant, settings)

    monkeypatch.setattr(module, "open_graph", asked_meanwhile)
    with pytest.raises(Ended):
        choose(bundle, AUTO, tmp_path / "cache", stop=stop)
    assert len(opened) == 2
    assert not (tmp_path / "cache").exists()


def test_what_is_configured_leaves_nothing_to_measure(bundle: Bundle, tmp_path: Path) -> None:
    config = EngineConfig(kind="onnxruntime", precision="int8")
    found = choose(bundle, config, tmp_path / "cache")
    assert (str(found.variant), found.measured) == ("onnxruntime int8", ())
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("content", [b"", b"{}", b'{"schema_": "edge-choice/9"}', b"\xff"])
def test_a_damaged_memory_is_measured_again_and_repaired(
    bundle: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    choose(bundle, AUTO, tmp_path / "cache")
    (kept,) = (tmp_path / "cache").iterdir()
    kept.write_bytes(content)
    assert not choose(bundle, AUTO, tmp_path / "cache").remembered
    assert "measuring again" in caplog.text
    assert len(json.loads(kept.read_bytes())["measured"]) == 4
    assert (kept.with_name(f"{kept.stem}-corrupt-1.json")).read_bytes() == content


def test_a_device_that_cannot_remember_runs_all_the_same(
    bundle: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("a file in the way")
    assert choose(bundle, AUTO, tmp_path / "cache").measured
    assert "cannot be kept" in caplog.text


def test_a_choice_that_fails_later_is_reported_and_another_one_runs(
    bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    cache = tmp_path / "cache"
    with monkeypatch.context() as patch:
        timed(patch, openvino_fp32=2, openvino_int8=1, onnxruntime_fp32=4, onnxruntime_int8=3)
        assert str(choose(bundle, AUTO, cache).variant) == "openvino int8"
    # The runtime goes bad without changing its version: the graph is now blind there.
    opened = open_graph

    def bad(bundle: Bundle, role: Role, variant: Variant, settings: EngineSettings) -> Engine:
        if (variant.kind, variant.precision) != ("openvino", "int8"):
            return opened(bundle, role, variant, settings)
        from edge.model.engines import open_engine  # noqa: PLC0415

        return open_engine("openvino", blind(tiny_image_model()), settings)

    monkeypatch.setattr(module, "open_graph", bad)
    monkeypatch.setattr("edge.scoring.open.open_graph", bad)
    with open_models(bundle, AUTO, cache) as models:
        assert str(models.variant) != "openvino int8"
        assert "openvino int8 was chosen before and fails now" in present(models.failed)
    assert "measuring again" in caplog.text
    with open_models(bundle, AUTO, cache) as models:
        assert models.failed is None


def test_systemd_waits_for_each_measurement(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A processor on which a variant takes minutes would never come to its end otherwise."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        measured = choose(bundle, AUTO, tmp_path / "choices").measured
        said = [manager.recv(200).decode() for _ in measured]
    for one, text in zip(measured, said, strict=True):
        assert text == f"STATUS=measuring {one.variant}\nEXTEND_TIMEOUT_USEC=600000000"
