"""The list of what is installed: complete, and a missing component is seen."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "sbom.py"


@pytest.fixture(scope="module")
def sbom() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sbom", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_components_are_compared_by_normal_names(sbom: ModuleType) -> None:
    document = {
        "metadata": {"component": {"name": "camera-edge-runtime", "version": "0.1.0"}},
        "components": [{"name": "paho_mqtt", "version": "2.1.0"}, {"name": "Av", "version": "18"}],
    }
    assert sbom.components(document) == {
        ("camera-edge-runtime", "0.1.0"), ("paho-mqtt", "2.1.0"), ("av", "18"),
    }  # fmt: skip


def test_what_is_installed_is_found_and_would_be_missed(sbom: ModuleType) -> None:
    names = {name for name, _ in sbom.installed()}
    assert {"av", "paho-mqtt", "pytest"} <= names
    assert ("pytest", "0") not in sbom.installed()
    assert sbom.installed() - sbom.components({}) == sbom.installed()
