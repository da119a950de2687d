"""What the front page says can be typed, loaded and followed."""

import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer
from known import known
from typer.core import TyperGroup

import calibration.cli.evaluate
import deploy.cli
import edge.cli.main
import export.cli.commands
from benchmarks import cli as bench
from edge.config.load import load_config
from edge.delivery.payloads import AlertPayload

ROOT = Path(__file__).resolve().parents[1]
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
COMMANDS = {
    "edge": edge.cli.main.app,
    "edge-export": export.cli.commands.app,
    "edge-bench": bench.app,
    "edge-calibrate": calibration.cli.evaluate.app,
    "edge-flash": deploy.cli.app,
}
README = (ROOT / "README.md").read_text()
TOOLS = (ROOT / "docs/tools.md").read_text()


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def typed() -> list[list[str]]:
    """Every command behind a ``$``, split as a shell would; of a program its name alone."""
    lines = [
        line for text in (README, TOOLS) for b in blocks("console", text) for line in b.splitlines()
    ]
    split = [shlex.split(line.removeprefix("$"), comments=True) for line in lines]
    return [[Path(words[0]).name, *words[1:]] for words in split]


def test_the_front_page_is_short() -> None:
    assert len(README.splitlines()) <= 150
    rows = README.partition("## Measured")[2].partition("## ")[0].count("\n|") - 2
    assert rows == 10


def parse(words: list[str]) -> None:
    """Let the command line's own parser read them; nothing is run."""
    command = typer.main.get_command(COMMANDS[words[0]])
    assert isinstance(command, TyperGroup)
    with command.make_context(words[0], words[1:]) as context:
        name, subcommand, rest = command.resolve_command(context, words[1:])
        known(subcommand).make_context(name, rest, parent=context).close()


@pytest.mark.parametrize("words", [w for w in typed() if w[0] in COMMANDS], ids=" ".join)
def test_commands_can_be_typed(words: list[str]) -> None:
    parse(words)


def test_the_parser_would_notice_a_wrong_option_and_a_wrong_command() -> None:
    with pytest.raises(Exception, match="--nonsense"):
        parse(["edge", "demo", "--nonsense"])
    with pytest.raises(Exception, match="nonsense"):
        parse(["edge", "nonsense"])


def test_every_command_line_is_a_known_one() -> None:
    others = {words[0] for words in typed()} - set(COMMANDS)
    assert others == {"make", "pip", "python3", "sudo"}


def test_what_is_to_be_made_can_be_made() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    pages = "".join((ROOT / page).read_text() for page in PAGES)
    named = {words[1] for words in typed() if words[0] == "make"}
    named |= set(re.findall(r"`make ([a-z-]+)[^`]*`", pages))
    assert named >= {"demo", "test", "check"}
    assert named - targets == set()


def test_what_python_is_to_run_is_a_module() -> None:
    paths = [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "Makefile",
        *ROOT.glob("docs/**/*.md"),
    ]
    text = "".join(path.read_text() for path in paths)
    own = r"python -m ((?:edge|export|calibration|benchmarks)\b[\w.]*)"
    named = set(re.findall(own, text))
    assert "benchmarks.studies.false_alarms" in named
    assert [name for name in sorted(named) if not runnable(name)] == []
    assert not runnable("benchmarks.studies")


def runnable(name: str) -> bool:
    """Whether ``python -m`` finds something to run under this name."""
    spec = find_spec(name)
    if spec is None or spec.submodule_search_locations is None:
        return spec is not None
    return find_spec(f"{name}.__main__") is not None


def test_the_configuration_can_be_loaded(tmp_path: Path) -> None:
    (text,) = blocks("yaml")
    path = tmp_path / "edge.yaml"
    path.write_text(text)
    config = load_config(path, {"MQTT_PASSWORD": "m-secret", "YARD_PASSWORD": "y-secret"})
    assert config.cameras["yard"].url.get_secret_value().startswith("rtsp://viewer:y-secret@")


def test_the_message_is_one_of_ours() -> None:
    (text,) = blocks("json")
    assert AlertPayload.model_validate_json(text).prompt.text == "a taxi"


@pytest.mark.parametrize(
    "page", [*PAGES, *sorted(f"docs/{p.name}" for p in ROOT.glob("docs/*.md"))]
)
def test_links_lead_somewhere(page: str) -> None:
    path = ROOT / page
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text())
    local = [target for target in targets if "://" not in target]
    missing = [target for target in local if not (path.parent / target).exists()]
    assert missing == []


def paths_in(text: str) -> set[str]:
    """Paths of this repository between backticks."""
    return set(
        re.findall(r"`((?:edge|export|calibration|benchmarks|tests|docs)/[\w/.-]*\w)`", text)
    )


def test_paths_that_a_page_names_exist() -> None:
    pages = [*(ROOT / page for page in PAGES), *(ROOT / "docs").rglob("*.md")]
    named = {(page.name, path) for page in pages for path in paths_in(page.read_text("utf-8"))}
    assert len(named) > 30
    missing = {(page, path) for page, path in named if not (ROOT / path).exists()}
    # Topics of MQTT begin with the prefix `edge`, as the package does.
    assert {(page, path) for page, path in missing if re.search(r"\.\w+$", path)} == set()


def test_a_path_that_does_not_exist_would_be_found() -> None:
    assert paths_in("see `edge/nowhere.py` and edge/app.py") == {"edge/nowhere.py"}
    assert not (ROOT / "edge/nowhere.py").exists()
