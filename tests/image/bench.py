"""What the rows work with: the shipped image, images of the tests, and one box that goes from row to row."""

import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from bundles import Shop
from disk import Patch, Tree, copy, fat_stick, layer, partitions
from guest import Guest
from host import Host
from tiny_bundle import tiny_bundle

AGENT = Path(__file__).parent / "agent"
_BUNDLE = "usr/share/edge/bundle"
DISK = "8G"  # larger than the image: the data partition has to grow
ACCEPTED = r"EDGE-GATE slot=([AB]) accepted: .*"
OLDER, OWN = "0.9.0", "1.0.0"
# Versions of the updates by what is wrong with them, in the order of the rows.
UPDATES = {
    "good": "2.0.0",
    "unhealthy": "3.0.0",
    "unhealthy without a gate": "3.1.0",
    "panic": "3.2.0",
    "hang": "3.3.0",
    "no network": "3.4.0",
}
# A box of the tests does not wait as long for a daemon or a network that will never come.
_HASTY_GATE = {
    "usr/lib/systemd/system/edge-health.service.d/test.conf": Patch(
        b"[Service]\nEnvironment=EDGE_GATE_ALLOWED=40 EDGE_GATE_STEADY=5\n"
    )
}
_PANIC = b"[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo c >/proc/sysrq-trigger'\n"
_HANG = (
    b"[Unit]\nDefaultDependencies=no\nBefore=sysinit.target\n"
    b"[Service]\nType=oneshot\nTimeoutStartSec=infinity\nExecStart=/bin/sleep infinity\n"
)
_NO_UNIT = Patch(link="/dev/null")


def _at_the_start(unit: bytes) -> dict[str, Patch]:
    name = "edge-test-fault.service"
    return {
        f"usr/lib/systemd/system/{name}": Patch(unit),
        f"etc/systemd/system/sysinit.target.wants/{name}": Patch(
            link=f"/usr/lib/systemd/system/{name}"
        ),
    }


def _flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


class Bench:
    """The workshop of one run.

    Args:
        image: The image that is shipped.
        work: Folder for everything that is made.

    Attributes:
        host: Camera, broker and clock of the site.
        shop: Makes bundles.
        flashed: The box of the shipped image, once it has started.
    """

    def __init__(self, image: Path, work: Path) -> None:
        self.image, self.work = image, work
        work.mkdir(parents=True, exist_ok=True)
        self.shop = Shop(work / "shop")
        self.host = Host(work / "host")
        self.flashed: Guest | None = None
        self._box: Guest | None = None
        self._started: Guest | None = None
        self._maker = ThreadPoolExecutor(1)
        self._updates: dict[str, Future[Path]] = {}

    def close(self) -> None:
        """Switch everything off."""
        self._maker.shutdown(cancel_futures=True)
        self.give_up()
        if self.flashed is not None:
            self.flashed.cut()

    @cached_property
    def shipped(self) -> Tree:
        """The root of the shipped image."""
        packed = partitions(self.image)["rootfs-a"].copy_out(self.work / "shipped.squashfs")
        return Tree.of(packed, self.work / "shipped")

    @cached_property
    def own(self) -> Tree:
        """The shipped root with the agent, the tests' authority, a version, and a model of kilobytes."""
        unit = "edge-test-agent.service"
        tiny_bundle(self.work / "tiny")
        model = {
            f"{_BUNDLE}/{path.name}": Patch(path.read_bytes())
            for path in (self.work / "tiny").iterdir()
        }
        agent = {
            "usr/lib/edge-test/agent.py": Patch((AGENT / "agent.py").read_bytes()),
            f"usr/lib/systemd/system/{unit}": Patch((AGENT / unit).read_bytes()),
            f"etc/systemd/system/sysinit.target.wants/{unit}": Patch(
                link=f"/usr/lib/systemd/system/{unit}"
            ),
        }
        keyring = {"etc/rauc/keyring.pem": Patch(self.shop.ca.certificate.read_bytes())}
        files = model | agent | keyring | self._version(self.shipped, OWN)
        return self.shipped.variant(files, self.work / "own", without=[_BUNDLE])

    def update(self, name: str) -> Path:
        """The bundle of an update. The next one is begun: the emulator leaves a processor idle."""
        made = self._begun(name)
        for following in [*UPDATES][[*UPDATES].index(name) + 1 :][:1]:
            self._begun(following)
        return made.result()

    def _begun(self, name: str) -> Future[Path]:
        if name not in self._updates:
            self._updates[name] = self._maker.submit(self._make_update, name)
        return self._updates[name]

    def _make_update(self, name: str) -> Path:
        files = self._version(self.own, UPDATES[name]) | self._fault(name)
        stem = name.replace(" ", "-")
        tree = self.own.variant(files, self.work / stem)
        packed = tree.squashfs(self.work / f"{stem}.squashfs")
        shutil.rmtree(tree.folder)
        bundle = self.shop.bundle(stem, packed, UPDATES[name])
        packed.unlink()
        return bundle

    def _fault(self, name: str) -> dict[str, Patch]:
        """The files of an update that are not as they should be."""
        broken = {
            name: Patch(_flipped(self.own.read(name)))
            for name in (f"{_BUNDLE}/image.fp32.onnx", f"{_BUNDLE}/image.int8.onnx")
        }
        hasty_deadline = Patch(b"[Timer]\nOnBootSec=\nOnBootSec=90\n")
        gone = {
            "etc/systemd/system/edge-health.service": _NO_UNIT,
            "etc/systemd/system/edge-deadline.timer": _NO_UNIT,
        }
        faults: dict[str, dict[str, Patch]] = {
            "good": {},
            "unhealthy": broken | _HASTY_GATE,
            "panic": _at_the_start(_PANIC),
            "hang": _at_the_start(_HANG)
            | {"usr/lib/systemd/system/edge-deadline.timer.d/test.conf": hasty_deadline},
            "no network": {"etc/systemd/system/systemd-networkd.service": _NO_UNIT} | _HASTY_GATE,
            "unhealthy without a gate": broken | gone,
        }
        return faults[name]

    @cached_property
    def _shipped_disk(self) -> Path:
        """The shipped image, with its settings as an installer writes them.

        An emulated processor would take an hour to find the fastest variant of the shipped model.
        """
        raw = copy(self.image, self.work / "shipped.img")
        site = self.host.site(engine={"kind": "openvino", "precision": "int8"})
        partitions(raw)["EDGE_CONFIG"].put_fat("edge-config.yaml", site)
        return raw

    @cached_property
    def _own_disk(self) -> Path:
        """The image of the tests, with its settings."""
        raw = copy(self._shipped_disk, self.work / "own.img")
        parts = partitions(raw)
        packed = self.own.squashfs(self.work / "own.squashfs")
        parts["rootfs-a"].copy_in(packed)
        packed.unlink()
        parts["EDGE_CONFIG"].put_fat(
            "edge-config.yaml", self.host.site(engine={"kind": "openvino"})
        )
        return raw

    def new_box(self, name: str, *, own: bool = True) -> Guest:
        """Flash another disk, of the tests' image or of the shipped one; the box is still off."""
        folder = self.work / name
        shutil.rmtree(folder, ignore_errors=True)
        disk = layer(self._own_disk if own else self._shipped_disk, folder / "disk.qcow2", DISK)
        return Guest(disk, folder)

    def box(self) -> Guest:
        """The running box, in an accepted slot; after a row that spoilt it, as it was after its first start."""
        if self._box is None:
            self.host.start_broker()
            if self._started is None:
                self._started = self._first_start()
            else:
                self._started.restore()
            self._box = self._started
        return self._box

    def _first_start(self) -> Guest:
        guest = self.new_box("box")
        guest.power_on()
        guest.wait(ACCEPTED, "edge: edge-config.yaml is accepted")
        healthy(guest)
        guest.save()
        return guest

    def give_up(self) -> None:
        """Switch the box off; the next row begins with the snapshot of its first start."""
        if self._box is not None:
            self._box.cut()
            self._box = None

    def update_stick(self, *files: Path) -> Path:
        """Make a stick that the box installs from by itself."""
        return fat_stick(self.work / "update.img", "EDGE_UPDATE", files)

    @contextmanager
    def bundles(self, guest: Guest, *files: Path) -> Iterator[Path]:
        """Give the box bundles on a stick that it does nothing with by itself; their folder in the box."""
        guest.plug(fat_stick(self.work / "bundles.img", "BUNDLES", files))
        device, folder = "/dev/disk/by-label/BUNDLES", Path("/run/bundles")
        guest.check(f"for _ in $(seq 300); do [ -e {device} ] && exit 0; sleep 1; done; exit 1")
        guest.check(f"mkdir -p {folder} && mount -o ro {device} {folder}")
        yield folder
        guest.check(f"umount {folder}")
        guest.unplug()

    @staticmethod
    def _version(tree: Tree, version: str) -> dict[str, Patch]:
        lines = tree.read("usr/lib/os-release").decode().splitlines()
        kept = [line for line in lines if not line.startswith("IMAGE_VERSION=")]
        return {
            "usr/lib/os-release": Patch(
                "\n".join([*kept, f'IMAGE_VERSION="{version}"', ""]).encode()
            )
        }


def healthy(guest: Guest) -> str:
    """Wait until the daemon is healthy, as ``edge health`` says."""
    ask = "edge health /etc/edge/edge.yaml --wait 60"
    return guest.check(
        f"for _ in $(seq 15); do {ask} && exit 0; sleep 2; done; exit 1", 1200
    ).strip()


def slot(guest: Guest) -> str:
    """The slot that runs: A or B."""
    return guest.check(r"sed -n 's/.*rauc\.slot=\([AB]\).*/\1/p' /proc/cmdline").strip()


def restart(guest: Guest) -> None:
    """Ask the box to start again, as an update does."""
    guest.check("systemctl reboot --no-block")
