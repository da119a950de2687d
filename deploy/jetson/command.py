"""The command ``edge-flash jetson``."""

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final

import typer

from deploy.jetson.bsp import Bsp, open_bsp, recovering
from deploy.jetson.layout import Sizes, faults, with_data
from deploy.jetson.steps import Command, Link, Put, Step, Storage, box_files, flash, layout_of
from edge.errors import ConfigError, EdgeError
from edge.system.atomic_file import write_atomically

_GIB: Final = 1 << 30
# Size of the disk that NVIDIA's tools expect where nobody says another (README_initrd_flash.txt).
_DISK_GIB: Final = {"t234": 57, "t264": 234}
_DEB: Final = b"!<arch>\n"


def jetson(
    bsp: Annotated[Path, typer.Option(help="Linux_for_Tegra of NVIDIA's Jetson Linux.")],
    board: Annotated[str, typer.Option(help="Board, such as jetson-orin-nano-devkit.")],
    deb: Annotated[list[Path], typer.Option(help="arm64 packages that the first boot installs.")],
    storage: Annotated[Storage, typer.Option(help="Disk of the root file systems.")] = "nvme",
    config: Annotated[Path | None, typer.Option(help="The box's edge.yaml.")] = None,
    slot: Annotated[int, typer.Option(min=8, help="Each root file system, GiB.")] = 24,
    data: Annotated[int, typer.Option(min=1, help="What the box keeps, GiB.")] = 4,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done.")] = False,
) -> None:
    """Flash a Jetson in recovery mode: two root file systems, the daemon, a disk for its state.

    NVIDIA's own tools do it; nothing of this was tried on hardware.

    Example: `sudo edge-flash jetson --bsp Linux_for_Tegra --board jetson-orin-nano-devkit
    --deb edge-runtime_0.1.0_arm64.deb --config edge.yaml`
    """
    package = open_bsp(bsp)
    for path in deb:
        _check_deb(path)
    if config is not None and not config.is_file():
        raise ConfigError(f"--config {config}: expected a file, found none")
    steps = _steps(package, board, storage, (slot, data), (deb, config))
    if dry_run:
        typer.echo(f"cd {package.path}")
        for step in steps:
            typer.echo(str(step))
        return
    if os.geteuid() != 0:
        raise ConfigError("expected root, as NVIDIA's tools do; begin with: sudo edge-flash jetson")
    ports = recovering()
    if len(ports) != 1:
        raise ConfigError(
            f"expected one Jetson in recovery mode at USB, found {len(ports)}; connect its "
            "recovery port, hold the recovery button (or bridge FC REC and GND), and switch it on"
        )
    carry_out(package, steps)


def _steps(
    bsp: Bsp,
    board: str,
    storage: Storage,
    gib: tuple[int, int],
    files: tuple[list[Path], Path | None],
) -> list[Step]:
    """Return all steps, in order; the layout is checked here, before anything is done."""
    soc = bsp.soc(board)
    if storage == "emmc" and soc == "t264":
        raise ConfigError("--storage emmc: expected nvme or usb, as a Thor has no eMMC")
    slot, data = gib
    known = bsp.path / layout_of(soc, storage)
    try:
        text = known.read_text()
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{known}: expected NVIDIA's layout, found {exc}") from exc
    sizes = Sizes(_DISK_GIB[soc] * _GIB, slot * _GIB, data * _GIB)
    try:
        layout = with_data(text, sizes.data)
        wrong = faults(layout, sizes)
    except ConfigError as exc:
        raise ConfigError(f"{known}: {exc}") from exc
    if wrong:
        raise ConfigError("\n".join([f"{known}, with --slot {slot} and --data {data}:", *wrong]))
    ours = known.with_name(f"edge_{known.name}")
    first: list[Step] = [] if bsp.applied else [Command(("./apply_binaries.sh",))]
    return [
        *first,
        *box_files(bsp, *files),
        Put(ours, layout),
        flash(bsp, board, storage, ours, slot),
    ]


def _check_deb(path: Path) -> None:
    try:
        with path.open("rb") as file:
            head = file.read(len(_DEB))
    except OSError as exc:
        raise ConfigError(f"--deb {path}: expected a package, found {exc.strerror}") from exc
    if head != _DEB or not path.name.endswith(("_arm64.deb", "_all.deb")):
        raise ConfigError(f"--deb {path}: expected a Debian package for arm64, found another file")


def carry_out(bsp: Bsp, steps: Iterable[Step]) -> None:
    """Do what the steps say, in order; the first that fails is the last.

    Raises:
        ConfigError: A file would be written outside of the package.
        EdgeError: One of NVIDIA's tools failed; its own words are above.
    """
    for step in steps:
        typer.echo(str(step))
        match step:
            case Command(words, environment):
                done = subprocess.run(  # noqa: S603  the words are our own
                    words, cwd=bsp.path, env=os.environ | dict(environment), check=False
                )
                if done.returncode:
                    raise EdgeError(
                        f"{words[0]}: exit code {done.returncode}; its own words are above, and in "
                        f"{bsp.path}/initrdlog"
                    )
            case Put(path, content, mode):
                _stay_inside(bsp, path)
                data = content.read_bytes() if isinstance(content, Path) else content.encode()
                write_atomically(path, data, mode=mode)
            case Link(path, target):
                _stay_inside(bsp, path)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.unlink(missing_ok=True)
                path.symlink_to(target)


def _stay_inside(bsp: Bsp, path: Path) -> None:
    """Refuse a path whose folder is a link to a place of this machine."""
    if not path.parent.resolve().is_relative_to(bsp.path.resolve()):
        raise ConfigError(f"{path}: expected a folder of {bsp.path}, found a link out of it")
