"""Writes configuration files."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edge.config.load import load_config
from edge.config.models import Config
from edge.errors import ConfigError


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Config]:
    """Loads a text as ``edge.yaml``; keywords are the environment."""

    def run(text: str, **environment: str) -> Config:
        path = tmp_path / "edge.yaml"
        path.write_text(text, encoding="utf-8")
        return load_config(path, environment)

    return run


@pytest.fixture
def problems(load: Callable[..., Config], tmp_path: Path) -> Callable[..., list[str]]:
    """Loads a text that must be refused; the message's lines, file name shortened."""

    def run(text: str, **environment: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load(text, **environment)
        return str(caught.value).replace(f"{tmp_path}/", "").splitlines()

    return run
