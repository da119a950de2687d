"""Says whether a box would take an update, with a reason for each thing that a box checks.

``rauc info`` reads the signature only and passes a payload that was changed, so the payload is
checked here against the hash tree that was signed.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.image.bundle import UpdateFile, read_bundle
from deploy.image.rootfs import COMPATIBLE
from deploy.image.tools import ToolFailed, need, run
from deploy.image.verity import damage

# As on a box: only certificates for signing code, and no bundle whose payload could change after
# the check.
_LIKE_A_BOX: Final = """\
[system]
compatible={compatible}
bootloader=noop
bundle-formats=-plain
[keyring]
path={keyring}
check-purpose=codesign
"""


@dataclass(frozen=True, slots=True)
class UpdateCheck:
    """What came of one check.

    Attributes:
        name: What was checked.
        good: Whether a box would take it; None where it could not be checked.
        said: What was found.
    """

    name: str
    good: bool | None
    said: str


def verify(path: Path, keyring: Path, newer_than: str | None = None) -> list[UpdateCheck]:
    """Check a bundle as a box does.

    Args:
        path: The bundle.
        keyring: Certificates that the box trusts (PEM).
        newer_than: Version that runs on the box; None to leave that out.

    Raises:
        ConfigError: The file is no bundle.
    """
    need(keyring, "the certificates that boxes trust (keyring.pem)")
    bundle = read_bundle(path)
    signature = _signature(path, keyring)
    checks = [
        signature,
        _payload(bundle)
        if signature.good
        else UpdateCheck("payload", None, "nobody vouches for it"),
        _compatible(bundle),
    ]
    if newer_than is not None:
        said = f"{bundle.version} on a box with {newer_than}"
        checks.append(UpdateCheck("version", not is_older(bundle.version, newer_than), said))
    return checks


def is_older(version: str, than: str) -> bool:
    """Whether a version is older than another, as dpkg and the boxes compare them."""
    try:
        run("dpkg", "--compare-versions", version, "lt", than)
    except ToolFailed:
        return False
    return True


def _signature(path: Path, keyring: Path) -> UpdateCheck:
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write(_LIKE_A_BOX.format(compatible=COMPATIBLE, keyring=keyring.absolute()))
        file.flush()
        try:
            run("rauc", f"--conf={file.name}", "info", path)
        except ToolFailed as exc:
            return UpdateCheck("signature", False, str(exc).splitlines()[-1])
    return UpdateCheck("signature", True, "by a certificate that boxes trust for updates")


def _payload(bundle: UpdateFile) -> UpdateCheck:
    with bundle.path.open("rb") as file:
        wrong = damage(file, bundle.payload_bytes, bundle.tree_bytes, bundle.root_hash, bundle.salt)
    return UpdateCheck("payload", wrong is None, wrong or "as it was signed, each block")


def _compatible(bundle: UpdateFile) -> UpdateCheck:
    said = f"{bundle.compatible!r}; a box is {COMPATIBLE!r}"
    return UpdateCheck("compatible", bundle.compatible == COMPATIBLE, said)
