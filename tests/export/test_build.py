"""A checkpoint of every family through all steps and targets, and into the device's own reader."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exported import EXPORTED, PICTURES, Exports
from rich.progress import Progress

from edge.config.models import EngineConfig
from edge.config.prompt import PromptConfig
from edge.errors import ConfigError, EdgeError, ModelError
from edge.model.bundle.read import open_bundle
from edge.scoring.open import open_models
from edge.video.sample import Arrival, Sample
from export.build import BuildRequest, Built, build
from export.bundle.targets import TARGETS
from export.cli import commands
from export.graph import part

MAIN = {"xclip_ms": "video", "grounding_dino": "detector"}


@pytest.mark.slow
@pytest.mark.parametrize("family", EXPORTED)
def test_every_variant_of_every_family_is_packed_or_named(exports: Any, family: Any) -> None:
    result = exports.build(family)
    manifest = result.bundle.manifest
    main = MAIN.get(family, "image")
    graphs = {file.file for file in manifest.files if file.is_graph}
    made = {f"{main}.{precision}.onnx" for precision in ("fp32", "fp16", "int8")}
    assert made <= graphs | set(result.left_out)
    assert {f"{main}.fp32.onnx", f"{main}.fp32.xml", "text.fp32.onnx"} <= graphs
    assert graphs.isdisjoint(result.left_out)
    rows = json.loads(result.bundle.read("accuracy"))["variants"]
    assert rows.keys() == graphs
    assert rows[f"{main}.fp32.onnx"]["min_cosine"] > 0.9999
    result.bundle.verify()


@pytest.mark.slow
def test_int8_passes_and_tensorrt_runs_all_of_it_in_int8(exports: Any) -> None:
    result = exports.build("clip")
    assert result.bundle.entry("image", "int8").min_cosine == 0.95
    (note,) = [note for note in result.notes if note.startswith("image.int8")]
    pytest.importorskip("tensorrt_rtx")
    assert "TensorRT for RTX runs 14 of 14 layers with weights in INT8, 2 fused attention" in note


@pytest.mark.slow
@pytest.mark.parametrize("family", EXPORTED)
def test_the_device_opens_it_compiles_prompts_and_scores(exports: Any, family: Any) -> None:
    bundle = exports.build(family).bundle
    prompts = {
        "car": PromptConfig(text=("a car",), negatives=("a dog",)),
        "dog": PromptConfig(text=("a dog",), negatives=("a bus",)),
    }
    image = bundle.manifest.image
    generator = np.random.default_rng(3)
    with open_models(bundle, EngineConfig(kind="onnxruntime", precision="fp32")) as models:
        with models.scoring.open_compiler() as compile_prompts:
            bank = compile_prompts(prompts)
        answers = [
            models.scoring.scorer.score(
                [
                    Sample(
                        "yard",
                        index,
                        Arrival(wall=1e9 + index, monotonic=float(index), pts_s=float(index)),
                        generator.integers(-128, 128, (3, image.height, image.width), np.int8),
                    )
                ],
                bank,
            )[0]
            for index in range(bundle.manifest.frames)
        ]
    assert answers[:-1] == [None] * (bundle.manifest.frames - 1)
    last = answers[-1]
    assert last is not None
    assert last.cosines.shape == (len(bank.sentences),)
    assert (last.embedding is None) == (bundle.manifest.frame_class == "P")
    same = [i for i, sentence in enumerate(bank.sentences) if sentence == "a dog"]
    assert len({round(float(last.cosines[i]), 5) for i in same}) == 1
    assert len(set(last.cosines.round(5))) > 1


@pytest.mark.slow
def test_a_second_build_goes_on_from_what_is_kept_and_gives_the_same_graphs(
    exports: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = exports.build("clip").bundle

    def slip(*_: object) -> None:
        raise AssertionError("exported again")

    monkeypatch.setattr(part, "to_onnx", slip)
    request = BuildRequest(
        source=str(exports.checkpoint("clip")),
        out=tmp_path / "again",
        targets=TARGETS,
        calibration=exports.pictures(),
        frames=PICTURES,
    )
    with Progress(disable=True) as progress:
        again = build(request, progress, exports.steps()).bundle
    # OpenVINO numbers the layers of its XML anew each time.
    hashes = [
        {f.file: f.sha256 for f in one.manifest.files if not f.file.endswith(".xml")}
        for one in (first, again)
    ]
    assert hashes[0] == hashes[1]


def attempt(request: BuildRequest, exports: Exports) -> Built:
    with Progress(disable=True) as progress:
        return build(request, progress, exports.steps())


def test_a_failure_names_its_step_and_leaves_nothing(exports: Any, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    request = BuildRequest(
        str(exports.checkpoint("clip")), tmp_path / "out", calibration=tmp_path / "none"
    )
    with pytest.raises(ModelError, match=r"step 'read calibration frames': .*an empty folder"):
        attempt(request, exports)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["none"]


def test_one_picture_is_no_calibration_set(exports: Any, tmp_path: Path) -> None:
    request = BuildRequest(
        str(exports.checkpoint("clip")),
        tmp_path / "out",
        calibration=exports.pictures() / "000.png",
    )
    with pytest.raises(ModelError, match="at least 32 different frames for calibration, found 1"):
        attempt(request, exports)


def test_only_a_detector_takes_a_size(exports: Any, tmp_path: Path) -> None:
    request = BuildRequest(str(exports.checkpoint("clip")), tmp_path / "out", size=(64, 64))
    with pytest.raises(ConfigError, match="expected a size for a detector"):
        attempt(request, exports)


def test_a_bare_xclip_is_refused_with_both_meanings(exports: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Ma et al") as caught:
        attempt(BuildRequest("xclip", tmp_path / "out"), exports)
    assert "xclip-ms-" in str(caught.value)


def run(*arguments: object) -> None:
    """The command as ``edge-export`` runs it, in this process: torch takes seconds to import."""
    commands.app([str(argument) for argument in arguments], standalone_mode=False)


def test_list_names_every_checkpoint_with_its_licence(capsys: pytest.CaptureFixture[str]) -> None:
    run("list", "--json")
    rows = json.loads(capsys.readouterr().out)
    assert {"clip-vit-b-32", "grounding-dino-tiny"} <= {row["name"] for row in rows}
    assert all(row["licence"] for row in rows)


@pytest.mark.slow
def test_the_command_builds_and_signs(
    exports: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "site.key"
    run("keygen", key)
    capsys.readouterr()
    out = tmp_path / "bundle"
    run(
        "build", exports.checkpoint("clip"), "--out", out, "--calibration", exports.pictures(),
        "--frames", PICTURES, "--key", key, "--json",
    )  # fmt: skip
    document = json.loads(capsys.readouterr().out)
    assert document["path"] == str(out)
    assert "image.int8.onnx" in document["graphs"]
    assert "image.fp16.onnx" not in document["graphs"]  # nobody asked for TensorRT
    assert open_bundle(out).signed is not None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--targets", "onnx,coreml"), "expected some of onnx, openvino, tensorrt, found coreml"),
        (("--size", "big"), "expected height x width such as 480x640, found 'big'"),
        (("--key", "nowhere.key"), "expected the file of a private key"),
    ],
)
def test_a_wrong_option_is_reported_before_the_work(
    tmp_path: Path, arguments: Any, message: Any
) -> None:
    with pytest.raises(EdgeError, match=message):
        run("build", "clip-vit-b-32", "--out", tmp_path / "out", *arguments)
    assert not (tmp_path / "out").exists()
