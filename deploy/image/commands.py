"""The commands of ``edge-flash`` around the image of an x86 NVR."""

import json
import tempfile
from pathlib import Path
from time import monotonic
from typing import Annotated, Any, Final

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from deploy.image import bundle as bundles
from deploy.image.disk import make_image
from deploy.image.disks import Disk, read_disk, refusal
from deploy.image.inspect import inspect as look_inside
from deploy.image.pki import KEYRING, RELEASE_CERT, RELEASE_KEY, make_keys
from deploy.image.rootfs import RootFiles, make_rootfs, time_of_deb
from deploy.image.tools import need, run, writing
from deploy.image.verify import verify as check_bundle
from deploy.image.write import image_size, write_image
from edge.errors import ConfigError
from edge.system.paths import default_bundle

_SOURCES: Final = Path("/etc/apt/sources.list.d/debian.sources")

_ROOTFS: Final = Path("build/image/nvr.squashfs")

RootfsOption = Annotated[
    Path, typer.Option("--rootfs", help="Root file system of edge-flash rootfs.")
]
KeysOption = Annotated[Path, typer.Option(help="Folder of edge-flash keys.")]
DebOption = Annotated[
    list[Path], typer.Option(help="Debian package of the runtime; may be given more than once.")
]
ModelOption = Annotated[
    Path | None,
    typer.Option("--bundle", help="Model bundle that goes in. [default: that of edge-export]"),
]
VersionOption = Annotated[
    str, typer.Option("--image-version", help="[default: that of the first Debian package]")
]


def keys(
    folder: Annotated[Path, typer.Argument(help="New folder for the keys.")],
    name: Annotated[str, typer.Option(help="Name of who signs, such as a company.")],
    days: Annotated[int, typer.Option(min=1, help="Days until the release key expires.")] = 730,
) -> None:
    """Make the keys of who signs updates. Do it once, and keep the folder.

    Example: `edge-flash keys keys --name Example`
    """
    make_keys(folder, name, days)
    typer.echo(f"{folder / KEYRING}: goes into images (edge-flash rootfs)")
    typer.echo(f"{folder / RELEASE_KEY}: signs updates (edge-flash bundle)")
    typer.echo(f"{folder / 'root.key'}: signs the next release key; keep it offline")


def rootfs(
    deb: DebOption,
    keyring: Annotated[Path, typer.Option(help="Certificates whose updates boxes take.")],
    out: Annotated[Path, typer.Option(help="The root file system.")] = _ROOTFS,
    model: ModelOption = None,
    image_version: VersionOption = "",
    sources: Annotated[Path, typer.Option(help="Sources of Debian packages.")] = _SOURCES,
    work: Annotated[Path, typer.Option(help="Folder for what is between.")] = Path("build/image"),
) -> None:
    """Make the root file system of an x86 NVR, for images and updates. Needs root.

    Example:
    `sudo edge-flash rootfs --deb edge.deb --keyring keys/keyring.pem`
    """
    start = monotonic()
    version = image_version or run("dpkg-deb", "--field", deb[0], "Version").strip()
    model = model or default_bundle()
    need(model / "manifest.json", "a model bundle (edge-export default)")
    files = RootFiles(
        bundles.checked_version(version), deb, keyring, model, made_at=time_of_deb(deb[0])
    )
    with writing(work / "root"), writing(out):
        make_rootfs(files, sources, work, out)
    typer.echo(f"{out}: version {version}, {_made(out, start)}")


def image(
    out: Annotated[Path, typer.Option(help="The image; compressed if the name ends in .zst.")],
    rootfs: RootfsOption = _ROOTFS,
    config: Annotated[
        Path | None, typer.Option(help="Site file. [default: the box waits for one]")
    ] = None,
) -> None:
    """Make the image of an x86 NVR, which edge-flash write puts onto a disk.

    Example: `edge-flash image --config site.yaml --out nvr.img.zst`
    """
    start = monotonic()
    with writing(out), tempfile.TemporaryDirectory(dir=out.absolute().parent) as name:
        new = Path(name) / "new.img"
        make_image(rootfs, config, new)
        if out.suffix == ".zst":
            run("zstd", "--quiet", "--threads=0", "-9", "--rm", new)
            new = new.with_suffix(".img.zst")
        new.replace(out)
    typer.echo(f"{out}: {_made(out, start)}")


def bundle(
    keys: KeysOption,
    out: Annotated[Path, typer.Option(help="The update, *.raucb.")],
    rootfs: RootfsOption = _ROOTFS,
) -> None:
    """Make a signed update of a root file system.

    Example: `edge-flash bundle --keys keys --out edge-1.4.2.raucb`
    """
    start = monotonic()
    version = bundles.checked_version(str(look_inside(rootfs).get("version", "")))
    text = bundles.manifest(version)
    with writing(out):
        bundles.make_bundle(rootfs, text, keys / RELEASE_CERT, keys / RELEASE_KEY, out)
    typer.echo(f"{out}: version {version}, {_made(out, start)}")


def verify(
    file: Annotated[Path, typer.Argument(help="The update, *.raucb.")],
    keyring: Annotated[Path, typer.Option(help="Certificates whose updates boxes take.")],
    newer_than: Annotated[
        str | None, typer.Option(help="Version that runs on the box; older updates are refused.")
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say whether a box would take an update. Exit code 1 if it would not.

    Example: `edge-flash verify edge-1.4.2.raucb --keyring keys/keyring.pem`
    """
    checks = check_bundle(file, keyring, newer_than)
    words = {True: "good", False: "NOT good", None: "not checked"}
    if as_json:
        found = [{"check": check.name, "good": check.good, "said": check.said} for check in checks]
        typer.echo(json.dumps(found, indent=2))
    else:
        for check in checks:
            typer.echo(f"{check.name}: {words[check.good]}: {check.said}")
    if not all(check.good for check in checks):
        raise typer.Exit(1)


def inspect(
    file: Annotated[Path, typer.Argument(help="Image, root file system or update.")],
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, with every package.")
    ] = False,
) -> None:
    """Say what is inside a file, without proving it.

    Example: `edge-flash inspect nvr.img`
    """
    found = look_inside(file)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for line in _lines(found):
        typer.echo(line)


def write(
    image: Annotated[Path, typer.Argument(help="The image, which may be compressed (.zst).")],
    disk: Annotated[Path, typer.Argument(help="The disk, such as /dev/sdb. It is overwritten.")],
    overwrite: Annotated[
        str | None,
        typer.Option(help="The disk again, where it is no removable one and nobody can be asked."),
    ] = None,
) -> None:
    """Write an image to a disk, and read it back. Everything on the disk is lost.

    Example: `sudo edge-flash write nvr.img.zst /dev/sdb`
    """
    size = image_size(image)
    found = read_disk(disk)
    if why := refusal(found, size):
        raise ConfigError(why)
    typer.echo(f"{disk}: {found.model or 'a disk'}, {found.size / 1e9:.1f} GB", err=True)
    if not found.removable:
        _confirm(found, overwrite)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as progress:
        writing = progress.add_task("writing", total=size)
        reading = progress.add_task("reading back", total=size)
        write_image(
            image, disk,
            lambda count: progress.advance(writing, count),
            lambda count: progress.advance(reading, count),
        )  # fmt: skip
    typer.echo(f"{disk}: written and read back, {size} bytes")


def _confirm(disk: Disk, overwrite: str | None) -> None:
    if overwrite is None:
        overwrite = typer.prompt(
            f"{disk.path} is no removable disk: is it one of this machine's own?\n"
            f"Type {disk.path} to overwrite it",
            default="",
            show_default=False,
        )
    if overwrite != str(disk.path):
        raise ConfigError(f"expected {disk.path} to be typed, found {overwrite!r}; nothing written")


def _lines(found: dict[str, Any], indent: str = "") -> list[str]:
    lines = []
    for key, value in found.items():
        if key == "packages":
            lines.append(f"{indent}packages: {len(value)}")
        elif isinstance(value, dict):
            lines += [f"{indent}{key}:", *_lines(value, indent + "  ")]
        elif key == "partitions":
            lines += [f"{indent}{part['name']}: {part['bytes'] >> 20} MiB" for part in value]
        elif isinstance(value, list):
            lines.append(f"{indent}{key}: {', '.join(value)}")
        else:
            lines.append(f"{indent}{key}: {'empty' if value is None else value}")
    return lines


def _made(path: Path, start: float) -> str:
    return f"{path.stat().st_size / 2**20:.0f} MiB, {monotonic() - start:.0f} s"
