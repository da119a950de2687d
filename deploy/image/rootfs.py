"""Makes the root file system: Debian, the runtime and the overlay in; one read-only file out.

The file is a squashfs. Its blocks are not compressed: GRUB and a small processor read them fast,
and the image and the bundles that carry it are compressed as a whole.
"""

import logging
import os
import re
import shutil
import time
import tomllib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from deploy.image.tools import ToolFailed, dated, need, run
from edge.errors import ConfigError

_log = logging.getLogger(__name__)

COMPATIBLE: Final = "edge-nvr-x86"
OVERLAY: Final = Path(__file__).with_name("overlay")
SLOT_BYTES: Final = 1536 * 1024 * 1024
_CONTENTS: Final = Path(__file__).with_name("contents.toml")
_NO_COMPRESSION: Final = ("-comp", "gzip", "-noI", "-noId", "-noD", "-noF", "-noX")
# A read-only root keeps no compiled modules: they come with it, whatever the times of files.
_COMPILE: Final = ("python3", "-m", "compileall", "-qf", "--invalidation-mode", "unchecked-hash")
# The time of files that are made while Debian is installed; the same for all builds.
_DEBIAN_MADE_AT: Final = 1_700_000_000
# Within a day Debian is taken as it was fetched; later it is fetched again, with its corrections.
_LATEST_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class RootFiles:
    """What a root file system is made of, beside Debian.

    Attributes:
        version: Version of the image, such as 1.4.2.
        debs: Packages of the runtime.
        keyring: Certificates whose updates the box takes (PEM).
        model: Model bundle; it lies in /usr/share/edge/bundle.
        overlays: Folders whose files are put over those of the packages, the last one on top.
        made_at: UTC seconds that files get which the build makes.
    """

    version: str
    debs: Sequence[Path]
    keyring: Path
    model: Path
    overlays: Sequence[Path] = (OVERLAY,)
    made_at: int = 0


def contents() -> dict[str, Any]:
    """Return what the packages are, and what is left out (contents.toml)."""
    return tomllib.loads(_CONTENTS.read_text())


def time_of_deb(path: Path) -> int:
    """Return when a Debian package says that it was made, in UTC seconds.

    Raises:
        ConfigError: The file is no Debian package.
    """
    with need(path, "a Debian package").open("rb") as file:
        head = file.read(68)  # of the archive, and of its first member (deb(5), ar(5))
    if not head.startswith(b"!<arch>\ndebian-binary") or not head[24:36].strip().isdigit():
        raise ConfigError(f"expected a Debian package, found another file: {path}")
    return int(head[24:36])


def time_of_rootfs(path: Path) -> int:
    """Return when a root file system says that it was made, in UTC seconds.

    Raises:
        ConfigError: The file is no squashfs.
    """
    with path.open("rb") as file:
        head = file.read(12)
    if head[:4] != b"hsqs":
        raise ConfigError(f"expected a root file system of edge-flash rootfs, found {path}")
    return int.from_bytes(head[8:12], "little")


def hosts(sources: str) -> set[str]:
    """Return the hosts that sources of packages name."""
    return set(re.findall(r"\w+://(?:[^\s/@]*@)?([^\s/:]+)", sources))


def left_behind(root: Path, words: Collection[str]) -> list[Path]:
    """Return the files below etc and var in which a word stands that belongs to the builder."""
    found = re.compile(b"|".join(re.escape(word.encode()) for word in sorted(words)) or b"(?!)")
    files = (path for name in ("etc", "var") for path in sorted((root / name).rglob("*")))
    return [
        path.relative_to(root)
        for path in files
        if path.is_file() and not path.is_symlink() and found.search(path.read_bytes())
    ]


def make_rootfs(files: RootFiles, sources: Path, work: Path, out: Path) -> None:
    """Make the root file system.

    Args:
        files: What goes in.
        sources: Sources of Debian packages, as in /etc/apt.
        work: Folder for what is between; Debian is kept there for a day.
        out: The squashfs file.

    Raises:
        ConfigError: Not root, or a file is missing.
        ToolFailed: A program ended with an error.
    """
    if os.geteuid() != 0:
        raise ConfigError("expected root, whose files the system has: start it with sudo")
    for deb in files.debs:
        need(deb, "a Debian package")
    need(files.keyring, "the certificates of who signs updates")
    root = work / "root"
    base = _debian(sources, work)
    shutil.rmtree(root, ignore_errors=True)
    run("cp", "--archive", "--reflink=auto", base, root)
    _install(root, files)
    _clean(root)
    for overlay in files.overlays:
        _lay_over(overlay, root)
    run("chroot", root, "systemctl", "preset-all")
    _clean(root, only=("etc/machine-id",))
    (root / "etc" / "machine-id").touch(mode=0o444)
    if left := left_behind(root, hosts(sources.read_text())):
        raise ToolFailed(f"expected nothing of this machine's sources, found them in {left[0]}")
    out.unlink(missing_ok=True)
    run(
        "mksquashfs", root, out, "-noappend", "-no-progress", "-quiet", *_NO_COMPRESSION,
        environment=dated(files.made_at),
    )  # fmt: skip
    if out.stat().st_size > SLOT_BYTES:
        raise ConfigError(
            f"{out}: expected at most {SLOT_BYTES >> 20} MiB, found {out.stat().st_size >> 20} MiB"
        )
    shutil.rmtree(root)


def _debian(sources: Path, work: Path) -> Path:
    """Return Debian without the runtime, as fetched within the last day."""
    need(sources, "sources of Debian packages (option --sources)")
    given = _CONTENTS.read_bytes() + sources.read_bytes()
    base = work / f"debian-{sha256(given).hexdigest()[:12]}"
    fetched = base / "etc" / "debian_version"
    if fetched.exists() and time.time() - base.stat().st_mtime < _LATEST_S:
        return base
    _log.info("fetching Debian into %s", base)
    new = base.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)
    said = contents()
    modules = "\\n".join(said["modules"])
    run(
        "mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory", "--quiet",
        "--aptopt=APT::Install-Recommends false",
        *(f"--dpkgopt=path-exclude={path}" for path in said["exclude"]),
        *(f"--dpkgopt=path-include={path}" for path in said["include"]),
        f"--include={','.join(said['packages'])}",
        '--essential-hook=mkdir -p "$1/usr/share/initramfs-tools/modules.d"',
        f'--essential-hook=printf "{modules}\\n" > "$1/usr/share/initramfs-tools/modules.d/edge"',
        '--customize-hook=find "$1/usr/lib" -name __pycache__ -prune -exec rm -r {} +',
        f'--customize-hook=chroot "$1" {" ".join(_COMPILE)} /usr/lib/python3.11 /usr/lib/python3',
        said["suite"], new, sources,
        environment=dated(_DEBIAN_MADE_AT),
    )  # fmt: skip
    shutil.rmtree(base, ignore_errors=True)
    new.rename(base)
    os.utime(base)
    return base


def _install(root: Path, files: RootFiles) -> None:
    """Install the packages of the runtime, the keyring, the model and the version."""
    debs = root / "tmp" / "debs"
    debs.mkdir()
    for deb in files.debs:
        shutil.copy(deb, debs)
    run(
        "chroot", root, "sh", "-c", "dpkg --install /tmp/debs/*.deb",
        environment={"DEBIAN_FRONTEND": "noninteractive", **dated(files.made_at)},
    )  # fmt: skip
    if (root / "opt" / "edge").is_dir():
        run("chroot", root, *_COMPILE, "/opt/edge", environment={"PYTHONHASHSEED": "0"})
    _copy(files.keyring, root / "etc" / "rauc" / "keyring.pem")
    for path in sorted(files.model.rglob("*")):
        if path.is_file():
            _copy(path, root / "usr/share/edge/bundle" / path.relative_to(files.model))
    with (root / "usr" / "lib" / "os-release").open("a") as file:
        file.write(f'IMAGE_ID="{COMPATIBLE}"\nIMAGE_VERSION="{files.version}"\n')


def _clean(root: Path, only: Sequence[str] = ()) -> None:
    said = contents()
    for pattern in only or said["remove"]:
        for path in root.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    for name in said["folders"]:
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in ("tmp", "var/tmp"):
        (root / name).chmod(0o1777)
    resolv = root / "etc" / "resolv.conf"
    if not resolv.is_symlink():
        resolv.symlink_to("../run/systemd/resolve/resolv.conf")


def _lay_over(overlay: Path, root: Path) -> None:
    """Copy a folder's files, with root as their owner and no more rights than a checkout has."""
    for path in sorted(overlay.rglob("*")):
        target = root / path.relative_to(overlay)
        if path.is_symlink():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            target.symlink_to(path.readlink())
        elif path.is_file():
            _copy(path, target)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o755 if source.stat().st_mode & 0o100 else 0o644)
