"""Writes the JSON Schemas of payloads and file: ``python -m edge.cli.schemas docs/schemas``."""

import json
import sys
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from edge.config.schema import config_schema
from edge.control.commands import DesiredPrompts, Feedback
from edge.delivery.device_state import DeviceStatePayload
from edge.delivery.payloads import AlertPayload, AnswerPayload, PromptsStatePayload, StatePayload
from edge.search.request import SearchAnswer, SearchRequest

_PUBLISHED: dict[str, type[BaseModel]] = {
    "alert.json": AlertPayload,
    "state.json": StatePayload,
    "device-state.json": DeviceStatePayload,
    "prompts-state.json": PromptsStatePayload,
    "answer.json": AnswerPayload,
    "search-answer.json": SearchAnswer,
}
_RECEIVED: dict[str, type[BaseModel]] = {
    "prompts.json": DesiredPrompts,
    "feedback.json": Feedback,
    "search.json": SearchRequest,
}


def schemas() -> dict[str, str]:
    """File name -> JSON Schema (draft 2020-12) of what goes over the wire, and of the file."""
    published = {name: _schema(model, "serialization") for name, model in _PUBLISHED.items()}
    received = {name: _schema(model, "validation") for name, model in _RECEIVED.items()}
    documents = published | received | {"config.schema.json": config_schema()}
    return {name: json.dumps(schema, indent=2) + "\n" for name, schema in documents.items()}


def _schema(model: type[BaseModel], mode: Literal["validation", "serialization"]) -> dict[str, Any]:
    schema = model.model_json_schema(mode=mode)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema


if __name__ == "__main__":
    for name, text in schemas().items():
        (Path(sys.argv[1]) / name).write_text(text)
