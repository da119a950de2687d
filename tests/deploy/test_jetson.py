"""From a board support package to NVIDIA's tools: their order, their options, and what is refused.

The package is a fake with recording stubs (``fake_bsp``); no Jetson and none of NVIDIA's tools are here.
"""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_bsp import PARTITIONS, calls, fake_bsp, layout
from typer.testing import CliRunner, Result

from deploy.cli import app
from deploy.jetson import command
from deploy.jetson.bsp import open_bsp, recovering
from deploy.jetson.layout import Sizes, faults, with_data
from deploy.jetson.steps import OVERLAY, mounts
from edge.errors import ConfigError, EdgeError

GIB = 1 << 30
SIZES = Sizes(57 * GIB, 24 * GIB, 4 * GIB)
FLASH = "./tools/kernel_flash/l4t_initrd_flash.sh"
QSPI = "-c bootloader/generic/cfg/flash_t234_qspi.xml"


@pytest.fixture
def bsp(tmp_path: Path) -> Path:
    return fake_bsp(tmp_path)


@pytest.fixture
def deb(tmp_path: Path) -> Path:
    path = tmp_path / "edge-runtime_0.1.0_arm64.deb"
    path.write_bytes(b"!<arch>\ndebian-binary")
    return path


@pytest.fixture
def flash(bsp: Path, deb: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """``edge-flash jetson`` as root, with one Jetson in recovery mode."""
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(command, "recovering", lambda: ["1-2"])

    def run(*words: str, board: str = "jetson-orin-nano-devkit", package: Path = bsp) -> Result:
        options = ["--bsp", str(package), "--board", board, "--deb", str(deb)]
        return CliRunner().invoke(app, ["jetson", *options, *words])

    return run


# The order and the options


def test_nvidias_packages_come_first_then_ours_then_the_flash(
    flash: Callable[..., Result], bsp: Path, tmp_path: Path
) -> None:
    config = tmp_path / "site.yaml"
    config.write_text("device: {id: nvr-01}\n")
    done = flash("--config", str(config))
    assert done.exit_code == 0, done.output
    assert calls(bsp) == [
        ["./apply_binaries.sh", [], {}, str(bsp)],
        [
            FLASH,
            ["--external-device", "nvme0n1p1",
             "-c", "tools/kernel_flash/edge_flash_l4t_t234_nvme_rootfs_ab.xml", "-p", QSPI,
             "-S", "24GiB", "--showlogs", "--network", "usb0",
             "jetson-orin-nano-devkit", "external"],
            {"ROOTFS_AB": "1", "ROOTFS_RETRY_COUNT_MAX": "3"},
            str(bsp),
        ],
    ]  # fmt: skip
    rootfs = bsp / "rootfs"
    assert (rootfs / "etc/edge/edge.yaml").read_text() == "device: {id: nvr-01}\n"
    assert (rootfs / "etc/edge/edge.yaml").stat().st_mode & 0o777 == 0o640
    assert (rootfs / "usr/share/edge/packages/edge-runtime_0.1.0_arm64.deb").is_file()
    assert (rootfs / "usr/lib/edge/install-packages").stat().st_mode & 0o111
    assert "DeviceAllow" in (rootfs / "etc/systemd/system/edge.service.d/jetson.conf").read_text()
    started = rootfs / "etc/systemd/system/multi-user.target.wants/edge-packages.service"
    assert (rootfs / str(started.readlink()).lstrip("/")).is_file()
    assert str((rootfs / "etc/systemd/system/ssh.service").readlink()) == "/dev/null"
    ours = (bsp / "tools/kernel_flash/edge_flash_l4t_t234_nvme_rootfs_ab.xml").read_text()
    assert faults(ours, SIZES) == []


@pytest.mark.parametrize(
    ("board", "storage", "options"),
    [
        ("jetson-orin-nano-devkit", "usb", ["--external-device", "sda1", "-p", QSPI, "external"]),
        ("jetson-agx-orin-devkit", "nvme", ["--external-device", "nvme0n1p1", "external"]),
        (
            "jetson-agx-orin-devkit",
            "emmc",
            [
                "-p",
                "-c bootloader/generic/cfg/edge_flash_t234_qspi_sdmmc_rootfs_ab.xml",
                "internal",
            ],
        ),
        (
            "jetson-agx-thor-devkit",
            "nvme",
            ["-c", "tools/kernel_flash/edge_flash_l4t_t264_nvme_rootfs_ab.xml", "external"],
        ),
    ],
)
def test_each_board_and_disk_has_its_options(
    flash: Callable[..., Result], bsp: Path, board: str, storage: str, options: list[str]
) -> None:
    done = flash("--storage", storage, board=board)
    assert done.exit_code == 0, done.output
    words = calls(bsp)[-1][1]
    assert set(options) <= set(words)
    assert (QSPI in words) == ("nano" in board)
    assert (words[-2], "--external-device" in words) == (board, storage != "emmc")


def test_nvidias_packages_are_not_installed_twice(flash: Callable[..., Result], bsp: Path) -> None:
    (bsp / "rootfs/etc/nv_tegra_release").write_text("# R39 (release)\n")
    assert flash().exit_code == 0
    assert [call[0] for call in calls(bsp)] == [FLASH]


def test_a_second_run_leaves_one_line_in_fstab(flash: Callable[..., Result], bsp: Path) -> None:
    assert (flash().exit_code, flash().exit_code) == (0, 0)
    text = (bsp / "rootfs/etc/fstab").read_text()
    assert (text.count("edge_data"), text.count("/dev/root")) == (1, 1)
    assert mounts(text) == text


def test_a_dry_run_shows_the_commands_and_touches_nothing(
    flash: Callable[..., Result], bsp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr(command, "recovering", list)
    before = {path: path.stat().st_mtime_ns for path in bsp.rglob("*")}
    done = flash("--dry-run")
    assert done.exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in bsp.rglob("*")} == before
    lines = done.output.splitlines()
    assert lines[:2] == [f"cd {bsp}", "sudo ./apply_binaries.sh"]
    assert lines[-1].startswith(f"sudo ROOTFS_AB=1 ROOTFS_RETRY_COUNT_MAX=3 {FLASH} ")
    assert f"-p '{QSPI}'" in lines[-1]


def test_a_tool_that_fails_is_the_last(
    flash: Callable[..., Result], bsp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_FAILS", "apply_binaries.sh")
    done = flash()
    assert isinstance(done.exception, EdgeError)
    assert "./apply_binaries.sh: exit code 1" in str(done.exception)
    assert [call[0] for call in calls(bsp)] == ["./apply_binaries.sh"]
    assert not (bsp / "rootfs/usr/lib/edge").exists()


# What is refused, before anything is done


def break_(bsp: Path, name: str) -> None:
    path = bsp / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda bsp: break_(bsp, "nv_tegra"), "expected Linux_for_Tegra of NVIDIA's Jetson Linux"),
        (
            lambda bsp: (bsp / "nv_tegra/bsp_version").write_text("BSP_BRANCH=36\nBSP_MAJOR=4\nBSP_MINOR=3\n"),
            "expected release 38 to 39",
        ),
        (lambda bsp: (bsp / "nv_tegra/bsp_version").write_text("no version"), "bsp_version"),
        (lambda bsp: break_(bsp, "apply_binaries.sh"), "apply_binaries.sh: expected a program"),
        (
            lambda bsp: (bsp / "tools/kernel_flash/l4t_initrd_flash.sh").chmod(0o644),
            "l4t_initrd_flash.sh: expected a program",
        ),
        (lambda bsp: break_(bsp, "rootfs"), "expected NVIDIA's root file system, found none"),
        (
            lambda bsp: (bsp / "rootfs/usr/bin/dash").write_bytes(b"\x7fELF" + bytes(14) + b"\x3e\x00"),
            "expected a root file system for arm64",
        ),
        (
            lambda bsp: break_(bsp, "tools/kernel_flash/flash_l4t_t234_nvme_rootfs_ab.xml"),
            "expected NVIDIA's layout",
        ),
        (
            lambda bsp: (bsp / "tools/kernel_flash/flash_l4t_t234_nvme_rootfs_ab.xml").write_text("<a>"),
            "expected a partition layout in XML",
        ),
    ],
)  # fmt: skip
def test_a_package_that_lacks_something_is_refused(
    flash: Callable[..., Result], bsp: Path, spoil: Callable[[Path], Any], words: str
) -> None:
    spoil(bsp)
    done = flash()
    assert isinstance(done.exception, ConfigError)
    assert words in str(done.exception)
    assert calls(bsp) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"board": "jetson-nano"}, "such as jetson-agx-orin-devkit"),
        ({"board": "../x"}, "expected a board"),
        ({"words": ["--deb", "missing.deb"]}, "missing.deb: expected a package"),
        ({"words": ["--deb", __file__]}, "expected a Debian package for arm64"),
        ({"words": ["--config", "missing.yaml"]}, "missing.yaml: expected a file"),
        ({"words": ["--slot", "28"]}, "expected 61203283968 bytes at most in all partitions"),
        (
            {"words": ["--storage", "emmc"], "board": "jetson-agx-thor-devkit"},
            "expected nvme or usb, as a Thor has no eMMC",
        ),
    ],
)
def test_a_wrong_argument_is_refused(
    flash: Callable[..., Result], bsp: Path, options: dict[str, Any], words: str
) -> None:
    done = flash(*options.pop("words", []), **options)
    assert isinstance(done.exception, ConfigError)
    assert words in str(done.exception)
    assert calls(bsp) == []


@pytest.mark.parametrize("count", [0, 2])
def test_one_jetson_in_recovery_mode_is_flashed_and_no_other(
    flash: Callable[..., Result], bsp: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(command, "recovering", lambda: ["1-1", "1-2"][:count])
    assert f"in recovery mode at USB, found {count}" in str(flash().exception)
    assert calls(bsp) == []


def test_who_is_not_root_is_asked_to_be(
    flash: Callable[..., Result], bsp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert "expected root" in str(flash().exception)
    assert calls(bsp) == []


def test_a_link_out_of_the_root_file_system_is_not_followed(
    flash: Callable[..., Result], bsp: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "etc"
    outside.mkdir()
    (bsp / "rootfs/etc/systemd").symlink_to(outside)
    assert "found a link out of it" in str(flash().exception)
    assert list(outside.iterdir()) == []
    assert [call[0] for call in calls(bsp)] == ["./apply_binaries.sh"]


def test_jetsons_are_found_by_what_the_kernel_says(tmp_path: Path) -> None:
    for port, vendor, product in (
        ("1-1", "0955", "APX"), ("1-2", "0955", "Linux for Tegra"), ("2-1", "1d6b", "APX"),
    ):  # fmt: skip
        (tmp_path / port).mkdir()
        (tmp_path / port / "idVendor").write_text(f"{vendor}\n")
        (tmp_path / port / "product").write_text(f"{product}\n")
    (tmp_path / "usb1").mkdir()
    assert recovering(tmp_path) == ["1-1"]


def test_the_folder_above_is_understood(bsp: Path) -> None:
    assert open_bsp(bsp.parent) == open_bsp(bsp)


# Layouts


def changed(which: str, **new: str) -> str:
    """The layout with a change to one partition: ``size``, ``more``, or another ``name``."""
    rows = [
        (new.get("name", one), new.get("more", more), new.get("size", size))
        if one == which
        else (one, more, size)
        for one, more, size in PARTITIONS
    ]
    return with_data(layout(rows), SIZES.data)


def test_our_partition_comes_before_the_root_file_systems() -> None:
    text = with_data(layout(), SIZES.data)
    assert faults(text, SIZES) == []
    assert text.index('"reserved"') < text.index('"edge_data"') < text.index('"APP"')
    assert text.replace("<!-- of NVIDIA -->", "") != text
    ours = text.index('        <partition name="edge_data"')
    end = text.index("</partition>\n", ours) + len("</partition>\n")
    assert text[:ours] + text[end:] == layout()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (changed("APP", more='id="4" '), "APP: expected the id 1, found 4"),
        (changed("APP_b", more=""), "APP_b: expected the id 2, found None"),
        (changed("APP_b", size="1024"), "APP, APP_b: expected one size"),
        (changed("B_kernel", size="512"), "A_kernel, B_kernel: expected one size"),
        (changed("B_kernel", name="kernel"), "A_kernel: expected its pair B_kernel, found none"),
        (changed("A_kernel-dtb", name="x"), "B_kernel-dtb: expected its pair A_kernel-dtb"),
        (changed("UDA", size="1000"), "UDA: expected a multiple of 512 bytes"),
        (changed("UDA", name="esp"), "expected each name once"),
        (changed("reserved", size=str(9 * GIB)), "bytes at most in all partitions, found"),
        (layout(), f"edge_data: expected {4 * GIB} bytes, found None"),
    ],
)
def test_a_layout_that_would_not_boot_twice_is_seen(text: str, words: str) -> None:
    assert words in "\n".join(faults(text, SIZES))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "in XML"),
        ("<partition_layout/>", "two root file systems"),
        (layout(PARTITIONS[:-2]), "two root file systems"),
        (with_data(layout(), 512), "has edge_data already"),
    ],
)
def test_what_is_no_such_layout_is_refused(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        with_data(text, SIZES.data)


def test_a_size_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="UDA: expected a size in bytes, found 'UDASIZE'"):
        faults(changed("UDA", size="UDASIZE"), SIZES)


# What runs on the box at its first boot


def installing(tmp_path: Path, *, fails: bool = False) -> subprocess.CompletedProcess[str]:
    """``install-packages`` with recording stubs of dpkg and systemctl."""
    tools = tmp_path / "tools"
    tools.mkdir(exist_ok=True)
    for name in ("dpkg", "chgrp", "systemctl"):
        stub = tools / name
        stub.write_text(f'#!/bin/sh\necho "{name} $*"\nexit {int(fails)}\n')
        stub.chmod(0o755)
    return subprocess.run(
        ["/bin/sh", OVERLAY / "usr/lib/edge/install-packages", tmp_path / "packages",
         tmp_path / "edge.yaml"],
        env={"PATH": f"{tools}:/usr/bin:/bin"}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_first_boot_installs_the_packages_once_and_keeps_the_configuration(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "packages"
    folder.mkdir()
    for name in ("a_arm64.deb", "b_all.deb"):
        (folder / name).touch()
    (tmp_path / "edge.yaml").touch()
    first = installing(tmp_path)
    assert first.stdout.splitlines() == [
        f"dpkg --force-confold --install {folder}/a_arm64.deb {folder}/b_all.deb",
        f"chgrp edge {tmp_path}/edge.yaml",
        "systemctl daemon-reload",
        "systemctl --no-block start edge.service",
    ]
    assert sorted(path.name for path in (folder / "installed").iterdir()) == [
        "a_arm64.deb",
        "b_all.deb",
    ]
    assert (installing(tmp_path).stdout, installing(tmp_path).returncode) == ("", 0)


def test_an_installation_that_failed_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "a_arm64.deb").touch()
    assert installing(tmp_path, fails=True).returncode != 0
    assert "dpkg" in installing(tmp_path).stdout


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_the_scripts_are_sound() -> None:
    scripts = [OVERLAY / "usr/lib/edge/install-packages",
               Path(__file__).parents[2] / "deploy/container/certificates.sh"]  # fmt: skip
    for script in scripts:
        assert subprocess.run(["sh", "-n", script], check=False).returncode == 0
    done = subprocess.run(["shellcheck", *scripts], capture_output=True, text=True, check=False)
    assert done.stdout == ""


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_the_unit_is_one_that_systemd_reads(tmp_path: Path) -> None:
    unit = tmp_path / "edge-packages.service"
    text = (OVERLAY / "usr/lib/systemd/system/edge-packages.service").read_text()
    unit.write_text(text.replace("/usr/lib/edge/install-packages", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False
    )
    assert "edge-packages" not in done.stderr
