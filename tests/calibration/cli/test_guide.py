"""docs/evaluate.md says what can be typed, read and loaded."""

import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml
from known import known
from typer.core import TyperGroup

from calibration.cli.evaluate import app
from calibration.labels import read_labels
from edge.config.prompt import PromptConfig

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "evaluate.md").read_text()


def block(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("line", block("console")[0].splitlines())
def test_commands_can_be_typed(line: str) -> None:
    name, *words = shlex.split(line.removeprefix("$ "))
    assert name == "edge-calibrate"
    command = typer.main.get_command(app)
    assert isinstance(command, TyperGroup)
    with command.make_context(name, words) as context:
        _, subcommand, rest = command.resolve_command(context, words)
        known(subcommand).make_context(name, rest, parent=context).close()


def test_the_labels_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "yard.mp4").touch()
    path = tmp_path / "events.json"
    path.write_text(block("json")[0])
    assert len(read_labels(path, tmp_path)) == 1


def test_the_sharpened_rule_can_be_loaded() -> None:
    (rule,) = yaml.safe_load(block("yaml")[0])["prompts"].values()
    assert known(PromptConfig.model_validate(rule).sharpened).threshold == 0.0008
