"""What the rows work with: a box that goes from row to row, and the site around it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from disk import fat_stick, layer
from guest import Guest
from host import Host
from workshop import Workshop

DISK = "8G"  # larger than the image: the data partition has to grow
ACCEPTED = r"EDGE-GATE slot=([AB]) accepted: .*"


class Bench:
    """A place for one box at a time: what is around it in its network, and its disks.

    Args:
        workshop: What boxes are made from.
        work: Folder of this place.

    Attributes:
        host: Camera, broker and clock of the site.
        flashed: The box of the shipped image, once it has started.
        pictures: Folder for what screens at the boxes show (docs/install.md).
    """

    def __init__(self, workshop: Workshop, work: Path) -> None:
        self.workshop, self._work = workshop, work
        self.host = Host(work / "host")
        self.flashed: Guest | None = None
        self.pictures = workshop.work / "pictures"
        self._box: Guest | None = None
        self._started: Guest | None = None

    def close(self) -> None:
        """Switch everything off."""
        self.give_up()
        if self.flashed is not None:
            self.flashed.cut()

    @cached_property
    def _shipped_disk(self) -> Path:
        # An emulated processor would take an hour to find the fastest variant of the shipped model.
        site = self.host.site(engine={"kind": "openvino", "precision": "int8"})
        return self.workshop.disk(self._work / "shipped.img", site, own=False)

    @property
    def settings(self) -> str:
        """The file ``edge-config.yaml`` of the boxes of the tests' image."""
        return self.host.site(engine={"kind": "openvino"})

    @cached_property
    def _own_disk(self) -> Path:
        return self.workshop.disk(self._work / "own.img", self.settings, own=True)

    def new_box(self, name: str, *, own: bool = True) -> Guest:
        """Flash another disk, of the tests' image or of the shipped one; the box is still off."""
        folder = self._work / name
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
        return fat_stick(self._work / "update.img", "EDGE_UPDATE", files)

    def backup_stick(self, settings: str) -> Path:
        """Make a stick that takes a backup of the box with these settings."""
        path = self._work / "edge-config.yaml"
        path.write_text(settings)
        return fat_stick(self._work / "backup.img", "EDGE_BACKUP", [path])

    @contextmanager
    def bundles(self, guest: Guest, *files: Path) -> Iterator[Path]:
        """Give the box bundles on a stick that it does nothing with by itself; their folder in the box."""
        guest.plug(fat_stick(self._work / "bundles.img", "BUNDLES", files))
        device, folder = "/dev/disk/by-label/BUNDLES", Path("/run/bundles")
        guest.check(f"for _ in $(seq 300); do [ -e {device} ] && exit 0; sleep 1; done; exit 1")
        guest.check(f"mkdir -p {folder} && mount -o ro {device} {folder}")
        yield folder
        guest.check(f"umount {folder}")
        guest.unplug()


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
