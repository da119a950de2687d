"""Fetches the wheels of the runtime for another machine."""

import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy.wheelhouse.target import Target
from edge.errors import ConfigError

# What a box runs besides the dependencies: the engine for its CPU, and signed bundles. TensorRT's
# package comes from JetPack; pycuda has no wheels (docs/tensorrt.md).
EXTRAS: Final = ("onnxruntime", "signing")
_SHOWN_LINES: Final = 5


def requirements(project: Path, extras: Sequence[str] = EXTRAS) -> list[str]:
    """Return the requirements of the runtime, as ``pyproject.toml`` has them.

    Raises:
        ConfigError: The folder has no source of this project.
    """
    path = project / "pyproject.toml"
    try:
        table = tomllib.loads(path.read_text("utf-8"))["project"]
    except (OSError, KeyError, tomllib.TOMLDecodeError) as exc:
        raise ConfigError(
            f"{path}: expected the source of this project, found {exc}; run edge-flash from a clone"
        ) from exc
    optional = table["optional-dependencies"]
    return [*table["dependencies"], *(one for extra in extras for one in optional[extra])]


def download(project: Path, target: Target, folder: Path) -> None:
    """Fetch the wheels of the dependencies, and build the wheel of the runtime, which is pure.

    Raises:
        ConfigError: pip found no wheels, or the folder already has some.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder}: expected an empty folder, found files; name a new one")
    python = f"cp{target.python[0]}{target.python[1]}"
    _pip(
        "download", "--dest", folder, "--only-binary=:all:", "--implementation", "cp",
        "--python-version", target.version,
        *(word for tag in target.platforms for word in ("--platform", tag)),
        *(word for abi in (python, "abi3", "none") for word in ("--abi", abi)),
        *requirements(project),
    )  # fmt: skip
    _pip("wheel", "--no-deps", "--wheel-dir", folder, project)


def _pip(*words: str | Path) -> None:
    done = subprocess.run(  # noqa: S603  the words are our own
        [sys.executable, "-m", "pip", "--quiet", *words],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        last = "\n".join(done.stderr.strip().splitlines()[-_SHOWN_LINES:])
        raise ConfigError(f"pip {words[0]}: expected wheels, found:\n{last}")
