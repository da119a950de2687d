import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from edge.cli.schemas import schemas
from edge.config.models import Config
from edge.config.schema import config_schema, expected_at

COMMITTED = Path(__file__).parents[3] / "docs" / "schemas" / "config.schema.json"


def test_the_committed_schema_is_in_step() -> None:
    assert COMMITTED.read_text() == schemas()["config.schema.json"], (
        "run: python -m edge.cli.schemas docs/schemas"
    )


def test_it_is_a_valid_json_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(config_schema())


def errors(text: str) -> list[str]:
    validator = jsonschema.Draft202012Validator(config_schema())
    return [error.message for error in validator.iter_errors(yaml.safe_load(text))]


BASE = """
device: {id: nvr-01}
bundle: b
mqtt: {host: h, %s}
prompts: {dog: {text: a dog}}
cameras: {yard: {url: x}}
"""


@pytest.mark.parametrize(
    "field",
    [
        "port: 1",
        "port: '${PORT}'",
        "keepalive: 10s",
        "keepalive: 40",
        "keepalive: '${K:40}'",
        "protocol: 5",
        "protocol: '5'",
        "tls: {}",
        "password: '${P}', username: u",
    ],
)
def test_an_editor_accepts_what_the_daemon_accepts(field: str) -> None:
    assert errors(BASE % field) == []


@pytest.mark.parametrize(
    "field",
    [
        "port: 0",
        "port: x",
        "port: $PORT",
        "keepalive: 3 parsecs",
        "hots: x",
    ],
)
def test_an_editor_marks_what_the_daemon_refuses(field: str) -> None:
    assert errors(BASE % field) != []


def test_every_key_has_a_description() -> None:
    schema = config_schema()
    nameless = [
        f"{section.get('title')}.{name}"
        for section in (schema, *schema["$defs"].values())
        for name, field in section["properties"].items()
        if not field.get("description")
    ]
    assert nameless == []


def test_what_is_secret_is_known_from_the_records() -> None:
    assert expected_at(("mqtt", "password"))["writeOnly"]
    assert expected_at(("cameras", "any", "url"))["writeOnly"]
    assert "writeOnly" not in expected_at(("mqtt", "username"))
    assert "ca" in expected_at(("mqtt", "tls"))["properties"]
    assert expected_at(("nonsense", 3, "deeper")) == {}


def test_the_schema_is_json_and_names_the_sections_of_the_file() -> None:
    schema = json.loads(json.dumps(config_schema()))
    assert set(schema["properties"]) == set(Config.model_fields)
