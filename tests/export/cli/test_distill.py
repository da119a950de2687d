"""``edge-export distill``: what it refuses before any work."""

import subprocess
import sys
from pathlib import Path

import pytest
from command import Run

from export.cli.distill import _weights as parsed_weights


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--weight", "mimicry"), "--weight: expected LOSS=W"),
        (("--weight", "clip=1"), "with a loss of mimicry, relational, alignment, contrastive"),
        (("--weight", "mimicry=-1"), "a number from 0, found 'mimicry=-1'"),
        (("--weight", "mimicry=nan"), "a number from 0"),
        (("--size", "224"), "--size: expected height x width"),
        (("--size", "8x80"), "--size: expected the shape of the teacher's pictures, 8x8"),
        (("--targets", "coreml"), "--targets: expected some of"),
        (("--weights", "w.safetensors", "--pretrained"), "expected --weights or --pretrained"),
        (("--epochs", "0"), "epochs: expected a number from 1"),
        (("--held-out", "1"), "held_out: expected a number from 0.01 to 0.9"),
        (("--student", "resnet5000"), "expected a student that timm knows, found 'resnet5000'"),
    ],
)
def test_a_wrong_option_is_reported_before_the_work(
    edge_export: Run,
    bundle: Path,
    tmp_path: Path,
    options: tuple[str, ...],
    message: str,
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    outcome = edge_export("distill", bundle, "--data", data, "--out", tmp_path / "out", *options)
    assert outcome.code == 2
    assert message in outcome.err
    assert "Traceback" not in outcome.err
    assert not (tmp_path / "out").exists()


def test_an_empty_folder_of_pictures_is_reported(
    edge_export: Run, bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    words = ("--data", tmp_path / "data", "--student", "test_efficientnet", "--size", "32x32")
    outcome = edge_export("distill", bundle, "--out", tmp_path / "out", *words)
    assert outcome.code == 3
    assert "an empty folder" in outcome.err


def test_a_teacher_that_is_no_bundle_is_reported(edge_export: Run, tmp_path: Path) -> None:
    outcome = edge_export("distill", tmp_path, "--data", tmp_path, "--out", tmp_path / "out")
    assert outcome.code == 3
    assert "expected a bundle with manifest.json" in outcome.err


@pytest.mark.parametrize("package", ["accelerate", "torch"])
def test_a_missing_package_of_the_extra_is_named(
    bundle: Path, tmp_path: Path, package: str
) -> None:
    code = f"import sys; sys.modules[{package!r}] = None; from export.cli.main import main; main()"
    words = ("distill", bundle, "--data", tmp_path, "--out", tmp_path / "out")
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert f"expected the package {package}, found none" in done.stderr
    assert "camera-edge-runtime[distill]" in done.stderr


def test_weights_of_losses_are_read() -> None:
    assert parsed_weights(["mimicry=2", "alignment=0"]) == {"mimicry": 2.0, "alignment": 0.0}
