"""Options that every command line has, in an install with the device's packages only."""

import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest
from typer.main import get_command
from typer.testing import CliRunner

import benchmarks.cli
import calibration.cli.evaluate
import deploy.cli
import edge.cli.main
import export.cli.commands
from edge import __version__
from edge.system import command_line

TOOLS = {
    "edge": ("edge.cli.main", edge.cli.main.app),
    "edge-bench": ("benchmarks.cli", benchmarks.cli.app),
    "edge-calibrate": ("calibration.cli.main", calibration.cli.evaluate.app),
    "edge-export": ("export.cli.main", export.cli.commands.app),
    "edge-flash": ("deploy.cli", deploy.cli.app),
}
# Every optional package of pyproject.toml, by the name that is imported.
OPTIONAL = [
    "accelerate",
    "amqtt",
    "cryptography",
    "huggingface_hub",
    "jinja2",
    "matplotlib",
    "nncf",
    "onnx",
    "onnxruntime",
    "open_clip",
    "openvino",
    "PIL",
    "pycuda",
    "safetensors",
    "scipy",
    "sympy",
    "tensorboard",
    "tensorrt",
    "tensorrt_rtx",
    "timm",
    "tokenizers",
    "torch",
    "torchvision",
    "transformers",
    "webdataset",
]
BARE = """
import sys
for name in {names!r}:
    sys.modules[name] = None
from {module} import main
for arguments in {lines!r}:
    sys.argv = ["tool", *arguments]
    try:
        main()
    except SystemExit as ended:
        if ended.code:
            raise SystemExit(f"{{arguments}}: {{ended.code}}")
"""


def paths_of(command: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, child in getattr(command, "commands", {}).items():
        yield from paths_of(child, (*path, name))


def bare(module: str, lines: list[list[str]]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BARE.format(names=OPTIONAL, module=module, lines=lines)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("name", TOOLS)
def test_help_and_version_need_no_optional_package(name: str) -> None:
    module, app = TOOLS[name]
    paths = list(paths_of(get_command(app)))
    assert len(paths) > 1
    done = bare(module, [["--version"], *([*path, "--help"] for path in paths)])
    assert done.returncode == 0, done.stderr
    assert f"{name} {__version__}" in done.stdout
    assert done.stdout.count("Usage:") == len(paths)
    assert done.stdout.count("--verbose") == len(paths)


@pytest.mark.parametrize(
    ("module", "arguments", "extra"),
    [
        ("calibration.cli.main", ["eval", ".", "events.json"], "calibrate"),
        ("calibration.cli.main", ["prompt"], "calibrate"),
        ("export.cli.main", ["default"], "export"),
        ("export.cli.main", ["compare", "a", "b"], "export"),
        ("export.cli.main", ["build", "a", "--out", "b"], "models"),
    ],
)
def test_a_command_names_the_extra_that_it_lacks(
    module: str, arguments: list[str], extra: str
) -> None:
    done = bare(module, [arguments])
    assert "Traceback" not in done.stderr
    assert "expected the package " in done.stderr
    assert f"[{extra}]" in done.stderr.replace("\n", "")


@pytest.mark.parametrize(
    ("line", "level"),
    [
        (["work"], logging.WARNING),
        (["serve"], logging.INFO),
        (["-v", "work"], logging.DEBUG),
        (["work", "-v"], logging.DEBUG),
        (["serve", "--verbose"], logging.DEBUG),
    ],
)
def test_details_are_logged_before_and_after_the_subcommand(
    monkeypatch: pytest.MonkeyPatch, line: list[str], level: int
) -> None:
    levels: list[int] = []
    monkeypatch.setattr(command_line, "set_up_logging", levels.append)
    app = command_line.tool("toy", "A toy.", daemons={"serve"})
    for name in ("work", "serve"):
        app.command(name)(lambda: None)
    outcome = CliRunner().invoke(app, line)
    assert outcome.exit_code == 0, outcome.output
    assert levels[-1] == level
