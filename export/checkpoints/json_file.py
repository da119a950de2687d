"""Reads JSON files of a checkpoint, which somebody else wrote."""

import json
from pathlib import Path
from typing import Any

from edge.errors import ModelError
from edge.system.trouble import words_of


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file.

    Raises:
        ModelError: The file cannot be read, or is something else.
    """
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as exc:
        raise ModelError(f"{path}: expected JSON, found: {words_of(exc)}") from exc
    if not isinstance(document, dict):
        raise ModelError(f"{path}: expected a JSON object, found {type(document).__name__}")
    return document
