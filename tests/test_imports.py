"""What may import what, read from the import statements themselves."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# What a package must not import. The device has none of the workstation's tools.
FORBIDDEN = {
    "edge": {"export", "calibration", "benchmarks", "deploy", "tests", "torch", "onnx"},
    "export": {"benchmarks", "deploy", "tests", "torch"},
    "calibration": {"export", "benchmarks", "deploy", "tests", "torch"},
    "benchmarks": {"deploy", "tests", "torch"},
}
# The float originals are torch modules: what handles them may import torch, and is itself imported
# only when such a model is built.
TORCH = ("export/distill/", "export/families/", "export/checkpoints/checkpoint.py", "export/checkpoints/hf_models.py",
         "export/full_size.py", "export/checkpoints/open_clip_models.py", "export/proof/reference.py", "export/graph/to_onnx.py", "export/torch_")  # fmt: skip
# Where a distribution's name is not what is imported.
IMPORT_NAMES = {"paho-mqtt": "paho", "python-ulid": "ulid", "pyyaml": "yaml"}
# Not among the dependencies of a device, and where they may be imported all the same.
EXTRAS = {
    "openvino": "edge/model/engines",
    "onnxruntime": "edge/model/engines",
    "tensorrt": "edge/model/engines",
    "pycuda": "edge/model/engines",
    "matplotlib": "edge/cli/plot.py",
    "amqtt": "edge/cli/demo/broker.py",
    "cryptography": "edge/model/bundle/ed25519.py",
    "pydantic_core": "edge",  # comes with pydantic
}


def imported(source: str) -> set[str]:
    """Top-level names of everything that ``source`` imports, wherever the statement stands."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=aliases):
                names |= {alias.name for alias in aliases}
            case ast.ImportFrom(module=str(module), level=0):
                names.add(module)
            case ast.ImportFrom(level=level) if level:
                raise AssertionError("expected absolute imports, found a relative one")
            case ast.Call(
                func=ast.Name(id="__import__") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(module)), *_],
            ):
                names.add(module)
    return {name.partition(".")[0] for name in names}


def modules(package: str) -> Iterator[Path]:
    yield from sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_point_one_way(package):
    paths = list(modules(package))
    assert paths, f"no modules found in {ROOT / package}"
    found = {}
    for path in paths:
        where = str(path.relative_to(ROOT))
        allowed = {"torch"} if where.startswith(TORCH) else set()
        if wrong := imported(path.read_text()) & FORBIDDEN[package] - allowed:
            found[where] = sorted(wrong)
    assert found == {}


@pytest.mark.parametrize(
    "module", ["export.cli.commands", "export.checkpoints.catalog", "export.families"]
)
def test_what_lists_models_and_builds_the_default_bundle_works_without_torch(module):
    heavy = "{'torch', 'transformers', 'open_clip', 'timm', 'huggingface_hub'}"
    code = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def dependencies() -> set[str]:
    """What a device installs, by the names that are imported."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.match(r"[\w-]+", line)[0].lower() for line in project["dependencies"]}
    return {IMPORT_NAMES.get(name, name) for name in names}


def test_edge_imports_only_what_a_device_has():
    allowed = {"edge"} | dependencies() | set(sys.stdlib_module_names)
    for path in modules("edge"):
        where = str(path.relative_to(ROOT))
        for name in imported(path.read_text()) - allowed:
            assert name in EXTRAS, f"{where} imports {name}, no dependency of a device"
            assert where.startswith(EXTRAS[name]), f"{where} imports {name}"


def test_every_dependency_of_a_device_is_used():
    used = set().union(*(imported(path.read_text()) for path in modules("edge")))
    # zoneinfo reads tzdata without an import.
    assert dependencies() - used == {"tzdata"}


@pytest.mark.parametrize(
    "source",
    [
        "import torch",
        "import torch.nn as nn",
        "from torch.nn import Linear",
        "def late():\n    from torch import nn",
        "if True:\n    import os, torch",
        "import importlib\nimportlib.import_module('torch.nn')",
        "__import__('torch')",
    ],
)
def test_the_walk_finds_an_import_however_it_is_written(source):
    assert "torch" in imported(source)


def test_the_walk_takes_no_word_for_an_import():
    assert imported("x = 'import torch'  # import onnx\nimport json") == {"json"}
