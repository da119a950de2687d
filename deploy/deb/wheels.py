"""Fetches the wheels of the packages, and lays them out as they will be on a box.

pip picks wheels by the tags of the target, never by those of this machine: nothing of the target
runs here, so a package for arm64 is made on x86.
"""

import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from deploy.wheelhouse.target import Target
from edge.errors import ConfigError


def tags(target: Target) -> list[str]:
    """Return pip's options for a system other than this one."""
    return [
        "--only-binary=:all:",
        "--implementation=cp",
        f"--python-version={target.version}",
        *(f"--platform={platform}" for platform in target.platforms),
    ]


def fetch(wanted: Iterable[str], folder: Path, target: Target) -> None:
    """Fetch wheels and all that they need into a folder.

    Raises:
        ConfigError: pip finds no wheel.
    """
    _pip(["download", *tags(target), f"--dest={folder}", *wanted], "expected wheels")


def lay_out(wanted: Sequence[str], folder: Path, target: Target, packages: Path) -> None:
    """Install wheels of a folder, and nothing from elsewhere, into the folder ``packages``.

    Raises:
        ConfigError: The folder lacks a wheel.
    """
    _pip(
        # pip compares what a wheel requires with its own Python here; the tags are the target's.
        ["install", *tags(target), "--ignore-requires-python", "--no-index",
         f"--find-links={folder}", "--no-compile", f"--target={packages}", *wanted],
        f"{folder}: expected a wheel for {target.arch} of everything that the runtime needs",
    )  # fmt: skip


def _pip(arguments: Sequence[str], what: str) -> None:
    done = subprocess.run(  # noqa: S603  arguments of ours
        [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        found = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise ConfigError(f"{what}; pip says: {' '.join(found) or done.stderr.strip()}")
