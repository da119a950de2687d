"""Makes update bundles, good and hostile ones."""

import subprocess
from pathlib import Path
from random import Random

from authority import Signer, authority, issue

from deploy.image.bundle import make_bundle, manifest

_PAYLOAD_MIB = 8


class Shop:
    """Whoever makes bundles for the boxes of the tests, and those who pretend to.

    Attributes:
        ca: The authority that the boxes trust.
    """

    def __init__(self, work: Path) -> None:
        self._work = work
        self.ca = authority(work, "release-ca")
        self._release = issue(self.ca, work, "release", "signing")

    def bundle(self, name: str, rootfs: Path, version: str) -> Path:
        """Make a bundle as it is meant to be."""
        return self._signed(name, rootfs, manifest(version), self._release)

    def hostile(self, newer: str, older: str) -> dict[str, Path]:
        """Make bundles that must be refused, by what is wrong with them; ``sound`` is the exception.

        Args:
            newer: A version newer than that of the box.
            older: A version older than that of the box.
        """
        payload = self._work / "payload.squashfs"
        payload.write_bytes(Random(0).randbytes(_PAYLOAD_MIB << 20))
        text = manifest(newer)
        stranger = issue(authority(self._work, "strange-ca"), self._work, "stranger", "signing")
        mere = issue(self.ca, self._work, "mere", "broker")
        ended = issue(self.ca, self._work, "ended", "signing", days=5, made_days_ago=10)
        sound = self._signed("sound", payload, text, self._release)
        content = sound.read_bytes()
        middle = len(content) // 2
        return {
            "sound": sound,
            "authority": self._signed("authority", payload, text, stranger),
            "purpose": self._signed("purpose", payload, text, mere),
            "expired": self._signed("expired", payload, text, ended, days_ago=7),
            "box": self._signed("box", payload, manifest(newer, "edge-jetson-orin"), self._release),
            "flipped": self._file(
                "flipped", content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
            ),
            "truncated": self._file("truncated", content[:middle]),
            "downgrade": self._signed("downgrade", payload, manifest(older), self._release),
            "plain": self._plain(payload, newer),
        }

    def _file(self, name: str, content: bytes) -> Path:
        path = self._work / f"{name}.raucb"
        path.write_bytes(content)
        return path

    def _signed(self, name: str, payload: Path, text: str, by: Signer, days_ago: int = 0) -> Path:
        path = self._work / f"{name}.raucb"
        path.unlink(missing_ok=True)
        if days_ago:
            self._rauc(path, payload, text, by, ["faketime", f"{days_ago} days ago"])
        else:
            make_bundle(payload, text, by.certificate, by.key, path)
        return path

    def _plain(self, payload: Path, version: str) -> Path:
        path = self._work / "plain.raucb"
        path.unlink(missing_ok=True)
        self._rauc(
            path,
            payload,
            manifest(version).replace("format=verity", "format=plain"),
            self._release,
            [],
        )
        return path

    def _rauc(self, path: Path, payload: Path, text: str, by: Signer, before: list[str]) -> None:
        content = path.with_suffix(".content")
        content.mkdir(exist_ok=True)
        (content / "rootfs.squashfs").unlink(missing_ok=True)
        (content / "rootfs.squashfs").hardlink_to(payload)
        (content / "manifest.raucm").write_text(text)
        subprocess.run(
            [*before, "rauc", "bundle", f"--cert={by.certificate}", f"--key={by.key}", content, path],
            check=True, capture_output=True,
        )  # fmt: skip
