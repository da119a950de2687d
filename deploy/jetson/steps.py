"""What is done to flash a Jetson, as a list that can be shown before it is done. Pure.

The options are those of NVIDIA's README_initrd_flash.txt (releases 36 and 39): two root file
systems by ``ROOTFS_AB=1``, the layout of an external disk by ``-c``, that of the board's own flash
by ``-p "-c ..."``, the size of each root file system by ``-S``, the network over the USB cable by
``--network usb0``.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from deploy.jetson.bsp import Bsp, Soc
from deploy.jetson.layout import DATA

OVERLAY: Final = Path(__file__).parent / "overlay"
UNITS: Final = Path(__file__).parents[1] / "units"

Storage = Literal["nvme", "usb", "emmc"]
_DEVICES: Final[Mapping[Storage, str]] = {"nvme": "nvme0n1p1", "usb": "sda1"}
# Layouts of NVIDIA with two root file systems, by processor and by whether the disk is external.
_EXTERNAL: Final[Mapping[Soc, str]] = {
    "t234": "tools/kernel_flash/flash_l4t_t234_nvme_rootfs_ab.xml",
    "t264": "tools/kernel_flash/flash_l4t_t264_nvme_rootfs_ab.xml",
}
_INTERNAL: Final = "bootloader/generic/cfg/flash_t234_qspi_sdmmc_rootfs_ab.xml"
# The boot flash of boards that have no disk of their own.
_QSPI: Final = "bootloader/generic/cfg/flash_t234_qspi.xml"
_WITHOUT_DISK: Final = ("nano", "-nx-", "p3767", "p3768")


# What starts at the first boot, and who may not log in from the network: a box is commanded over
# MQTT.
_LINKS: Final[Mapping[str, str]] = {
    "etc/systemd/system/multi-user.target.wants/edge-packages.service": (
        "/usr/lib/systemd/system/edge-packages.service"
    ),
    "etc/systemd/system/ssh.service": "/dev/null",
    "etc/systemd/system/ssh.socket": "/dev/null",
}


@dataclass(frozen=True, slots=True)
class Command:
    """A program to run in the board support package.

    Attributes:
        words: The program and its arguments.
        environment: Variables beside those of the caller.
    """

    words: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        set_ = [f"{name}={value}" for name, value in self.environment.items()]
        return " ".join(["sudo", *set_, *map(shlex.quote, self.words)])


@dataclass(frozen=True, slots=True)
class Put:
    """A file to write into the root file system, or into the package.

    Attributes:
        path: Path of the file.
        content: Content of the file, or the file to copy.
        mode: Permission bits.
    """

    path: Path
    content: str | Path
    mode: int = 0o644

    def __str__(self) -> str:
        return f"# {self.path}" + (
            f" from {self.content}" if isinstance(self.content, Path) else ""
        )


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link to make in the root file system; ``target`` is a path on the box."""

    path: Path
    target: str

    def __str__(self) -> str:
        return f"# {self.path} -> {self.target}"


Step = Command | Put | Link


def layout_of(soc: Soc, storage: Storage) -> str:
    """Return the path of NVIDIA's layout for two root file systems, in the package."""
    return _INTERNAL if storage == "emmc" else _EXTERNAL[soc]


def mounts(fstab: str) -> str:
    """Return a table of file systems in which the daemon's state is on the partition of its own.

    systemd makes a file system there at the first boot, and never again.
    """
    lines = [line for line in fstab.splitlines() if f"by-partlabel/{DATA}" not in line]
    options = "defaults,nosuid,nodev,noexec,nofail,x-systemd.makefs,x-systemd.device-timeout=60"
    return "\n".join(
        [*lines, f"/dev/disk/by-partlabel/{DATA} /var/lib/edge ext4 {options} 0 2", ""]
    )


def box_files(bsp: Bsp, packages: Sequence[Path], config: Path | None) -> list[Step]:
    """Return the files that make the root file system one of a box.

    Args:
        bsp: Board support package, whose root file system is filled.
        packages: Debian packages that the first boot installs.
        config: Configuration of the daemon; None for a box that gets it later.
    """
    rootfs, here = bsp.rootfs, OVERLAY
    files = sorted(path for path in here.rglob("*") if path.is_file())
    fstab = rootfs / "etc/fstab"
    written = fstab.read_text() if fstab.is_file() else ""
    found: list[Step] = [
        *(
            Put(rootfs / path.relative_to(here), path, 0o755 if path.suffix == "" else 0o644)
            for path in files
        ),
        Put(rootfs / "etc/systemd/system/edge.service.d/jetson.conf", UNITS / "jetson.conf"),
        Put(fstab, mounts(written)),
        *(Link(rootfs / path, target) for path, target in _LINKS.items()),
        *(Put(rootfs / "usr/share/edge/packages" / path.name, path) for path in packages),
    ]
    return found if config is None else [*found, Put(rootfs / "etc/edge/edge.yaml", config, 0o640)]


def flash(bsp: Bsp, board: str, storage: Storage, layout: Path, slot_gib: int) -> Command:
    """Return the command that flashes a Jetson in recovery mode.

    Args:
        bsp: Board support package.
        board: Name of the board's configuration.
        storage: Disk of the root file systems.
        layout: Layout, in the package.
        slot_gib: Size of each root file system, GiB.
    """
    path = str(layout.relative_to(bsp.path))
    if storage == "emmc":
        where = ["-p", f"-c {path}"]
    else:
        where = ["--external-device", _DEVICES[storage], "-c", path]
        names = f"{board} {(bsp.path / f'{board}.conf').resolve().name}"
        if bsp.soc(board) == "t234" and any(word in names for word in _WITHOUT_DISK):
            where += ["-p", f"-c {_QSPI}"]
    words = (
        "./tools/kernel_flash/l4t_initrd_flash.sh", *where, "-S", f"{slot_gib}GiB", "--showlogs",
        "--network", "usb0", board, "internal" if storage == "emmc" else "external",
    )  # fmt: skip
    return Command(words, {"ROOTFS_AB": "1", "ROOTFS_RETRY_COUNT_MAX": "3"})
