"""Libraries that read foreign bytes are not asked for in versions with known holes.

A floor is the first version without the hole that is named. The list is what the project knows; a
scanner on the user's network (`pip-audit --strict`) knows more, see docs/threat-model.md.
"""

import tomllib
from importlib.metadata import version
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
FLOORS = {
    "cbor2": ("5.8.0", "CVE-2025-64076: reads beyond a buffer in long strings"),
    "cryptography": ("44.0.1", "CVE-2024-12797: the OpenSSL inside its wheels"),
    "jinja2": ("3.1.6", "CVE-2025-27516: leaves the sandbox"),
    "onnx": ("1.21.0", "CVE-2025-51480 and later ones: external data outside the model's folder"),
    "onnxruntime": ("1.25", "external data by hard link, docs/bundle-format.md"),
    "pillow": ("11.3.0", "CVE-2025-48379: writes beyond a buffer"),
    "pyyaml": ("5.4", "CVE-2020-14343: runs code in full_load"),
    "torch": ("2.6.0", "CVE-2025-32434: runs code in load with weights_only"),
}


def lowest(requirement: Requirement) -> Version:
    """Lowest version that a requirement lets in."""
    bounds = [Version(s.version) for s in requirement.specifier if s.operator in {">=", "=="}]
    return max(bounds, default=Version("0"))


def requirements() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [
        *project["dependencies"],
        *chain.from_iterable(project["optional-dependencies"].values()),
    ]
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize("name", FLOORS)
def test_a_library_is_asked_for_in_a_version_without_the_hole(name: str) -> None:
    floor, why = FLOORS[name]
    found = [one for one in requirements() if one.name.lower() == name]
    assert found, f"{name} is no dependency any more: take it off the list"
    assert all(lowest(one) >= Version(floor) for one in found), why


@pytest.mark.parametrize("name", FLOORS)
def test_the_installed_version_has_no_hole_either(name: str) -> None:
    assert Version(version(name)) >= Version(FLOORS[name][0])


def test_a_requirement_that_lets_an_old_version_in_would_be_seen() -> None:
    assert lowest(Requirement("cbor2>=5.6")) < Version(FLOORS["cbor2"][0])
    assert lowest(Requirement("cbor2")) == Version("0")
