"""Changes to the files of a checkpoint."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file


def change_weights(path: Path, change: Callable[..., Any]) -> None:
    weights = load_file(path)
    change(weights)
    save_file(weights, path)


def edit(path: Path, **changes: str) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
