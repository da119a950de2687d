"""A box with two rules and two cameras, whose rollout tests start and stop."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from control_box import ControlBox

from edge.config.models import Config


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    return {
        "device": {"id": "box"},
        "bundle": "unused",
        "state_dir": str(tmp_path / "state"),
        "mqtt": {"host": "127.0.0.1"},
        "prompts": {"cat": {"text": "a cat"}, "van": {"text": "a van", "threshold": 0.2}},
        "cameras": {"yard": {"url": "file:x"}, "gate": {"url": "file:x", "prompts": ["cat"]}},
    }


@pytest.fixture
def box(settings: dict[str, Any]) -> Iterator[ControlBox]:
    box = ControlBox(Config.model_validate(settings))
    yield box
    box.stop()
