"""Lays out the disk of an x86 NVR and makes its image, without mounts.

The partitions: ESP with GRUB, EDGE_CONFIG with the site file, slots rootfs-a and rootfs-b, data.
"""

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.image.rootfs import SLOT_BYTES, time_of_rootfs
from deploy.image.tools import dated, empty, need, run
from edge.site.files import card_files

_MIB: Final = 1024 * 1024
_GRUB: Final = Path(__file__).with_name("grub.cfg")
_GRUB_MODULES: Final = (
    "boot", "echo", "fat", "linux", "loadenv", "minicmd", "normal", "part_gpt", "reboot", "regexp",
    "search", "search_fs_file", "search_label", "serial", "sleep", "squash4", "terminal", "test",
    "true", "gzio", "all_video", "configfile",
)  # fmt: skip
# GRUB knows the partition that the firmware started it from.
_GRUB_START: Final = """\
regexp --set=1:root '^\\((.*)\\)' "$cmdpath"
set prefix=($root)/EFI/BOOT
configfile $prefix/grub.cfg
"""
_README: Final = """\
Settings of this box: edge-config.yaml, in this folder.
The box reads them when it starts. If something is wrong with them, it goes on with the former ones
and writes edge-config.error.txt beside them. The keys are described in docs/site.md of the project.
"""


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition.

    Attributes:
        name: Its label in the table.
        kind: Type in the table (a GUID).
        mib: Size in MiB.
        uid: Its own GUID; the same on every box, so that two builds are the same.
    """

    name: str
    kind: str
    mib: int
    uid: str


_LINUX_ROOT: Final = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"
PARTITIONS: Final = (
    Partition("ESP", "C12A7328-F81F-11D2-BA4B-00A0C93EC93B", 64, "1"),
    Partition("EDGE_CONFIG", "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7", 32, "2"),
    Partition("rootfs-a", _LINUX_ROOT, SLOT_BYTES // _MIB, "3"),
    Partition("rootfs-b", _LINUX_ROOT, SLOT_BYTES // _MIB, "4"),
    Partition("data", "0FC63DAF-8483-4772-8E79-3D69D8477DE4", 512, "5"),
)
_UID: Final = "ed6e0000-0000-4000-8000-00000000000"


def starts() -> Mapping[str, int]:
    """Return where each partition starts, in MiB."""
    places, at = {}, 1
    for partition in PARTITIONS:
        places[partition.name] = at
        at += partition.mib
    return places


def table() -> str:
    """Return the partition table as sfdisk reads it."""
    rows = [
        f"start={at}MiB, size={part.mib}MiB, type={part.kind}, name={part.name},"
        f" uuid={_UID}{part.uid}"
        for part, at in zip(PARTITIONS, starts().values(), strict=True)
    ]
    return "\n".join(["label: gpt", f"label-id: {_UID}0", *rows]) + "\n"


def make_image(rootfs: Path, site: Path | None, out: Path) -> None:
    """Make the image of a disk. The second slot is empty until the first update.

    Args:
        rootfs: Root file system, which ``make_rootfs`` made.
        site: The site file; None for an image whose box waits for one.
        out: The image; where it is empty, it takes no room.

    Raises:
        ConfigError: A file is missing, or the site file has mistakes.
        ToolFailed: A program ended with an error.
    """
    made_at = time_of_rootfs(need(rootfs, "a root file system (edge-flash rootfs)"))
    card = {"README.txt": _README.replace("\n", "\r\n").encode()}
    if site is not None:
        card |= card_files(site)
    size = 1 + sum(partition.mib for partition in PARTITIONS) + 1
    empty(out, size * _MIB)
    run("sfdisk", "--quiet", out, stdin=table())
    at = starts()
    with tempfile.TemporaryDirectory(dir=out.absolute().parent) as name:
        work = Path(name)
        _put(_esp(work, made_at), out, at["ESP"])
        _put(_card(work, card, made_at), out, at["EDGE_CONFIG"])
        _put(rootfs, out, at["rootfs-a"])
        _put(_data(work, made_at), out, at["data"])


def _put(part: Path, image: Path, mib: int) -> None:
    run("dd", f"if={part}", f"of={image}", "bs=1M", f"seek={mib}", "conv=notrunc,sparse")


def _fat(path: Path, label: str, serial: str, mib: int, made_at: int) -> Path:
    empty(path, mib * _MIB)
    run("mkfs.vfat", "--invariant", "-n", label, "-i", serial, path, environment=dated(made_at))
    return path


def _esp(work: Path, made_at: int) -> Path:
    (work / "start.cfg").write_text(_GRUB_START)
    run(
        "grub-mkimage", "-O", "x86_64-efi", "-o", work / "BOOTX64.EFI", "-p", "/EFI/BOOT",
        "-c", work / "start.cfg", *_GRUB_MODULES,
    )  # fmt: skip
    run("grub-editenv", work / "grubenv", "create")
    run(
        "grub-editenv",
        work / "grubenv",
        "set",
        "ORDER=A B",
        "A_OK=1",
        "A_TRY=0",
        "B_OK=0",
        "B_TRY=0",
    )
    shutil.copyfile(_GRUB, work / "grub.cfg")
    esp = _fat(work / "esp.vfat", "EDGE_ESP", "ed6e0001", PARTITIONS[0].mib, made_at)
    run("mmd", "-i", esp, "::/EFI", "::/EFI/BOOT", environment=dated(made_at))
    _mcopy(
        esp, [work / name for name in ("BOOTX64.EFI", "grub.cfg", "grubenv")], "EFI/BOOT", made_at
    )
    return esp


def _card(work: Path, files: Mapping[str, bytes], made_at: int) -> Path:
    folder = work / "card"
    folder.mkdir()
    for name, content in sorted(files.items()):
        (folder / name).write_bytes(content)
    card = _fat(work / "card.vfat", "EDGE_CONFIG", "ed6e0002", PARTITIONS[1].mib, made_at)
    _mcopy(card, sorted(folder.iterdir()), "", made_at)
    return card


def _mcopy(fat: Path, files: list[Path], folder: str, made_at: int) -> None:
    for path in files:
        os.utime(path, (made_at, made_at))
    run("mcopy", "-m", "-i", fat, *files, f"::/{folder}", environment=dated(made_at))


def _data(work: Path, made_at: int) -> Path:
    data = empty(work / "data.ext4", PARTITIONS[-1].mib * _MIB)
    run(
        "mke2fs", "-q", "-t", "ext4", "-L", "data", "-U", f"{_UID}6",
        "-E", f"hash_seed={_UID}7,root_owner=0:0", data, environment=dated(made_at),
    )  # fmt: skip
    return data
