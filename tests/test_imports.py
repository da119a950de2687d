"""What may import what: the contracts of ``pyproject.toml`` hold, and dependencies are declared."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
import pytest
from known import known

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("edge", "export", "calibration", "benchmarks", "deploy")

# Where a distribution's name is not what is imported.
IMPORT_NAMES = {"paho-mqtt": "paho", "python-ulid": "ulid", "pyyaml": "yaml"}
# Not among the dependencies of a device: extras, each imported by one module (the contracts say
# which), and what comes with a dependency.
EXTRAS = {
    "amqtt",
    "cryptography",
    "matplotlib",
    "onnxruntime",
    "openvino",
    "pycuda",
    "tensorrt",
}
INSIDE = {"pydantic_core": "pydantic"}


def linted(folder: Path) -> subprocess.CompletedProcess[str]:
    """``lint-imports`` on the tree in ``folder``."""
    return subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()",
         "--no-cache"],
        cwd=folder, env={"PYTHONPATH": str(folder), "COLUMNS": "200"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the packages and their contracts."""
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package,
            tmp_path / package,
            symlinks=True,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("module", "statement", "words"),
    [
        (
            "edge/system/clock.py",
            "import edge.app",
            "edge.system is not allowed to import edge.app",
        ),
        (
            "edge/system/clock.py",
            "def late():\n    from edge.rules import text",
            "edge.system is not allowed to import edge.rules",
        ),
        (
            "edge/app.py",
            "from export.cli import main",
            "edge is not allowed to import export",
        ),
        ("edge/app.py", "import torch.nn as nn", "edge is not allowed to import torch"),
        ("edge/app.py", "import onnxruntime", "edge is not allowed to import onnxruntime"),
        (
            "export/bundle/pack.py",
            "if True:\n    import export.build",
            "export.bundle is not allowed to import export.build",
        ),
        (
            "export/build.py",
            "from torch.nn import Linear",
            "export is not allowed to import torch",
        ),
        (
            "edge/video/packet.py",
            "import edge.video.decode",
            "No cycles are allowed in edge.video",
        ),
    ],
)
def test_a_wrong_import_is_refused_with_a_message_that_names_the_layers(
    tree: Path, module: str, statement: str, words: str
) -> None:
    path = tree / module
    path.write_text(f"{path.read_text()}\n\n{statement}\n")
    done = linted(tree)
    assert done.returncode == 1, done.stdout
    assert words in done.stdout


def test_the_tree_as_it_is_keeps_every_contract(tree: Path) -> None:
    done = linted(tree)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    "module", ["export.cli.commands", "export.checkpoints.catalog", "export.families"]
)
def test_what_lists_models_and_builds_the_default_bundle_works_without_torch(module: str) -> None:
    heavy = "{'torch', 'transformers', 'open_clip', 'timm', 'huggingface_hub'}"
    code = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def dependencies() -> set[str]:
    """What a device installs, by the names that are imported."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {known(re.match(r"[\w-]+", line))[0].lower() for line in project["dependencies"]}
    return {IMPORT_NAMES.get(name, name) for name in names}


@pytest.fixture(scope="module")
def foreign() -> set[str]:
    """Packages that are not ours and that a module of ``edge`` imports, wherever it does."""
    graph = grimp.build_graph("edge", include_external_packages=True, cache_dir=None)
    names = {name.partition(".")[0] for name in graph.modules} - {"edge"}
    return {INSIDE.get(name, name) for name in names} - set(sys.stdlib_module_names)


def test_edge_imports_only_what_a_device_has(foreign: set[str]) -> None:
    assert foreign - dependencies() == EXTRAS


def test_every_dependency_of_a_device_is_used(foreign: set[str]) -> None:
    # zoneinfo reads tzdata without an import.
    assert dependencies() - foreign == {"tzdata"}
