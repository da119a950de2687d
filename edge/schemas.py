"""Writes the JSON Schemas of the payloads: ``python -m edge.schemas docs/schemas``."""

import json
import sys
from pathlib import Path

from pydantic import BaseModel

from edge.payloads import AlertPayload, StatePayload

_PAYLOADS: dict[str, type[BaseModel]] = {"alert.json": AlertPayload, "state.json": StatePayload}


def schemas() -> dict[str, str]:
    """File name -> JSON Schema (draft 2020-12) of what goes over the wire."""
    return {name: _schema(model) for name, model in _PAYLOADS.items()}


def _schema(model: type[BaseModel]) -> str:
    schema = model.model_json_schema(mode="serialization")
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps(dialect | schema, indent=2) + "\n"


if __name__ == "__main__":
    for name, text in schemas().items():
        (Path(sys.argv[1]) / name).write_text(text)
