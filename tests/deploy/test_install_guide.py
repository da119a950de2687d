"""The guide to a box: what it says to type can be typed, and what it quotes is what the tools say."""

import ast
import re
import shlex
from functools import cache
from pathlib import Path

import pytest
import typer
from known import known
from typer.core import TyperGroup

import deploy.cli
import edge.cli.main
import export.cli.commands

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "install.md").read_text()
TOOLS = {
    "edge": edge.cli.main.app,
    "edge-flash": deploy.cli.app,
    "edge-export": export.cli.commands.app,
}
SYSTEM = {"apt", "cp", "docker", "gpg", "journalctl", "nano", "systemctl", "chown", "chmod"}


def typed(text: str = GUIDE) -> list[list[str]]:
    """Every command behind a ``$`` and in a code span, without sudo."""
    lines = re.findall(r"^ *\$ (.+)$", text, re.MULTILINE)
    spans = re.findall(r"`([a-z][^`\n]* [^`\n]*)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    found = [shlex.split(line, comments=True) for line in lines]
    first = {*TOOLS, *SYSTEM, "sudo"}
    found += [words for span in spans if (words := span.split())[0] in first]
    return [words[1:] if words[0] == "sudo" else words for words in found]


def parse(words: list[str]) -> None:
    """Let the command line's own parser read them; nothing is run."""
    command = typer.main.get_command(TOOLS[words[0]])
    assert isinstance(command, TyperGroup)
    with command.make_context(words[0], words[1:]) as context:
        name, subcommand, rest = command.resolve_command(context, words[1:])
        known(subcommand).make_context(name, rest, parent=context).close()


OURS = [words for words in typed() if words[0] in TOOLS and "…" not in "".join(words)]


@pytest.mark.parametrize("words", OURS, ids=" ".join)
def test_each_command_can_be_typed(words: list[str]) -> None:
    parse(words)


def test_a_command_that_cannot_be_typed_would_be_noticed() -> None:
    with pytest.raises(Exception, match="--nonsense"):
        parse(["edge", "backup", "file", "--nonsense"])


def test_the_guide_has_the_commands_that_a_box_needs() -> None:
    named = {tuple(words[:2]) for words in OURS}
    assert {
        ("edge", name) for name in ("check", "health", "backup", "restore", "support-bundle")
    } <= named
    assert ("edge-flash", "write") in named
    assert {words[0] for words in typed()} <= {*TOOLS, *SYSTEM}


@cache
def said() -> str:
    """All text that the daemon and its tools can say."""
    found = []
    for path in sorted((ROOT / "edge").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = (
                    part.value if isinstance(part, ast.Constant) else "{}" for part in node.values
                )
                found.append("".join(map(str, parts)))
    return "\n".join(found)


def quoted() -> list[str]:
    """What the first column of the table says, and the other code spans of the tools' output."""
    table = GUIDE[GUIDE.index("| It says |") : GUIDE.index("## Ask for help")]
    rows = [line.split("|")[1] for line in table.splitlines()[2:] if line.startswith("|")]
    return [span for row in rows for span in re.findall(r"`([^`]+)`", row)]


@pytest.mark.parametrize("message", quoted())
def test_each_message_of_the_table_is_one_of_ours(message: str) -> None:
    assert message in said()


def test_a_message_that_nobody_says_would_be_noticed() -> None:
    assert "the flux capacitor is empty" not in said()
    assert len(quoted()) > 15


def test_each_way_has_less_than_ten_steps() -> None:
    ways = re.split(r"^## ", GUIDE, flags=re.MULTILINE)
    steps = {way.split("\n")[0]: len(re.findall(r"^\d+\. ", way, re.MULTILINE)) for way in ways}
    assert steps["1. The image"] > 3
    assert all(number < 10 for number in steps.values())


def test_what_is_shown_of_health_and_backup_is_what_they_print() -> None:
    for words in ("golden frames embedded", "It holds passwords and keys: keep it safe.",
                  "remove it when all is well", "secrets are masked; look into it before you send it"):  # fmt: skip
        assert words in said()
        assert words in GUIDE
