"""Says what a disk is, and why it must not be overwritten, by what the kernel tells of it."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge.errors import ConfigError

_SECTOR: Final = 512  # the unit of sysfs, whatever the disk's own is


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk of this machine.

    Attributes:
        path: Its device file.
        size: Bytes.
        model: What it calls itself; may be empty.
        removable: Whether it is made to be pulled out: a card in a reader, a stick, a USB disk.
        uses: What uses it or one of its partitions: mounts, swap, RAID or LVM.
    """

    path: Path
    size: int
    model: str
    removable: bool
    uses: tuple[str, ...]


def read_disk(path: Path, sys: Path = Path("/sys"), proc: Path = Path("/proc")) -> Disk:
    """Read what the kernel knows of a disk.

    Args:
        path: Its device file.
        sys: Where sysfs is mounted.
        proc: Where procfs is mounted.

    Raises:
        ConfigError: It is no whole disk, or cannot be written to.
    """
    node = (sys / "dev" / "block" / _number(path)).resolve()
    if (node / "partition").exists():
        raise ConfigError(f"expected a whole disk, found a partition of {node.parent.name}: {path}")
    if _text(node / "ro") == "1":
        raise ConfigError(f"{path} is write-protected")
    parts = [node, *(child.parent for child in node.glob("*/partition"))]
    return Disk(
        path=path,
        size=int(_text(node / "size") or 0) * _SECTOR,
        model=_text(node / "device" / "model"),
        removable=_text(node / "removable") == "1" or any("usb" in part for part in node.parts),
        uses=tuple(use for part in parts for use in _uses(part, proc)),
    )


def refusal(disk: Disk, image_bytes: int) -> str | None:
    """Return why an image must not be written to a disk; None where it may."""
    if disk.uses:
        return f"{disk.path} is in use: {', '.join(disk.uses)}; expected: nothing of it is mounted"
    if disk.size < image_bytes:
        return f"{disk.path} is too small: expected at least {image_bytes} bytes, found {disk.size}"
    return None


def _number(path: Path) -> str:
    """Return the kernel's number of a disk, by which sysfs finds it."""
    try:
        status = path.stat()
    except OSError as exc:
        raise ConfigError(f"cannot read {path}: {exc.strerror}") from exc
    if not stat.S_ISBLK(status.st_mode):
        raise ConfigError(f"expected a disk, such as /dev/sdb, found another kind of file: {path}")
    return f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"


def _uses(part: Path, proc: Path) -> list[str]:
    number = _text(part / "dev")
    mounts = [line.split() for line in _text(proc / "self" / "mountinfo").splitlines()]
    uses = [f"{part.name} is mounted on {line[4]}" for line in mounts if line[2] == number]
    swaps = [line.split()[0] for line in _text(proc / "swaps").splitlines()[1:]]
    uses += [f"{part.name} is swap" for swap in swaps if Path(swap).name == part.name]
    holders = part / "holders"
    if holders.is_dir():
        uses += [f"{part.name} belongs to {holder.name}" for holder in sorted(holders.iterdir())]
    return uses


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:  # not every disk has each file
        return ""
