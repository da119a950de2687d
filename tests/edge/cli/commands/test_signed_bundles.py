"""``bundle_keys``: the daemon and ``edge check`` take signed bundles only, and say why not."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Run

from edge.model.bundle.signature import read_keys
from export.bundle.signing import generate, read_private_key, sign

SOUND = """\
device: {id: box}
bundle: bundle
bundle_keys: site.key.pub
state_dir: state
mqtt: {host: 127.0.0.1, port: 1}
prompts: {red: {text: red}}
cameras: {yard: {url: "rtsp://127.0.0.1:1/yard"}}
"""
OPTIONS = ("--no-cameras", "--no-broker", "--json")


@pytest.fixture(scope="session")
def signed(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a configuration, a key and a bundle signed by it."""
    folder = tmp_path_factory.mktemp("signed")
    shutil.copytree(bundle, folder / "bundle")
    generate(folder / "site.key")
    sign(folder / "bundle", read_private_key(folder / "site.key"), folder / "site.key")
    (folder / "edge.yaml").write_text(SOUND)
    return folder


@pytest.fixture
def folder(signed: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return shutil.copytree(signed, tmp_path / "folder")


def check(edge: Run, folder: Path) -> tuple[int, str]:
    """Exit code, and what is said of the bundle."""
    outcome = edge("check", folder / "edge.yaml", *OPTIONS)
    assert "Traceback" not in outcome.err
    [found] = [f["found"] for f in json.loads(outcome.out)["checks"] if f["check"] == "bundle"]
    return outcome.code, found


def one_letter(folder: Path) -> None:
    manifest = folder / "bundle" / "manifest.json"
    manifest.write_text(manifest.read_text().replace("Apache-2.0", "Apache-3.0"))


def other_key(folder: Path) -> None:
    generate(folder / "other.key")
    (folder / "other.key.pub").replace(folder / "site.key.pub")


def stripped(folder: Path) -> None:
    (folder / "bundle" / "SIGNATURE").unlink()


def no_key(folder: Path) -> None:
    (folder / "site.key.pub").unlink()


def private_key(folder: Path) -> None:
    (folder / "site.key").replace(folder / "site.key.pub")


SPOILT = [
    (one_letter, 3, "found one that does not fit it: one of the two was changed"),
    (other_key, 3, ", found one by "),
    (stripped, 3, ", found none; sign the bundle with `edge-export sign`"),
    (no_key, 2, "expected the file of a public key, found: No such file"),
    (private_key, 2, "found a private key, which must not leave the signer"),
]


@pytest.mark.timeout(30)  # a daemon that starts would not end
@pytest.mark.parametrize(("spoil", "code", "words"), SPOILT)
def test_what_is_not_rightly_signed_does_not_start(
    edge: Run, folder: Path, spoil: Callable[[Path], None], code: int, words: str
) -> None:
    assert check(edge, folder)[0] == 0  # the control
    spoil(folder)
    ended, found = check(edge, folder)
    assert (ended, words in found) == (code, True), found
    outcome = edge("run", folder / "edge.yaml")
    assert (outcome.code, words in outcome.err) == (code, True), outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize("spoil", [one_letter, other_key, stripped])
def test_without_configured_keys_the_same_bundle_will_do(
    edge: Run, folder: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(folder)
    config = folder / "edge.yaml"
    config.write_text(SOUND.replace("bundle_keys: site.key.pub\n", ""))
    assert check(edge, folder)[0] == 0


def test_check_says_who_signed(edge: Run, folder: Path) -> None:
    [key] = read_keys([folder / "site.key.pub"])
    assert check(edge, folder)[1].endswith(f", signed by {key.id} ({folder}/site.key.pub)")
    outcome = edge("check", "--bundle", folder / "bundle")
    assert f"signature by {key.id} not verified, as no key was given" in outcome.out
    stripped(folder)
    assert ", not signed" in edge("check", "--bundle", folder / "bundle").out


def test_keys_hold_for_a_bundle_named_on_the_command_line(
    edge: Run, folder: Path, bundle: Path
) -> None:
    outcome = edge("check", folder / "edge.yaml", *OPTIONS, "--bundle", bundle)
    assert outcome.code == 3
    assert "found none" in outcome.out
