"""docs/config.md: its examples load, and its tables say what the records say."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from edge.config.fields import seconds
from edge.config.models import CameraConfig, Config
from edge.config.prompt import PromptConfig

DOCUMENT = (Path(__file__).parents[3] / "docs" / "config.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```yaml\n(.+?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
ROWS = dict(re.findall(r"^\| `([a-zA-Z_.]+)` \| (.*?) \|", DOCUMENT, re.MULTILINE))


@pytest.mark.parametrize("example", EXAMPLES, ids=["smallest", "larger"])
def test_the_examples_load(load: Callable[..., Config], tmp_path: Path, example: str) -> None:
    secrets = tmp_path / "secrets.yaml"
    secrets.write_text("broker_password: hushhush\n")
    secrets.chmod(0o600)
    assert isinstance(load(example, YARD_PASSWORD="pw-yard"), Config)


def test_the_larger_example_means_what_it_says(load: Callable[..., Config], tmp_path: Path) -> None:
    (tmp_path / "secrets.yaml").write_text("broker_password: hushhush\n")
    (tmp_path / "secrets.yaml").chmod(0o600)
    config = load(EXAMPLES[1], YARD_PASSWORD="pw-yard")
    gate = config.cameras["gate"]
    assert gate.url.get_secret_value() == "rtsp://viewer:guest@192.0.2.11/stream2"
    assert (gate.sample.fps, gate.prompts) == (2, ("intruder", "van"))
    assert config.prompts["intruder"].cooldown == 60
    assert config.mqtt.tls is not None
    assert config.mqtt.tls.ca == tmp_path / "ca.pem"


def fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, bool, object]]:
    """Dotted key as in the tables, with its default; sections that have tables are walked into."""
    for name, field in model.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        inner = [
            part
            for part in (field.annotation, *getattr(field.annotation, "__args__", ()))
            if isinstance(part, type) and issubclass(part, BaseModel)
        ]
        walked = inner and inner[0] not in {PromptConfig, CameraConfig}
        if key not in {"prompts.NAME.on", "cameras.NAME.sample"}:
            yield (
                key,
                field.is_required(),
                None if walked else field.get_default(call_default_factory=True),
            )
        if walked:
            yield from fields(inner[0], f"{key}.")


ALL = [
    *fields(Config),
    *fields(PromptConfig, "prompts.NAME."),
    *fields(CameraConfig, "cameras.NAME."),
]


def test_every_key_is_in_a_table_and_no_other() -> None:
    assert sorted(ROWS) == sorted(key for key, _, _ in ALL)


@pytest.mark.parametrize(("key", "required", "default"), ALL, ids=[key for key, _, _ in ALL])
def test_the_tables_say_the_defaults(key: str, required: bool, default: Any) -> None:
    said = ROWS[key]
    assert (said == "—") == required
    if required or default in (None, (), {}):
        assert not said.startswith("`") or key == "mqtt.client_id"
        return
    value = yaml.safe_load(said.strip("`"))
    if isinstance(default, float) and isinstance(value, str):
        assert seconds(value) == default
    elif isinstance(default, tuple):
        assert (value,) == default
    elif isinstance(default, Path):
        assert Path(value) == default
    else:
        assert value == default
