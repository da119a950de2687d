"""What the boxes are made from: the shipped image, images of the tests, good and bad updates."""

import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from bundles import Shop
from disk import Patch, Tree, copy, partitions
from tiny_bundle import tiny_bundle

AGENT = Path(__file__).parent / "agent"
_BUNDLE = "usr/share/edge/bundle"
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


class Workshop:
    """What is made once, for all boxes.

    Args:
        image: The image that is shipped.
        work: Folder for everything that is made.

    Attributes:
        shop: Makes bundles.
        shipped: The root of the shipped image.
        own: The same with the agent, the tests' authority, a version, and a model of kilobytes.
    """

    def __init__(self, image: Path, work: Path) -> None:
        self.image, self.work = image, work
        work.mkdir(parents=True, exist_ok=True)
        self.shop = Shop(work / "shop")
        packed = partitions(image)["rootfs-a"].copy_out(work / "shipped.squashfs")
        self.shipped = Tree.of(packed, work / "shipped")
        packed.unlink()
        self.own = self._made_own()
        self._own_root = self.own.squashfs(work / "own.squashfs")
        self._maker = ThreadPoolExecutor(1)
        self._updates: dict[str, Future[Path]] = {}

    def close(self) -> None:
        """Make nothing more."""
        self._maker.shutdown(cancel_futures=True)

    def update(self, name: str) -> Path:
        """The bundle of an update."""
        return self.begin(name).result()

    def begin(self, name: str) -> Future[Path]:
        """Make the bundle of an update, one after the other, while the rows go on."""
        if name not in self._updates:
            self._updates[name] = self._maker.submit(self._make_update, name)
        return self._updates[name]

    def disk(self, path: Path, site: str, *, own: bool) -> Path:
        """Make a disk of the shipped image, or of the tests' one, with settings as an installer writes them."""
        raw = copy(self.image, path)
        parts = partitions(raw)
        if own:
            parts["rootfs-a"].copy_in(self._own_root)
        parts["EDGE_CONFIG"].put_fat("edge-config.yaml", site)
        return raw

    def _made_own(self) -> Tree:
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

    @staticmethod
    def _version(tree: Tree, version: str) -> dict[str, Patch]:
        lines = tree.read("usr/lib/os-release").decode().splitlines()
        kept = [line for line in lines if not line.startswith("IMAGE_VERSION=")]
        return {
            "usr/lib/os-release": Patch(
                "\n".join([*kept, f'IMAGE_VERSION="{version}"', ""]).encode()
            )
        }
