"""Runs the programs of other packages that an image is made with."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from edge.errors import ConfigError, EdgeError

# Debian package of each program.
_PACKAGES: Final = {
    "dpkg-deb": "dpkg",
    "grub-editenv": "grub-common",
    "grub-mkimage": "grub-common grub-efi-amd64-bin",
    "mcopy": "mtools",
    "mke2fs": "e2fsprogs",
    "mkfs.vfat": "dosfstools",
    "mksquashfs": "squashfs-tools",
    "sfdisk": "fdisk",
    "unsquashfs": "squashfs-tools",
}
_LAST_LINES: Final = 12


class ToolFailed(EdgeError):
    """A program that the build needs ended with an error."""


class DiskFailed(EdgeError):
    """A disk refuses, is in use, or gives back something else than was written."""

    exit_code = 6


def run(*command: str | Path, environment: Mapping[str, str] | None = None, stdin: str = "") -> str:
    """Run a program to its end and return what it wrote to its standard output.

    Args:
        command: Program and arguments.
        environment: Variables beside those of this process.
        stdin: What the program reads.

    Raises:
        ConfigError: The program is not installed; the message names the package.
        ToolFailed: It ended with an error; the message has its last lines.
    """
    name = str(command[0])
    # Administrators' programs are not on the path of every user, and dates have no time zone.
    fixed = {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin", "TZ": "UTC", "LC_ALL": "C"}
    try:
        done = subprocess.run(  # noqa: S603 - the programs are named in this package
            [str(part) for part in command],
            env={**os.environ, **fixed, **(environment or {})},
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except FileNotFoundError as exc:
        package = _PACKAGES.get(name, name)
        raise ConfigError(
            f"expected the program {name}, found none; install it: sudo apt-get install {package}"
        ) from exc
    if done.returncode:
        said = (done.stderr + done.stdout).strip().splitlines()[-_LAST_LINES:]
        raise ToolFailed("\n".join([f"{name} ended with {done.returncode}:", *said]))
    return done.stdout


@contextmanager
def writing(out: Path) -> Iterator[None]:
    """Make the folder of a file, and say in our words what the disk refuses inside the block.

    Raises:
        DiskFailed: The disk is full, or refuses.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as exc:
        raise DiskFailed(f"cannot write {exc.filename or out}: {exc.strerror}") from exc


def dated(made_at: int) -> Mapping[str, str]:
    """Return the variables by which programs write ``made_at`` (UTC seconds) instead of now."""
    text = str(made_at)
    return {"SOURCE_DATE_EPOCH": text, "E2FSPROGS_FAKE_TIME": text}


def need(path: Path, what: str) -> Path:
    """Return a file's path if the file is there.

    Raises:
        ConfigError: It is not, or we may not read it.
    """
    if not path.is_file():
        raise ConfigError(f"expected {what}, found no file {path}")
    if not os.access(path, os.R_OK):
        raise ConfigError(f"expected {what}, found a file that we may not read: {path}")
    return path


def empty(path: Path, size: int) -> Path:
    """Make a file of zeros, which takes no room on the disk until it is written to."""
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        file.truncate(size)
    return path
