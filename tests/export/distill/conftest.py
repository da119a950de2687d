"""A tiny CLIP as a teacher's bundle, pictures, and a distillation that takes seconds."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from exported import Exports
from PIL import Image
from rich.progress import Progress

from edge.bundle import Bundle
from export.distill.pipeline import Distilled, Request, distill
from export.distill.recipe import Recipe
from export.families.testing import SIDE

# A student without batch normalization, small enough for a test.
STUDENT = "test_vit"


def silent() -> Progress:
    return Progress(disable=True)


@pytest.fixture(scope="session")
def teacher(exports: Exports) -> Bundle:
    """The bundle of a tiny CLIP with random weights."""
    bundle: Bundle = exports.build("clip").bundle
    return bundle


def picture_folder(folder: Path, count: int = 64, seed: int = 0) -> Path:
    """``count`` pictures of a few coloured fields."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    for index in range(count):
        fields = Image.fromarray(random.integers(0, 255, (3, 4, 3), dtype=np.uint8))
        fields.resize((48, 36), Image.Resampling.NEAREST).save(folder / f"{index:03}.png")
    return folder


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return picture_folder(tmp_path_factory.mktemp("pictures"))


@pytest.fixture
def request_of(teacher: Bundle, pictures: Path, tmp_path: Path) -> Callable[..., Request]:
    """A request that takes seconds; recipe options by name."""

    def make(name: str = "a", **recipe: object) -> Request:
        options: dict[str, object] = {
            "held_out": 0.25, "epochs": 2, "qat_epochs": 1, "batch": 16, "chunk": 8,
            "variations": 2, "scale": 10.0,
        }  # fmt: skip
        return Request(
            teacher=teacher.path,
            student=STUDENT,
            data=[pictures],
            out=tmp_path / f"{name}-out",
            work=tmp_path / f"{name}-work",
            size=(SIDE, SIDE),
            recipe=replace(Recipe(), **(options | recipe)),  # type: ignore[arg-type]
        )

    return make


@pytest.fixture(scope="session")
def distilled(
    teacher: Bundle, pictures: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Request, Distilled]:
    """A finished distillation, to look at."""
    folder = tmp_path_factory.mktemp("distilled")
    request = Request(
        teacher=teacher.path, student="test_efficientnet", data=[pictures],
        out=folder / "out", work=folder / "work", size=(SIDE, SIDE),
        targets=("onnx", "openvino"),
        recipe=Recipe(held_out=0.25, epochs=3, qat_epochs=1, batch=16, chunk=16, variations=1),
    )  # fmt: skip
    return request, distill(request, silent())
