"""Says what is inside an image, a root file system or a bundle, without believing or proving it."""

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

from deploy.image.bundle import read_bundle
from deploy.image.tools import ToolFailed, need, run
from edge.errors import ConfigError

_MIB = 1024 * 1024


def inspect(path: Path) -> dict[str, Any]:
    """Return what is inside a file.

    Raises:
        ConfigError: It is none of the three.
    """
    need(path, "an image, a root file system or a bundle")
    with path.open("rb") as file:
        begin = file.read(_MIB)
        file.seek(max(0, path.stat().st_size - 8))
        end = file.read()
    if begin[512:520] == b"EFI PART":
        return _image(path)
    if begin[:4] != b"hsqs":
        raise ConfigError(
            "expected an image (decompressed), a root file system or a bundle, found another file:"
            f" {path}"
        )
    # A squashfs says its own length; a bundle has more behind it.
    if path.suffix == ".raucb" or 0 < int.from_bytes(end, "big") < 64 * 1024:
        bundle = asdict(read_bundle(path))
        hashes = {name: bundle.pop(name).hex() for name in ("root_hash", "salt")}
        return {"kind": "bundle", **bundle, "path": str(path), **hashes}
    return {"kind": "root file system", **_rootfs(path, 0)}


def _image(path: Path) -> dict[str, Any]:
    parts = json.loads(run("sfdisk", "--json", path))["partitiontable"]
    sector = int(parts.get("sectorsize", 512))
    table = [
        {
            "name": part.get("name", ""),
            "start": part["start"] * sector,
            "bytes": part["size"] * sector,
        }
        for part in parts["partitions"]
    ]
    at = {part["name"]: part["start"] for part in table}
    if not {"EDGE_CONFIG", "rootfs-a", "rootfs-b"} <= set(at):
        raise ConfigError(f"{path}: expected the partitions of an image of edge-flash image")
    slots = {}
    for name in ("rootfs-a", "rootfs-b"):
        with path.open("rb") as file:
            file.seek(at[name])
            filled = file.read(4) == b"hsqs"
        slots[name] = _rootfs(path, at[name]) if filled else None
    listing = run("mdir", "-b", "-i", f"{path}@@{at['EDGE_CONFIG']}", "::")
    return {
        "kind": "image",
        "partitions": table,
        "slots": slots,
        "config": sorted(line.removeprefix("::/") for line in listing.split()),
    }


def _rootfs(path: Path, offset: int) -> dict[str, Any]:
    def cat(name: str) -> str:
        try:
            return run("unsquashfs", "-o", str(offset), "-cat", path, name)
        except ToolFailed as exc:
            raise ConfigError(f"{path}: expected {name} in its root file system: {exc}") from exc

    release = dict(
        re.findall(r'^([A-Z_]+)="?([^"\n]*)"?$', cat("usr/lib/os-release"), re.MULTILINE)
    )
    status = cat("var/lib/dpkg/status")
    packages = re.findall(r"^Package: (\S+)\n(?:.*\n)*?Version: (\S+)$", status, re.MULTILINE)
    return {
        "compatible": release.get("IMAGE_ID", ""),
        "version": release.get("IMAGE_VERSION", ""),
        "packages": dict(packages),
    }
