"""Takes the image of a disk apart and puts it together again: no mounts, no loop devices."""

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_SECTOR = 512


@dataclass(frozen=True)
class Patch:
    """A file to put into a root file system; without content, a link to ``link``."""

    content: bytes = b""
    mode: int = 0o644
    link: str | None = None


@dataclass(frozen=True)
class Partition:
    """A part of a disk image, in bytes."""

    image: Path
    start: int
    size: int

    def copy_out(self, path: Path) -> Path:
        """Copy the partition into a file of its own, with holes."""
        self._dd(
            self.image,
            path,
            f"skip={self.start}",
            f"count={self.size}",
            "iflag=skip_bytes,count_bytes",
        )
        return path

    def copy_in(self, path: Path) -> None:
        """Replace the content of the partition by that of a file."""
        self._dd(path, self.image, f"seek={self.start}", "oflag=seek_bytes", "conv=notrunc")

    def put_fat(self, name: str, text: str) -> None:
        """Put a text file into a FAT partition, as an installer does."""
        subprocess.run(
            ["mcopy", "-i", f"{self.image}@@{self.start}", "-o", "-", f"::{name}"],
            input=text, text=True, check=True, env={"MTOOLS_SKIP_CHECK": "1", "PATH": "/usr/bin:/bin"},
        )  # fmt: skip

    @staticmethod
    def _dd(source: Path, target: Path, *options: str) -> None:
        subprocess.run(
            ["dd", f"if={source}", f"of={target}", "bs=4M", "status=none", *options], check=True
        )


def partitions(image: Path) -> dict[str, Partition]:
    """Partitions of a raw GPT image by name."""
    done = subprocess.run(["sfdisk", "--json", image], capture_output=True, text=True, check=True)
    return {
        part["name"]: Partition(image, part["start"] * _SECTOR, part["size"] * _SECTOR)
        for part in json.loads(done.stdout)["partitiontable"]["partitions"]
    }


def copy(image: Path, path: Path) -> Path:
    """Copy a disk image, with its holes."""
    subprocess.run(["cp", "--sparse=always", image, path], check=True)
    return path


def layer(below: Path, path: Path, size: str | None = None) -> Path:
    """Make a disk in qcow2 over another one, which stays as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = "qcow2" if below.suffix == ".qcow2" else "raw"
    command: list[str | Path] = [
        "qemu-img",
        "create",
        "-q",
        "-f",
        "qcow2",
        "-F",
        kind,
        "-b",
        below.resolve(),
        path,
    ]
    subprocess.run(command + ([size] if size else []), check=True)
    return path


def fat_stick(path: Path, label: str, files: Sequence[Path]) -> Path:
    """Make a stick: one FAT file system without partitions, with room for an answer."""
    mib = sum(file.stat().st_size for file in files) // 1024**2 + 64
    path.unlink(missing_ok=True)
    subprocess.run(["truncate", f"--size={mib}M", path], check=True)
    subprocess.run(["mkfs.vfat", "-F", "32", "-n", label, path], check=True, capture_output=True)
    if files:
        subprocess.run(["mcopy", "-i", path, *files, "::"], check=True)
    return path


@dataclass(frozen=True)
class Tree:
    """A root file system as a folder."""

    folder: Path

    @classmethod
    def of(cls, squashfs: Path, folder: Path) -> "Tree":
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run(["unsquashfs", "-quiet", "-no-progress", "-d", folder, squashfs], check=True)
        return cls(folder)

    def variant(
        self, files: Mapping[str, Patch], folder: Path, without: Sequence[str] = ()
    ) -> "Tree":
        """Make a copy without some folders, and with files added, replaced, or turned into links."""
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run(["cp", "--archive", "--link", self.folder, folder], check=True)
        for name in without:
            shutil.rmtree(folder / name)
        for name, patch in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)  # the file of the other tree stays as it is
            if patch.link is not None:
                path.symlink_to(patch.link)
            else:
                path.write_bytes(patch.content)
                path.chmod(patch.mode)
        return Tree(folder)

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def squashfs(self, path: Path) -> Path:
        """Pack it, uncompressed as the image has it."""
        path.unlink(missing_ok=True)
        subprocess.run(
            ["mksquashfs", self.folder, path, "-noappend", "-no-progress", "-quiet", "-comp", "gzip",
             "-noI", "-noId", "-noD", "-noF", "-noX"],
            check=True,
        )  # fmt: skip
        return path
