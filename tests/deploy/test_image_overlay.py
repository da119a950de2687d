"""The files that the image's root gets: units without cycles, scripts without slips, no way in."""

import shutil
import subprocess
from pathlib import Path

import pytest

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
OVERLAY = DEPLOY / "image" / "overlay"
SYSTEM = Path("/lib/systemd/system")
# What the units of the overlay name and this machine need not have.
FOREIGN = {
    "nftables.service": "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=sysinit.target\n",
    "chrony.service": "[Unit]\nAfter=network.target\n[Service]\nExecStart=/bin/true\n"
    "[Install]\nWantedBy=multi-user.target\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with the units of systemd, of the daemon and of the overlay, enabled as in the image."""
    root = tmp_path / "root"
    shutil.copytree(OVERLAY, root, symlinks=True)
    units = root / "usr" / "lib" / "systemd" / "system"
    shutil.copytree(SYSTEM, units, symlinks=True, dirs_exist_ok=True)
    shutil.copy(DEPLOY / "units" / "edge.service", units)
    for name, text in FOREIGN.items():
        (units / name).write_text(text)
    (root / "lib").symlink_to("usr/lib")
    for command in ("usr/bin/edge", "usr/bin/mkdir", "bin/true", "bin/sh"):
        path = root / command
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    subprocess.run(["systemctl", f"--root={root}", "preset-all"], check=True, capture_output=True)
    return root


def complaints(root: Path) -> list[str]:
    """What systemd says of the whole start, as far as it concerns the box's own units."""
    names = [p.name for p in (OVERLAY / "usr/lib/systemd/system").iterdir() if p.is_file()]
    shown = [name.replace("@.", "@sdb1.") for name in names]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", f"--root={root}", "multi-user.target", *shown],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = done.stderr.splitlines()
    return [line for line in lines if "edge" in line or "cycle" in line]


def test_the_whole_start_has_no_ordering_cycle_and_every_unit_is_sound(root: Path) -> None:
    assert complaints(root) == []


def test_a_gate_that_waits_for_the_end_of_the_start_would_be_seen(root: Path) -> None:
    gate = root / "usr/lib/systemd/system/edge-health.service"
    gate.write_text(
        gate.read_text().replace(
            "[Unit]\n", "[Unit]\nAfter=multi-user.target\nBefore=edge.service\n", 1
        )
    )
    assert any("cycle" in line for line in complaints(root))


def test_everything_the_box_needs_starts_and_nothing_else_does(root: Path) -> None:
    wanted = {
        link.name
        for folder in (root / "etc/systemd/system").glob("*.wants")
        for link in folder.iterdir()
    }
    assert {
        "edge.service", "edge-config.service", "edge-identity.service",
        "edge-health.service", "edge-deadline.timer", "chrony.service", "nftables.service",
        "systemd-networkd.service",
    } <= wanted  # fmt: skip
    assert not {name for name in wanted if "getty" in name or "ssh" in name or "apt" in name}


def test_nobody_logs_in() -> None:
    for unit in ("getty@", "serial-getty@", "console-getty"):
        assert (OVERLAY / f"etc/systemd/system/{unit}.service").readlink() == Path("/dev/null")


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="needs shellcheck")
def test_the_scripts_have_no_slips() -> None:
    scripts = [path for path in (OVERLAY / "usr/lib/edge").iterdir() if path.is_file()]
    shells = [
        path for path in scripts if path.suffix == ".sh" or path.read_text().startswith("#!/bin/sh")
    ]
    subprocess.run(["shellcheck", "--exclude=SC1091", *shells], check=True)
    assert all(path.stat().st_mode & 0o111 for path in shells if path.suffix != ".sh")
