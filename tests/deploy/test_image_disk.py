"""The image of a disk: its partitions, what is on them, and the same bytes from the same input."""

import errno
import json
import os
import re
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.cli import app
from deploy.image import rootfs
from deploy.image.disk import PARTITIONS, starts, table
from deploy.image.rootfs import (
    OVERLAY,
    contents,
    hosts,
    left_behind,
    time_of_deb,
    time_of_rootfs,
)
from deploy.image.tools import DiskFailed, ToolFailed, run, writing
from edge.errors import ConfigError
from edge.site.files import card_files

IMAGE = Path(rootfs.__file__).parent
NEEDED = ("sfdisk", "mkfs.vfat", "mcopy", "mke2fs", "mksquashfs", "grub-mkimage", "grub-editenv")
missing = [name for name in NEEDED if shutil.which(name, path="/usr/sbin:/usr/bin") is None]
needs_tools = pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")
SITE = """\
device: {id: nvr-01}
mqtt: {host: broker.example, port: 8883, tls: {ca: broker-ca.pem}}
prompts: {person: {text: a person}}
cameras: {yard: {url: "rtsp://192.0.2.10/stream2"}}
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "broker-ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    (folder / "other-site.pem").write_text("not of this box")
    (folder / "site.yaml").write_text(SITE)
    return folder / "site.yaml"


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A root file system with what GRUB would load, made at the second 1,700,000,000."""
    root = tmp_path / "root"
    for name in ("usr/lib/os-release", "var/lib/dpkg/status", "vmlinuz", "initrd.img"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text('IMAGE_VERSION="1.2.3"\n')
    out = tmp_path / "tiny.squashfs"
    date = {"SOURCE_DATE_EPOCH": "1700000000"}
    run("mksquashfs", root, out, "-noappend", "-quiet", environment=date)
    return out


def image(tiny: Path, site: Path | None, out: Path) -> Path:
    config = [] if site is None else ["--config", str(site)]
    done = CliRunner().invoke(app, ["image", "--rootfs", str(tiny), "--out", str(out), *config])
    assert done.exit_code == 0, (done.output, done.exception)
    return out


def content(path: Path) -> bytes:
    """Digest of a sparse file's bytes, of which those that are not zero are read."""
    digest, block, end = sha256(str(path.stat().st_size).encode()), 1 << 20, 0
    with path.open("rb") as file:
        while True:
            try:
                start = os.lseek(file.fileno(), end, os.SEEK_DATA) // block * block
            except OSError:  # only zeros are left
                return digest.digest()
            file.seek(start)
            if any(part := file.read(block)):
                digest.update(start.to_bytes(8, "big") + part)
            end = start + block


def test_partitions_follow_each_other_and_have_guids_of_their_own() -> None:
    at = starts()
    ends = [at[part.name] + part.mib for part in PARTITIONS]
    assert list(at.values())[1:] == ends[:-1]
    assert ends[-1] + 1 <= 4_000_000_000 >> 20  # a disk that is sold as 4 GB
    uids = re.findall(r"uuid=(\S+)", table())
    assert len(set(uids)) == len(PARTITIONS)


@needs_tools
def test_the_same_input_gives_the_same_bytes(tiny: Path, site: Path, tmp_path: Path) -> None:
    first = image(tiny, site, tmp_path / "1.img")
    (tmp_path / "elsewhere").mkdir()
    again = image(tiny, site, tmp_path / "elsewhere" / "2.img")
    assert content(first) == content(again)
    site.write_text(SITE.replace("nvr-01", "nvr-02"))  # control
    other = image(tiny, site, tmp_path / "3.img")
    assert content(first) != content(other)


@needs_tools
def test_an_image_has_what_a_box_starts_with(tiny: Path, site: Path, tmp_path: Path) -> None:
    path = image(tiny, site, tmp_path / "nvr.img")
    found = json.loads(CliRunner().invoke(app, ["inspect", str(path), "--json"]).output)
    assert [part["name"] for part in found["partitions"]] == [
        "ESP", "EDGE_CONFIG", "rootfs-a", "rootfs-b", "data",
    ]  # fmt: skip
    assert found["slots"]["rootfs-a"]["version"] == "1.2.3"
    assert found["slots"]["rootfs-b"] is None
    assert found["config"] == ["README.txt", "broker-ca.pem", "edge-config.yaml"]
    at = {part["name"]: part["start"] for part in found["partitions"]}
    environment = run("mtype", "-i", f"{path}@@{at['ESP']}", "::/EFI/BOOT/grubenv")
    assert re.findall(r"^\w+=.*$", environment, re.MULTILINE) == [
        "ORDER=A B", "A_OK=1", "A_TRY=0", "B_OK=0", "B_TRY=0",
    ]  # fmt: skip
    assert run("mtype", "-i", f"{path}@@{at['EDGE_CONFIG']}", "::/edge-config.yaml") == SITE
    listing = run("mdir", "-b", "-i", f"{path}@@{at['ESP']}", "::/EFI/BOOT").split()
    assert sorted(Path(name).name for name in listing) == ["BOOTX64.EFI", "grub.cfg", "grubenv"]
    summary = CliRunner().invoke(app, ["inspect", str(path)]).output
    assert "rootfs-b: empty" in summary


@needs_tools
def test_without_a_site_file_the_box_waits_for_one(tiny: Path, tmp_path: Path) -> None:
    path = image(tiny, None, tmp_path / "nvr.img")
    found = json.loads(CliRunner().invoke(app, ["inspect", str(path), "--json"]).output)
    assert found["config"] == ["README.txt"]


@needs_tools
def test_a_site_file_with_a_mistake_makes_no_image(tiny: Path, site: Path, tmp_path: Path) -> None:
    site.write_text(SITE + "netwrk: {}\n")
    out = tmp_path / "nvr.img"
    command = ["image", "--rootfs", str(tiny), "--config", str(site), "--out", str(out)]
    done = CliRunner().invoke(app, command)
    assert "did you mean 'network'?" in str(done.exception)
    assert not out.exists()


@needs_tools
def test_a_place_that_cannot_be_written_to_is_said(tiny: Path) -> None:
    done = CliRunner().invoke(app, ["image", "--rootfs", str(tiny), "--out", "/proc/x/nvr.img"])
    assert isinstance(done.exception, DiskFailed)
    assert str(done.exception) == "cannot write /proc/x: No such file or directory"


def test_a_full_disk_is_exit_code_6(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "/x/root")
    with (
        pytest.raises(DiskFailed, match="cannot write /x/root: No space left") as caught,
        writing(tmp_path / "new" / "nvr.img"),
    ):
        raise full
    assert caught.value.exit_code == 6
    assert (tmp_path / "new").is_dir()


def test_the_card_has_the_files_that_the_site_file_names_and_no_others(site: Path) -> None:
    assert sorted(card_files(site)) == ["broker-ca.pem", "edge-config.yaml"]
    (site.parent / "secrets.yaml").write_text("broker: x\n")
    assert "secrets.yaml" not in card_files(site)
    site.write_text(SITE.replace("8883", "8883, username: u, password: !secret broker"))
    assert sorted(card_files(site)) == ["broker-ca.pem", "edge-config.yaml", "secrets.yaml"]
    (site.parent / "secrets.yaml").unlink()
    (site.parent / "credentials").mkdir()
    (site.parent / "credentials" / "broker").write_text("x")
    with pytest.raises(ConfigError, match=r"expected the secrets in secrets\.yaml"):
        card_files(site)


@pytest.mark.skipif(shutil.which("grub-script-check") is None, reason="GRUB is not installed")
def test_grub_can_read_its_configuration(tmp_path: Path) -> None:
    run("grub-script-check", IMAGE / "grub.cfg")
    broken = tmp_path / "broken.cfg"
    broken.write_text((IMAGE / "grub.cfg").read_text().replace("\nfi\n", "\n", 1))
    with pytest.raises(ToolFailed):  # control
        run("grub-script-check", broken)


def test_every_tool_of_the_overlay_is_in_a_package_of_the_image() -> None:
    """What scripts of the image call, by the package that has it."""
    packages = set(contents()["packages"])
    owners = {
        "openssl": "openssl", "grub-editenv": "grub-common", "rauc": "rauc", "chronyc": "chrony",
        "ip": "iproute2", "nft": "nftables", "dpkg": "dpkg", "awk": "mawk",
    }  # fmt: skip
    essential = {"dpkg", "mawk"}  # of every Debian
    scripts = "\n".join(
        path.read_text() for path in (OVERLAY / "usr/lib/edge").iterdir() if path.is_file()
    )
    used = {name for name in owners if re.search(rf"(?<![\w/.-]){name} ", scripts)}
    assert {"openssl", "rauc", "dpkg"} <= used
    assert {owners[name] for name in used} <= packages | essential


def test_what_names_its_own_time_is_read(tiny: Path, tmp_path: Path) -> None:
    assert time_of_rootfs(tiny) == 1_700_000_000
    deb = tmp_path / "x.deb"
    deb.write_bytes(b"!<arch>\ndebian-binary   1700000001  0     0     100644  4         `\n2.0\n")
    assert time_of_deb(deb) == 1_700_000_001
    for read in (time_of_deb, time_of_rootfs):
        wrong = tmp_path / "wrong"
        wrong.write_bytes(b"hello")
        with pytest.raises(ConfigError, match="expected a"):
            read(wrong)


def test_a_missing_tool_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object, **__: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(subprocess, "run", absent)
    with pytest.raises(ConfigError, match=r"expected the program mcopy, found none; .* mtools"):
        run("mcopy")


def test_nothing_of_the_builder_stays_in_the_image(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in contents()["remove"]:
        path = root / name.replace("*", "x")
        path.mkdir(parents=True) if "." not in path.name else path.parent.mkdir(
            parents=True, exist_ok=True
        )
    mirror = "deb https://user:pass@mirror.example:8081/debian bookworm main\n"
    assert hosts(mirror + "URIs: http://other.example/debian") == {
        "mirror.example", "other.example",
    }  # fmt: skip
    (root / "etc/apt/sources.list").write_text(mirror)
    (root / "etc/hostname").rmdir()
    (root / "etc/hostname").write_text("mirror.example\n")
    assert left_behind(root, hosts(mirror)) == [
        Path("etc/apt/sources.list"), Path("etc/hostname"),
    ]  # fmt: skip
    rootfs._clean(root)
    assert left_behind(root, hosts(mirror)) == []
    assert (root / "var/tmp").stat().st_mode & 0o7777 == 0o1777
    assert (root / "etc/resolv.conf").readlink() == Path("../run/systemd/resolve/resolv.conf")


def test_the_overlay_lies_on_top_with_the_rights_of_a_checkout(tmp_path: Path) -> None:
    over, root = tmp_path / "over", tmp_path / "root"
    (over / "usr/lib").mkdir(parents=True)
    (over / "usr/lib/script").write_text("#!/bin/sh\n")
    (over / "usr/lib/script").chmod(0o775)
    (over / "usr/lib/data").write_text("new")
    (over / "usr/lib/data").chmod(0o664)
    (over / "link").symlink_to("usr/lib/data")
    (root / "usr/lib").mkdir(parents=True)
    (root / "usr/lib/data").write_text("old")
    (root / "link").write_text("old")
    rootfs._lay_over(over, root)
    assert {path.name: path.stat().st_mode & 0o777 for path in (root / "usr/lib").iterdir()} == {
        "script": 0o755,
        "data": 0o644,
    }
    assert (root / "usr/lib/data").read_text() == "new"
    assert (root / "link").readlink() == Path("usr/lib/data")
