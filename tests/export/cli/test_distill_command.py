"""``edge-export distill``: what it refuses before any work; the demo's weights."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command import in_process
from tiny_bundle import tiny_bundle
from torch.nn import functional

from edge.errors import ConfigError
from export.cli.distill import _weights as parsed_weights
from export.cli.main import main
from export.distill.students import create
from export.distill.studies import demo, full_size


@pytest.fixture
def edge_export(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Any]]:
    with in_process("edge-export", main, capsys, monkeypatch) as run:
        yield run


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return tiny_bundle(tmp_path / "tiny").path


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
        (("--epochs", "0"), "epochs: expected a number from 1"),
        (("--held-out", "1"), "held_out: expected a number from 0.01 to 0.9"),
        (("--student", "resnet5000"), "expected a student that timm knows, found 'resnet5000'"),
    ],
)
def test_a_wrong_option_is_told_before_the_work(
    edge_export: Callable[..., Any],
    bundle: Path,
    tmp_path: Path,
    options: tuple[str, str],
    message: str,
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    outcome = edge_export("distill", bundle, "--data", data, "--out", tmp_path / "out", *options)
    assert outcome.code == 2
    assert message in outcome.err
    assert "Traceback" not in outcome.err
    assert not (tmp_path / "out").exists()


def test_an_empty_folder_of_pictures_is_told(
    edge_export: Callable[..., Any], bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    words = ("--data", tmp_path / "data", "--student", "test_efficientnet", "--size", "32x32")
    outcome = edge_export("distill", bundle, "--out", tmp_path / "out", *words)
    assert outcome.code == 3
    assert "an empty folder" in outcome.err


def test_a_teacher_that_is_no_bundle_is_told(
    edge_export: Callable[..., Any], tmp_path: Path
) -> None:
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


def test_the_demos_weights_compute_what_they_did_under_the_other_names_and_the_other_picture() -> (
    None
):
    network = create("efficientnet-lite", 1, (32, 32)).backbone.eval()
    generator = torch.Generator().manual_seed(0)
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    theirs = {
        f"their.{name}": torch.rand(shape, generator=generator).numpy() + 0.5
        for name, shape in shapes.items()
        if not name.endswith("num_batches_tracked")
    }
    ours = demo.timm_weights(theirs, shapes)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in ours.items()})
    pixels = torch.rand(1, 3, 32, 32, generator=generator) * 255
    mean, std = (torch.tensor(v).reshape(3, 1, 1) * 255 for v in (
        (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    ))  # fmt: skip
    with torch.no_grad():
        found = functional.batch_norm(
            network.conv_stem((pixels - mean) / std), network.bn1.running_mean,
            network.bn1.running_var, network.bn1.weight, network.bn1.bias, eps=network.bn1.eps,
        )  # fmt: skip
    given = {name: torch.from_numpy(value) for name, value in theirs.items()}
    expected = functional.batch_norm(
        functional.conv2d((pixels - 127) / 128, given["their.conv_stem.weight"], stride=2, padding=1),
        given["their.bn1.running_mean"], given["their.bn1.running_var"],
        given["their.bn1.weight"], given["their.bn1.bias"], eps=1e-3,
    )  # fmt: skip
    inside = (..., slice(1, -1), slice(1, -1))  # padding meant another grey
    assert torch.allclose(found[inside], expected[inside], atol=1e-3)
    with pytest.raises(ConfigError, match="another network"):
        demo.timm_weights({"a": np.zeros((1, 2)), **dict(list(theirs.items())[1:])}, shapes)


def test_a_killed_run_that_says_why_ends_the_full_size_run(tmp_path: Path) -> None:
    (tmp_path / "last").mkdir()
    (tmp_path / "last" / "progress.json").write_text(json.dumps({"standing": {"done": True}}))
    assert full_size._done(tmp_path)
    assert not full_size._done(tmp_path / "nothing")
