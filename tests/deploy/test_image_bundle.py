"""Updates of the image: what a box would take is good, each hostile bundle is not, and says why."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

from deploy.cli import app
from deploy.image import pki
from deploy.image.bundle import make_bundle, manifest, read_bundle
from deploy.image.tools import ToolFailed, run
from deploy.image.verify import UpdateCheck, verify
from deploy.image.verity import BLOCK, damage, tree
from edge.errors import ConfigError

NEEDED = ("rauc", "mksquashfs", "unsquashfs", "openssl", "dpkg")
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
missing = [name for name in NEEDED if shutil.which(name) is None]
needs_tools = pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


class Made(NamedTuple):
    """A good bundle, and what it was made with."""

    bundle: Path
    rootfs: Path
    keys: Path

    @property
    def keyring(self) -> Path:
        return self.keys / "keyring.pem"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    work = tmp_path_factory.mktemp("bundle")
    keys = work / "keys"
    pki.make_keys(keys, "Example", 30)
    root = work / "root"
    (root / "usr" / "lib").mkdir(parents=True)
    (root / "usr/lib/os-release").write_text('IMAGE_ID="edge-nvr-x86"\nIMAGE_VERSION="2.0.0"\n')
    (root / "var/lib/dpkg").mkdir(parents=True)
    (root / "var/lib/dpkg/status").write_text(
        "Package: edge-runtime\nStatus: install ok installed\nVersion: 0.1.0\n\n"
        "Package: rauc\nVersion: 1.8-2\n"
    )
    # More than 128 blocks: the hash tree has two levels.
    (root / "noise").write_bytes(bytes(range(256)) * 16 + b"".join(map(str.encode, _numbers())))
    rootfs = work / "rootfs.squashfs"
    run("mksquashfs", root, rootfs, "-noappend", "-quiet", "-noI", "-noD", "-noF")
    bundle = work / "good.raucb"
    make_bundle(rootfs, manifest("2.0.0"), keys / "release.pem", keys / "release.key", bundle)
    return Made(bundle, rootfs, keys)


def _numbers() -> list[str]:
    digits, state = [], 1
    for _ in range(200_000):
        state = state * 6364136223846793005 % 2**64
        digits.append(f"{state:016x}")
    return digits


def said(checks: list[UpdateCheck]) -> dict[str, bool | None]:
    return {check.name: check.good for check in checks}


def flipped(made: Made, at: int, to: Path) -> Path:
    content = bytearray(made.bundle.read_bytes())
    content[at] ^= 1
    to.write_bytes(content)
    return to


@needs_tools
def test_a_good_update_is_good(made: Made) -> None:
    found = verify(made.bundle, made.keyring, newer_than="1.9.9")
    assert said(found) == {"signature": True, "payload": True, "compatible": True, "version": True}


@needs_tools
def test_the_tree_is_that_of_rauc_and_the_kernel(made: Made) -> None:
    bundle = read_bundle(made.bundle)
    content = made.bundle.read_bytes()
    payload = content[: bundle.payload_bytes]
    blocks = [payload[at : at + BLOCK] for at in range(0, len(payload), BLOCK)]
    assert len(blocks) > 128
    root, stored = tree(blocks, bundle.salt)
    assert root == bundle.root_hash
    assert stored == content[bundle.payload_bytes : bundle.payload_bytes + bundle.tree_bytes]


@needs_tools
@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.999])
def test_a_flipped_bit_of_the_payload_is_found_which_rauc_info_passes(
    made: Made, tmp_path: Path, share: float
) -> None:
    at = int(share * read_bundle(made.bundle).payload_bytes)
    bad = flipped(made, max(at, 100), tmp_path / "bad.raucb")
    found = said(verify(bad, made.keyring))
    # The signature is what rauc info says.
    assert (found["signature"], found["payload"]) == (True, False)


@needs_tools
def test_a_flipped_bit_of_the_tree_is_found(made: Made, tmp_path: Path) -> None:
    bad = flipped(made, read_bundle(made.bundle).payload_bytes + 40, tmp_path / "bad.raucb")
    assert said(verify(bad, made.keyring))["payload"] is False


@needs_tools
def test_a_flipped_bit_of_the_signature_is_found(made: Made, tmp_path: Path) -> None:
    bad = flipped(made, made.bundle.stat().st_size - 20, tmp_path / "bad.raucb")
    found = said(verify(bad, made.keyring))
    assert (found["signature"], found["payload"]) == (False, None)


@needs_tools
@pytest.mark.parametrize("cut", [1, 8, 5000])
def test_a_cut_file_is_no_bundle(made: Made, tmp_path: Path, cut: int) -> None:
    bad = tmp_path / "bad.raucb"
    bad.write_bytes(made.bundle.read_bytes()[:-cut])
    with pytest.raises(ConfigError, match="expected a signature at its end, found none: is it cut"):
        verify(bad, made.keyring)


@needs_tools
def test_another_root_vouches_for_nothing(made: Made, tmp_path: Path) -> None:
    pki.make_keys(tmp_path / "other", "Other", 30)
    assert said(verify(made.bundle, tmp_path / "other" / "keyring.pem"))["signature"] is False


def signed_anew(
    made: Made, tmp_path: Path, issue: Callable[[Path], None], text: str = manifest("2.0.0")
) -> Path:
    keys = tmp_path / "keys"
    shutil.copytree(made.keys, keys)
    issue(keys)
    bundle = tmp_path / "bundle.raucb"
    make_bundle(made.rootfs, text, keys / "release.pem", keys / "release.key", bundle)
    return bundle


@needs_tools
def test_a_certificate_for_something_else_signs_no_updates(made: Made, tmp_path: Path) -> None:
    bundle = signed_anew(
        made, tmp_path, lambda keys: pki.issue(keys, "Example", 30, "emailProtection")
    )
    run("rauc", f"--keyring={made.keyring}", "info", "--no-verify", bundle)  # control: it is one
    assert said(verify(bundle, made.keyring))["signature"] is False


@needs_tools
@pytest.mark.skipif(not FAKETIME.exists(), reason="libfaketime is not installed")
def test_an_expired_certificate_signs_nothing_any_more(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = signed_anew(made, tmp_path, lambda keys: pki.issue(keys, "Example", 1))
    assert said(verify(bundle, made.keyring))["signature"] is True  # control
    monkeypatch.setenv("LD_PRELOAD", str(FAKETIME))
    monkeypatch.setenv("FAKETIME", "+2d")
    found = verify(bundle, made.keyring)
    assert said(found)["signature"] is False
    assert "expired" in found[0].said


@needs_tools
def test_an_update_for_another_kind_of_box_is_refused(made: Made, tmp_path: Path) -> None:
    text = manifest("2.0.0", compatible="edge-jetson")
    found = verify(signed_anew(made, tmp_path, lambda _: None, text), made.keyring)
    assert said(found) == {"signature": True, "payload": True, "compatible": False}


@needs_tools
def test_the_plain_format_is_refused(made: Made, tmp_path: Path) -> None:
    text = manifest("2.0.0").replace("format=verity", "format=plain")
    found = verify(signed_anew(made, tmp_path, lambda _: None, text), made.keyring)
    assert said(found)["signature"] is False
    assert "plain" in found[0].said


@needs_tools
def test_an_older_update_is_refused_and_the_same_is_not(made: Made) -> None:
    assert said(verify(made.bundle, made.keyring, newer_than="2.0.1"))["version"] is False
    assert said(verify(made.bundle, made.keyring, newer_than="2.0.0"))["version"] is True


@needs_tools
def test_the_commands_make_check_and_describe_an_update(made: Made, tmp_path: Path) -> None:
    out = tmp_path / "update.raucb"
    done = CliRunner().invoke(
        app,
        ["bundle", "--rootfs", str(made.rootfs), "--keys", str(made.keys), "--out", str(out)],
    )
    assert done.exit_code == 0, done.output
    done = CliRunner().invoke(app, ["verify", str(out), "--keyring", str(made.keyring), "--json"])
    assert done.exit_code == 0, done.output
    assert [row["check"] for row in json.loads(done.output)] == [
        "signature", "payload", "compatible",
    ]  # fmt: skip
    older = ["verify", str(out), "--keyring", str(made.keyring), "--newer-than", "3.0"]
    done = CliRunner().invoke(app, older)
    assert (done.exit_code, "version: NOT good" in done.output) == (1, True)
    found = json.loads(CliRunner().invoke(app, ["inspect", str(out), "--json"]).output)
    assert (found["kind"], found["version"], found["format"]) == ("bundle", "2.0.0", "verity")
    assert found["signer"] == "CN = Example release"
    found = json.loads(CliRunner().invoke(app, ["inspect", str(made.rootfs), "--json"]).output)
    assert found == {
        "kind": "root file system",
        "compatible": "edge-nvr-x86",
        "version": "2.0.0",
        "packages": {"edge-runtime": "0.1.0", "rauc": "1.8-2"},
    }


@needs_tools
def test_keys_are_for_their_owner_and_are_not_overwritten(made: Made) -> None:
    modes = {path.name: path.stat().st_mode & 0o777 for path in made.keys.iterdir()}
    assert modes == dict.fromkeys(("keyring.pem", "root.key", "release.pem", "release.key"), 0o600)
    with pytest.raises(ConfigError, match="so that no key is lost"):
        pki.make_keys(made.keys, "Example", 30)
    with pytest.raises(ConfigError, match="expected a name"):
        pki.make_keys(made.keys / "new", "a/CN=b", 30)


@needs_tools
def test_the_key_of_another_certificate_signs_nothing(made: Made, tmp_path: Path) -> None:
    out = tmp_path / "x.raucb"
    with pytest.raises(ToolFailed, match="rauc ended with"):
        make_bundle(
            made.rootfs, manifest("1"), made.keys / "release.pem", made.keys / "root.key", out
        )
    assert list(tmp_path.iterdir()) == []


def test_a_payload_of_one_block_is_its_own_tree(tmp_path: Path) -> None:
    block = b"x" * BLOCK
    root, stored = tree([block], b"salt")
    assert stored == b""
    path = tmp_path / "payload"
    path.write_bytes(block)
    with path.open("rb") as file:
        assert damage(file, BLOCK, 0, root, b"salt") is None
    with path.open("rb") as file:
        assert damage(file, BLOCK, 0, root, b"other") == (
            "the payload is not the one that was signed"
        )
    with path.open("rb") as file:
        assert damage(file, 2 * BLOCK, 0, root, b"salt") == "the file ends too early"
    with path.open("rb") as file:
        assert "whole blocks" in (damage(file, BLOCK - 1, 0, root, b"salt") or "")


HANDLER = (
    Path(__file__).parents[2] / "deploy" / "image" / "overlay" / "usr" / "lib" / "edge"
) / "refuse-older"


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="dpkg is not installed")
@pytest.mark.parametrize(
    ("update", "runs", "refused"),
    [
        ("2.0.0", "1.9.9", ""),
        ("2.0.0", "2.0.0", ""),
        ("1.10.0", "1.9.0", ""),
        ("0.1.0+20261130142825", "0.1.0+20261129000000", ""),
        ("0.1.0+20261129000000", "0.1.0+20261130142825", "older"),
        ("1.9.0", "1.10.0", "older"),
        ("2.0.0~rc1", "2.0.0", "older"),
        ("", "2.0.0", "expected a version"),
        ("9:1.0", "2.0.0", "expected a version"),
        ("2.0.0 ; reboot", "1.0.0", "expected a version"),
        ("v3", "1.0.0", "expected a version"),
        ("2.0.0", "", "expected a version"),
    ],
)
def test_a_box_refuses_what_is_older_than_what_runs(
    tmp_path: Path, update: str, runs: str, refused: str
) -> None:
    (tmp_path / "manifest.raucm").write_text(
        f"[hooks]\nversion=9\n{manifest(update)}\n[image.x]\nversion=9\n"
    )
    (tmp_path / "os-release").write_text(f'ID=debian\nIMAGE_VERSION="{runs}"\n')
    done = subprocess.run(
        ["sh", HANDLER, tmp_path / "manifest.raucm", tmp_path / "os-release"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == (1 if refused else 0), done.stderr
    assert re.search(refused, done.stdout), done.stdout
