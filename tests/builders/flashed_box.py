"""A folder that stands for a flashed box: the image's own scripts; edge, systemctl, rauc, ip and mounts are doubles."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[2] / "deploy/image/overlay/usr/lib/edge"
# Each double writes down how it was called, and says what the files of the box say.
DOUBLES = {
    "edge": "cat health; grep -q '^healthy' health",
    "systemctl": 'case "$*" in *InvocationID*) head -n 1 runs; sed -i 1d runs ;; *) echo "systemctl $*" >>calls ;; esac',
    "rauc": 'echo "rauc $*" >>calls',
    "ip": "cat address",
    "grub-editenv": "cat grubenv",
    "sleep": ":",
    "mount": ":",
    "mountpoint": "false",
    "timeout": "exit 124",
    "umount": ":",
}


@dataclass
class Box:
    """A box whose slot is A unless its command line says otherwise."""

    folder: Path

    def set(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def has(self, name: str) -> bool:
        return (self.folder / name).exists()

    def run(self, script: str, *arguments: str, **environment: str) -> int:
        self.set("calls", "")
        path = f"{self.folder}/bin:/usr/bin:/bin"
        done = subprocess.run(
            [self.folder / "usr/lib/edge" / script, *arguments], cwd=self.folder, check=False, timeout=60,
            env={"PATH": path, "EDGE_GATE_ALLOWED": "6", **environment},
        )  # fmt: skip
        return done.returncode

    @property
    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text().splitlines()

    @property
    def console(self) -> str:
        return (self.folder / "dev/ttyS0").read_text()


def flashed_box(folder: Path) -> Box:
    """Lay out the scripts, the doubles, and what a healthy box in slot A says."""
    box = Box(folder)
    for script in SCRIPTS.iterdir():
        text = script.read_text()
        for root in (
            "/usr/lib/edge",
            "/data/",
            "/run/edge",
            "/proc/",
            "/sys/",
            "/dev/",
            "/boot/",
            "/etc/os",
            "/etc/edge",
            "/var/lib/edge",
        ):
            text = text.replace(root, f"{folder}{root}")
        text = text.replace("/usr/bin/edge ", f"{folder}/bin/edge ")
        box.set(f"usr/lib/edge/{script.name}", text)
        (folder / "usr/lib/edge" / script.name).chmod(0o755)
    for name, body in DOUBLES.items():
        box.set(f"bin/{name}", f"#!/bin/sh\n{body}\n")
        (folder / "bin" / name).chmod(0o755)
    for name in ("data/update", "run/edge", "boot"):
        (folder / name).mkdir(parents=True)
    box.set("proc/cmdline", "quiet rauc.slot=A panic=10\n")
    box.set("sys/class/tty/console/active", "ttyS0\n")
    box.set("dev/ttyS0", "")
    box.set("health", "healthy: int8 on openvino, golden frames embedded 3 s ago\n")
    box.set("runs", "one\none\n")
    box.set("address", "enp1s0 UP 192.168.1.20/24\n")
    box.set("etc/os-release", 'IMAGE_VERSION="1.4.0"\n')
    box.set("grubenv", "A_OK=1\nB_OK=0\n")
    return box
