"""Disks that must not be overwritten, and images that are on the disk as a whole or not at all."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.cli import app
from deploy.image import disks
from deploy.image.disks import Disk, read_disk, refusal
from deploy.image.tools import DiskFailed, ToolFailed
from deploy.image.write import CHUNK, image_size, write_image
from edge.errors import ConfigError

HEAD = b"head".ljust(512, b"\0") + b"EFI PART"
STICK = Disk(Path("/dev/sdz"), 10_000, "Stick", removable=True, uses=())


def nothing(_count: int) -> None:
    return None


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "nvr.img"
    path.write_bytes(HEAD + os.urandom(2 * CHUNK) + bytes(CHUNK) + b"tail")
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Stands for a disk with something on it."""
    path = tmp_path / "disk"
    path.write_bytes(b"\xff" * (5 * CHUNK))
    return path


def test_an_image_is_written_as_it_is_zeros_included(image: Path, target: Path) -> None:
    wrote: list[int] = []
    read: list[int] = []
    write_image(image, target, wrote.append, read.append)
    size = image.stat().st_size
    assert target.read_bytes()[:size] == image.read_bytes()
    assert target.read_bytes()[size:] == b"\xff" * (5 * CHUNK - size)
    assert sum(wrote) == sum(read) == size


@pytest.mark.skipif(shutil.which("zstd") is None, reason="zstd is not installed")
def test_a_compressed_image_is_decompressed_on_the_way(image: Path, target: Path) -> None:
    size = image.stat().st_size
    subprocess.run(["zstd", "--quiet", "-1", image], check=True)
    packed = image.with_suffix(".img.zst")
    assert image_size(packed) == size
    write_image(packed, target, nothing, nothing)
    assert target.read_bytes()[:size] == image.read_bytes()
    cut = packed.with_name("cut.img.zst")
    cut.write_bytes(packed.read_bytes()[:-100])
    with pytest.raises(ToolFailed, match="is damaged"):
        write_image(cut, target, nothing, nothing)
    assert not any(target.read_bytes()[:CHUNK])  # no table of partitions: nothing starts from it


def test_a_disk_that_gives_back_something_else_is_found(image: Path, target: Path) -> None:
    def spoil(_count: int) -> None:
        with target.open("r+b") as file:
            file.seek(2 * CHUNK + 17)
            file.write(b"!")

    with pytest.raises(DiskFailed, match="gave back something else") as caught:
        write_image(image, target, spoil, nothing)
    assert caught.value.exit_code == 6


def test_what_is_not_written_as_a_whole_cannot_be_started(image: Path, target: Path) -> None:
    image.write_bytes(HEAD + os.urandom(9 * CHUNK))

    def pull(_count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_image(image, target, pull, nothing)
    assert target.read_bytes()[:CHUNK] == bytes(CHUNK)
    assert target.read_bytes()[CHUNK : 2 * CHUNK] == image.read_bytes()[CHUNK : 2 * CHUNK]


def test_what_is_no_image_is_not_written(target: Path, tmp_path: Path) -> None:
    other = tmp_path / "update.raucb"
    other.write_bytes(b"hsqs" + bytes(10_000))
    with pytest.raises(ConfigError, match="expected an image of edge-flash image"):
        write_image(other, target, nothing, nothing)
    assert target.read_bytes()[:CHUNK] == b"\xff" * CHUNK


@pytest.mark.parametrize(
    ("disk", "size", "said"),
    [
        (STICK, 10_000, None),
        (STICK, 10_001, "/dev/sdz is too small: expected at least 10001 bytes, found 10000"),
        (
            Disk(
                Path("/dev/sdz"), 10_000, "", removable=True, uses=("sdz1 is mounted on /media/x",)
            ),
            1,
            "/dev/sdz is in use: sdz1 is mounted on /media/x; expected: nothing of it is mounted",
        ),
    ],
)
def test_what_must_not_be_overwritten(disk: Disk, size: int, said: str | None) -> None:
    assert refusal(disk, size) == said


def test_a_file_is_no_disk(image: Path) -> None:
    with pytest.raises(ConfigError, match="expected a disk"):
        read_disk(image)
    with pytest.raises(ConfigError, match="No such file"):
        read_disk(image.with_name("none"))


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A disk of the kernel, of so many MiB."""
    if os.geteuid() != 0 or not Path("/dev/loop-control").exists():
        pytest.skip("needs root and loop devices")
    made: list[str] = []

    def run(mib: int) -> Path:
        file = tmp_path / f"{len(made)}.disk"
        with file.open("wb") as disk:
            disk.truncate(mib << 20)
        done = subprocess.run(
            ["/usr/sbin/losetup", "--show", "--find", file],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        made.append(done.stdout.strip())
        return Path(made[-1])

    yield run
    for path in made:
        subprocess.run(["/usr/sbin/losetup", "--detach", path], check=True)


def test_a_real_disk_is_written_after_its_name_was_typed(
    loop: Callable[[int], Path], image: Path
) -> None:
    disk = loop(24)
    found = read_disk(disk)
    assert (found.size, found.removable, found.uses) == (24 << 20, False, ())
    command = ["write", str(image), str(disk)]
    for typed in ("", "yes\n", "/dev/sda\n"):
        refused = CliRunner().invoke(app, command, input=typed)
        assert isinstance(refused.exception, ConfigError | SystemExit)
        assert disk.read_bytes()[:4] != b"head"
    done = CliRunner().invoke(app, command, input=f"{disk}\n")
    assert done.exit_code == 0, done.output
    assert f"{disk}: written and read back, {image.stat().st_size} bytes" in done.output
    assert disk.read_bytes()[: image.stat().st_size] == image.read_bytes()


def test_a_real_disk_that_is_mounted_or_too_small_is_refused(
    loop: Callable[[int], Path], image: Path, tmp_path: Path
) -> None:
    disk = loop(24)
    subprocess.run(["/usr/sbin/mke2fs", "-q", "-F", disk], check=True)
    place = tmp_path / "mounted"
    place.mkdir()
    subprocess.run(["mount", disk, place], check=True)
    try:
        found = read_disk(disk)
        assert found.uses == (f"{disk.name} is mounted on {place}",)
        with pytest.raises(DiskFailed, match="Device or resource busy"):  # the kernel's own no
            write_image(image, disk, nothing, nothing)
    finally:
        subprocess.run(["umount", place], check=True)
    done = CliRunner().invoke(app, ["write", str(image), str(loop(4)), "--overwrite", "x"])
    assert "is too small" in str(done.exception)


def test_what_the_kernel_says_of_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sysfs and procfs of files stands for disks that this machine does not have."""
    node = tmp_path / "sys" / "devices" / "pci0" / "usb2" / "sdz"
    part = node / "sdz1"
    (part / "holders" / "dm-0").mkdir(parents=True)
    (node / "device").mkdir()
    for name, text in {
        "dev": "65:144", "size": "20", "ro": "0", "removable": "0", "device/model": "Reader  ",
        "sdz1/partition": "1", "sdz1/dev": "65:145",
    }.items():  # fmt: skip
        (node / name).write_text(f"{text}\n")
    (tmp_path / "sys/dev/block").mkdir(parents=True)
    (tmp_path / "sys/dev/block/65:144").symlink_to(node)
    proc = tmp_path / "proc"
    (proc / "self").mkdir(parents=True)
    (proc / "self" / "mountinfo").write_text("36 35 65:145 / /media/x rw - vfat /dev/sdz1 rw\n")
    (proc / "swaps").write_text("Filename Type Size\n/dev/sdz1 partition 1\n/dev/sdy1 p 1\n")
    monkeypatch.setattr(disks, "_number", lambda _path: "65:144")
    found = read_disk(Path("/dev/sdz"), tmp_path / "sys", proc)
    assert found == Disk(
        Path("/dev/sdz"), 10_240, "Reader", removable=True,
        uses=("sdz1 is mounted on /media/x", "sdz1 is swap", "sdz1 belongs to dm-0"),
    )  # fmt: skip
    (node / "ro").write_text("1\n")
    with pytest.raises(ConfigError, match="write-protected"):
        read_disk(Path("/dev/sdz"), tmp_path / "sys", proc)
    (tmp_path / "sys/dev/block/65:144").unlink()
    (tmp_path / "sys/dev/block/65:144").symlink_to(part)
    with pytest.raises(ConfigError, match="expected a whole disk, found a partition of sdz"):
        read_disk(Path("/dev/sdz1"), tmp_path / "sys", proc)
