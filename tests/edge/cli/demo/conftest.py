"""A small bundle that knows red, green and blue, and a clip that is red, then blue."""

from pathlib import Path

import numpy as np
import pytest
from tiny_bundle import tiny_bundle

from edge.config.models import EngineConfig
from edge.config.prompt import PromptConfig
from edge.model.bundle.read import open_bundle
from edge.rules.bank import PromptBank
from edge.scoring.open import open_models
from edge.testing.synthetic import write_clip

COLOURS = {"red": (220, 20, 20), "blue": (20, 20, 220)}


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny").path


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of red, then two of blue."""

    def draw(time_s: float) -> np.ndarray:
        return np.full((48, 64, 3), COLOURS["red" if time_s < 2 else "blue"], np.uint8)

    path = tmp_path_factory.mktemp("clips") / "colours.mp4"
    return write_clip(path, width=64, height=48, fps=10, seconds=4, gop=10, pattern=draw)


@pytest.fixture(scope="session")
def bank(bundle: Path) -> PromptBank:
    prompts = {name: PromptConfig(text=(name,)) for name in COLOURS}
    with (
        open_models(open_bundle(bundle), EngineConfig()) as models,
        models.scoring.open_compiler() as compile_prompts,
    ):
        return compile_prompts(prompts)
