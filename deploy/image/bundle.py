"""Makes and reads the signed updates that a box takes: RAUC bundles of the format verity.

A bundle is the payload (a squashfs), its dm-verity tree, a CMS signature, and the length of that
(8 bytes, big-endian). What is signed is the manifest, which has the tree's root hash.
"""

import os
import re
import shutil
import tempfile
from configparser import ConfigParser
from configparser import Error as BadManifest
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.image.rootfs import COMPATIBLE
from deploy.image.tools import ToolFailed, need, run
from edge.errors import ConfigError

# Boxes compare versions as dpkg does; what is in none of its versions is refused here.
VERSION: Final = re.compile(r"[0-9][A-Za-z0-9.+~]{0,63}")
_ROOTFS: Final = "rootfs.squashfs"
# Squashfs with zstd: the payload is a file of blocks that are not compressed.
_SQUASHFS: Final = "-comp zstd -Xcompression-level 9 -b 256k"
_LONGEST_SIGNATURE: Final = 64 * 1024


def checked_version(text: str) -> str:
    """Return a version that boxes can compare.

    Raises:
        ConfigError: It is none.
    """
    if not VERSION.fullmatch(text):
        raise ConfigError(
            "expected a version such as 1.4.2: a digit first, then digits, letters, . + ~, at most"
            f" 64 characters, found {text!r}"
        )
    return text


def manifest(version: str, compatible: str = COMPATIBLE) -> str:
    """Return the manifest of a bundle of one root file system."""
    return (
        f"[update]\ncompatible={compatible}\nversion={version}\n\n"
        f"[bundle]\nformat=verity\n\n[image.rootfs]\nfilename={_ROOTFS}\n"
    )


def make_bundle(rootfs: Path, text: str, certificate: Path, key: Path, out: Path) -> None:
    """Make a signed bundle.

    Args:
        rootfs: Root file system, which ``make_rootfs`` made.
        text: The manifest.
        certificate: Certificate of who signs (PEM).
        key: Its private key.
        out: The bundle.

    Raises:
        ConfigError: A file is missing.
        ToolFailed: RAUC refused, such as a key that is not the certificate's.
    """
    need(rootfs, "a root file system (edge-flash rootfs)")
    need(certificate, "a certificate (edge-flash keys)")
    need(key, "a private key (edge-flash keys)")
    with tempfile.TemporaryDirectory(dir=out.absolute().parent) as name:
        content = Path(name) / "content"
        content.mkdir()
        try:
            os.link(rootfs, content / _ROOTFS)
        except OSError:  # on another disk
            shutil.copyfile(rootfs, content / _ROOTFS)
        (content / "manifest.raucm").write_text(text)
        new = Path(name) / "new.raucb"
        run(
            "rauc", "bundle", f"--cert={certificate}", f"--key={key}",
            f"--mksquashfs-args={_SQUASHFS}", content, new,
        )  # fmt: skip
        new.replace(out)


@dataclass(frozen=True, slots=True)
class UpdateFile:
    """What a bundle says of itself; nothing of it is proven.

    Attributes:
        path: Where it is.
        compatible: Kind of box.
        version: Version of its root file system.
        format: ``verity``, or ``plain``, which boxes refuse.
        payload_bytes: Bytes of the payload, without its tree.
        tree_bytes: Bytes of the dm-verity tree; 0 for ``plain``.
        root_hash: Root hash of the tree.
        salt: What is hashed before each block.
        signer: Subject of the certificate that signed.
        expires: When that certificate expires.
    """

    path: Path
    compatible: str
    version: str
    format: str
    payload_bytes: int
    tree_bytes: int
    root_hash: bytes
    salt: bytes
    signer: str
    expires: str


def read_bundle(path: Path) -> UpdateFile:
    """Read what a bundle says of itself.

    Raises:
        ConfigError: The file is no bundle, or is cut.
    """
    signature, rest = _signature(path)
    with tempfile.TemporaryDirectory() as name:
        der, pem = Path(name) / "signature.der", Path(name) / "signer.pem"
        der.write_bytes(signature)
        try:
            text = run(
                "openssl",
                "cms",
                "-verify",
                "-noverify",
                "-inform",
                "DER",
                "-in",
                der,
                "-signer",
                pem,
            )
        except ToolFailed:
            text = ""  # of the format plain: the payload itself is signed
            said = ["", ""]
        else:
            said = run("openssl", "x509", "-noout", "-subject", "-enddate", "-in", pem).splitlines()
    entries = ConfigParser(interpolation=None)
    try:
        entries.read_string(text or run("unsquashfs", "-cat", path, "manifest.raucm"))
        tree_bytes = entries.getint("bundle", "verity-size", fallback=0)
        root = bytes.fromhex(entries.get("bundle", "verity-hash", fallback=""))
        salt = bytes.fromhex(entries.get("bundle", "verity-salt", fallback=""))
    except (BadManifest, ValueError, ToolFailed) as exc:
        raise ConfigError(f"{path}: expected a bundle with a manifest, found none") from exc
    if not 0 <= tree_bytes < rest:
        raise ConfigError(f"{path}: expected a hash tree within the file, found {tree_bytes} bytes")
    return UpdateFile(
        path=path,
        compatible=entries.get("update", "compatible", fallback=""),
        version=entries.get("update", "version", fallback=""),
        format=entries.get("bundle", "format", fallback="plain"),
        payload_bytes=rest - tree_bytes,
        tree_bytes=tree_bytes,
        root_hash=root,
        salt=salt,
        signer=said[0].partition("=")[2].strip(),
        expires=said[1].partition("=")[2].strip(),
    )


def _signature(path: Path) -> tuple[bytes, int]:
    """Return the signature, and how many bytes stand before it."""
    try:
        with path.open("rb") as file:
            begin = file.read(4)
            size = file.seek(0, os.SEEK_END)
            if begin != b"hsqs" or size < 16:
                raise ConfigError(f"{path}: expected a bundle (*.raucb), found another file")
            file.seek(-8, os.SEEK_END)
            length = int.from_bytes(file.read(8), "big")
            rest = size - 8 - length
            if not 0 < length <= _LONGEST_SIGNATURE or rest <= 0:
                raise ConfigError(
                    f"{path}: expected a signature at its end, found none: is it cut?"
                )
            file.seek(rest)
            return file.read(length), rest
    except OSError as exc:
        raise ConfigError(f"cannot read {path}: {exc.strerror}") from exc
