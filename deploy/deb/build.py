"""Builds the Debian packages: the same source and the same wheels give the same bytes."""

import logging
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from deploy.deb.control import OPENVINO, RUNTIME, DebPackage, control, debian_version, md5sums
from deploy.deb.slim import depends, foreign, slim, strip, stripper
from deploy.deb.stage import (
    document,
    libraries_of,
    same_for_all,
    stage_openvino,
    stage_runtime,
)
from deploy.deb.wheels import fetch, lay_out
from deploy.wheelhouse.download import requirements
from deploy.wheelhouse.target import Target
from edge import __version__
from edge.errors import ConfigError

logger = logging.getLogger(__name__)

_SCRIPTS: Final = Path(__file__).parent / "scripts"
_CONFFILES: Final = "/etc/edge/edge.yaml\n"


def build(
    project: Path, out: Path, target: Target, wheels: Path | None, made_at: int
) -> list[Path]:
    """Build the packages for a system.

    Args:
        project: Source of the runtime.
        out: Folder of the packages, and of what they are made from.
        target: The system; it decides the processor and the Python.
        wheels: Folder of wheels to use and nothing else; None to fetch them once into ``out``.
        made_at: UTC seconds that all files get.

    Returns:
        The packages.

    Raises:
        ConfigError: The source, a wheel or a tool is missing; a library is for another processor.
    """
    arch = target.arch
    _require("dpkg-deb", "dpkg")
    _require("readelf", "binutils")
    _require(stripper(target), f"binutils-{target.machine.replace('_', '-')}-linux-gnu")
    wanted, openvino = requirements(project), requirements(project, ["openvino"])[-1:]
    if wheels is None:
        wheels = out / f"wheels-{target.name}-{arch}"
        if not wheels.is_dir():
            logger.info("fetching wheels into %s", wheels)
            fetch([*wanted, *openvino], wheels, target)
    version = debian_version(__version__, made_at)

    root = _fresh(out / f"{RUNTIME}-{arch}")
    lay_out(wanted, wheels, target, libraries_of(root, target))
    needed = _slimmed(root, target)
    major, minor = target.python
    python = [f"python3 (>= {target.version})", f"python3 (<< {major}.{minor + 1})"]
    runtime = DebPackage(
        RUNTIME, version, arch,
        [*python, *needed, "passwd", "systemd (>= 250)"],
        ["ca-certificates", "tzdata"],
    )  # fmt: skip
    stage_runtime(root, project, runtime, made_at, target)
    packages = [_packed(root, runtime, made_at, _CONFFILES, target)]
    if arch == "amd64":  # of other processors it knows too little
        root = _fresh(out / f"{OPENVINO}-{arch}")
        lay_out(["--no-deps", *openvino], wheels, target, libraries_of(root, target))
        needed = _slimmed(root, target)
        extra = DebPackage(OPENVINO, version, arch, [f"{RUNTIME} (= {version})", *needed])
        stage_openvino(root)
        packages.append(_packed(root, extra, made_at, "", target))
    return packages


def time_of_source(project: Path, environment: Mapping[str, str] = os.environ) -> int:
    """Return when the source was changed, in UTC seconds: SOURCE_DATE_EPOCH, or the last commit.

    Raises:
        ConfigError: Neither is there.
    """
    given = environment.get("SOURCE_DATE_EPOCH", "")
    if given.isdecimal():
        return int(given)
    done = subprocess.run(  # noqa: S603  no input of others
        ["git", "-C", project, "log", "-1", "--format=%ct"],  # noqa: S607  by PATH
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if not done.stdout.strip().isdecimal():
        raise ConfigError(
            f"{project}: expected a git repository, or the time of the source in seconds as"
            " SOURCE_DATE_EPOCH, found neither"
        )
    return int(done.stdout)


def _slimmed(root: Path, target: Target) -> list[str]:
    packages = libraries_of(root, target)
    slim(packages)
    wrong = foreign(packages, target)
    if wrong:
        raise ConfigError(
            f"expected libraries for {target.arch} only, found another one: {wrong[0]}"
        )
    strip(packages, target)
    return depends(packages)


def _packed(root: Path, package: DebPackage, made_at: int, conffiles: str, target: Target) -> Path:
    """Write the files of dpkg into ``root``, and make the package beside it."""
    document(root, package, made_at, target)
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and not path.is_symlink()]
    # dpkg counts in KiB, each file and folder rounded up.
    size = sum(-(-path.lstat().st_size // 1024) or 1 for path in sorted(root.rglob("*")))
    sums = {path.relative_to(root).as_posix(): path.read_bytes() for path in files}
    same_for_all(root, made_at)
    own = root / "DEBIAN"
    own.mkdir()
    (own / "control").write_text(control(package, size))
    (own / "md5sums").write_text(md5sums(sums))
    if conffiles:
        (own / "conffiles").write_text(conffiles)
    for name in ("postinst", "prerm", "postrm"):
        shutil.copyfile(_SCRIPTS / f"{package.name}.{name}", own / name)
        (own / name).chmod(0o755)
    out = root.parent / f"{package.name}_{package.version}_{package.arch}.deb"
    logger.info("packing %s", out.name)
    subprocess.run(  # noqa: S603  no input of others
        # One thread: what xz writes depends on their number. A higher level takes minutes.
        ["dpkg-deb", "--root-owner-group", "-Zxz", "-z2", "--threads-max=1",  # noqa: S607  by PATH
         "--build", root, out],
        env=os.environ | {"SOURCE_DATE_EPOCH": str(made_at)},
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return out


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    return folder


def _require(command: str, package: str) -> None:
    if shutil.which(command) is None:
        raise ConfigError(
            f"expected the command {command}, found none; install it: apt-get install {package}"
        )
