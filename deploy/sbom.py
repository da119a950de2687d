"""Writes what is installed as a CycloneDX document, and checks that nothing is missing in it.

``python deploy/sbom.py build/sbom.json`` (``make sbom``); exit code 1 where a distribution of this
environment is not a component.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def components(document: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Return names and versions of the components and of the thing itself."""
    rows = [*document.get("components", []), document.get("metadata", {}).get("component", {})]
    return {(normal(row["name"]), row.get("version", "")) for row in rows if "name" in row}


def installed() -> set[tuple[str, str]]:
    """Return names and versions of the distributions of this environment."""
    return {(normal(one.metadata["Name"]), one.version) for one in distributions()}


def normal(name: str) -> str:
    """Return a name as the package index compares it (PEP 503)."""
    return name.lower().replace("_", "-").replace(".", "-")


def main(out: Path) -> int:
    """Write the document; the exit code."""
    out.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(  # noqa: S603  no input of others
        ["cyclonedx-py",  # noqa: S607  of this environment, by PATH
          "environment", sys.executable, "--pyproject", ROOT / "pyproject.toml",
         "--of", "JSON", "--output-reproducible", "-o", out],
        check=True,
    )  # fmt: skip
    found = components(json.loads(out.read_text()))
    missing = sorted(installed() - found)
    for name, version in missing:
        print(f"{out}: expected {name} {version}, which is installed, found no such component")
    print(f"{out}: {len(found)} components")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
