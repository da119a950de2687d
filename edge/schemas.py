"""Writes the JSON Schemas of payloads and file: ``python -m edge.schemas docs/schemas``."""

import json
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from edge.config.schema import config_schema
from edge.payloads import AlertPayload, StatePayload

_PAYLOADS: dict[str, type[BaseModel]] = {"alert.json": AlertPayload, "state.json": StatePayload}


def schemas() -> dict[str, str]:
    """File name -> JSON Schema (draft 2020-12) of what goes over the wire, and of the file."""
    payloads = {name: _schema(model) for name, model in _PAYLOADS.items()}
    documents = payloads | {"config.schema.json": config_schema()}
    return {name: json.dumps(schema, indent=2) + "\n" for name, schema in documents.items()}


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema


if __name__ == "__main__":
    for name, text in schemas().items():
        (Path(sys.argv[1]) / name).write_text(text)
