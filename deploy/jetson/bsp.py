"""Reads NVIDIA's board support package (the folder ``Linux_for_Tegra``), and says what it lacks."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from edge.errors import ConfigError

Soc = Literal["t234", "t264"]
"""Orin, Thor: NVIDIA's numbers, which its files have in their names."""

# Releases whose options and files are those that ``steps`` uses, and whose systemd the daemon's
# unit needs: JetPack 7. JetPack 6 (36) has systemd 249, which knows no folder of credentials.
_OLDEST, _NEWEST = 38, 39
_VERSION: Final = re.compile(r"^BSP_(BRANCH|MAJOR|MINOR)=(\d+)$", re.MULTILINE)
_TOOLS: Final = ("apply_binaries.sh", "tools/kernel_flash/l4t_initrd_flash.sh")
# Words in the name of a board's configuration that mean a Thor; every other board of these releases
# has an Orin.
_THOR: Final = ("thor", "p3834")
# Bytes 18 and 19 of an ELF file for AArch64.
_AARCH64: Final = b"\xb7\x00"


@dataclass(frozen=True, slots=True)
class Bsp:
    """A board support package.

    Attributes:
        path: The folder ``Linux_for_Tegra``.
        release: Release of Jetson Linux, such as ``(36, 4, 3)``.
    """

    path: Path
    release: tuple[int, ...]

    @property
    def rootfs(self) -> Path:
        return self.path / "rootfs"

    @property
    def applied(self) -> bool:
        """Whether NVIDIA's packages are in the root file system already."""
        return (self.rootfs / "etc/nv_tegra_release").is_file()

    def soc(self, board: str) -> Soc:
        """Return the kind of processor of a board.

        Raises:
            ConfigError: The package does not know the board.
        """
        conf = self.path / f"{board}.conf"
        if "/" in board or not conf.is_file():
            known = sorted(path.stem for path in self.path.glob("jetson-*.conf"))
            raise ConfigError(
                f"--board {board}: expected a board that {self.path} has a file for, such as "
                f"{', '.join(known[:6]) or 'none that is there'}"
            )
        names = f"{board} {conf.resolve().name}".lower()
        return "t264" if any(word in names for word in _THOR) else "t234"


def open_bsp(path: Path) -> Bsp:
    """Open a board support package, and check what flashing needs of it.

    Args:
        path: ``Linux_for_Tegra``, or the folder that it was unpacked in.

    Raises:
        ConfigError: Something is missing.
    """
    folder = path if (path / "nv_tegra").is_dir() else path / "Linux_for_Tegra"
    facts = folder / "nv_tegra/bsp_version"
    try:
        found = dict(_VERSION.findall(facts.read_text(errors="replace")))
        release = tuple(int(found[name]) for name in ("BRANCH", "MAJOR", "MINOR"))
    except (OSError, KeyError) as exc:
        raise ConfigError(
            f"--bsp {path}: expected Linux_for_Tegra of NVIDIA's Jetson Linux, with "
            f"nv_tegra/bsp_version, found none; unpack Jetson_Linux_R*_aarch64.tbz2 there"
        ) from exc
    if not _OLDEST <= release[0] <= _NEWEST:
        raise ConfigError(
            f"{facts}: expected release {_OLDEST} to {_NEWEST} (JetPack 7), found "
            f"{'.'.join(map(str, release))}"
        )
    for tool in _TOOLS:
        if not os.access(folder / tool, os.X_OK):
            raise ConfigError(f"{folder / tool}: expected a program; unpack the package again")
    _check_rootfs(folder / "rootfs")
    return Bsp(folder, release)


def _check_rootfs(rootfs: Path) -> None:
    shell = rootfs / "usr/bin/dash"
    try:
        with shell.open("rb") as file:
            machine = file.read(20)[18:]
    except OSError as exc:
        raise ConfigError(
            f"{rootfs}: expected NVIDIA's root file system, found none; unpack "
            "Tegra_Linux_Sample-Root-Filesystem_R*_aarch64.tbz2 there, as root"
        ) from exc
    if machine != _AARCH64:
        raise ConfigError(f"{rootfs}: expected a root file system for arm64, found another")


def recovering(usb: Path = Path("/sys/bus/usb/devices")) -> list[str]:
    """Return the USB ports at which a Jetson in recovery mode is.

    Args:
        usb: Folder in which the kernel lists USB devices.
    """
    return sorted(
        device.name
        for device in usb.glob("*")
        if _read(device / "idVendor") == "0955" and _read(device / "product") == "APX"
    )


def _read(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None
