"""A daemon that is to take signed bundles only, as a process: it starts, or it says why not."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from patience import Eventually
from running_box import Daemon, MakeBox

from export.bundle.signing import generate, read_private_key, sign


@pytest.fixture
def folder(small_bundle: Path, tmp_path: Path) -> Path:
    """With a signed bundle, its key and another key."""
    shutil.copytree(small_bundle, tmp_path / "bundle")
    for name in ("site.key", "other.key"):
        generate(tmp_path / name)
    sign(tmp_path / "bundle", read_private_key(tmp_path / "site.key"), tmp_path / "site.key")
    return tmp_path


Run = Callable[..., Daemon]


@pytest.fixture
def run(folder: Path, make_box: MakeBox) -> Run:
    """Runs the daemon of the folder with these settings; there is no broker."""
    return partial(make_box().start, bundle=str(folder / "bundle"))


Spoil = Callable[[Path], None]


def change_a_byte(folder: Path) -> None:
    manifest = folder / "bundle" / "manifest.json"
    manifest.write_text(manifest.read_text().replace("Apache-2.0", "Apache-3.0"))


def strip(folder: Path) -> None:
    (folder / "bundle" / "SIGNATURE").unlink()


def test_a_signed_bundle_starts_the_daemon_and_alerts(
    folder: Path, run: Run, eventually: Eventually
) -> None:
    daemon = run(bundle_keys=["site.key.pub"])
    eventually(lambda: " start: yard/burst" in daemon.log(), "an alert", 30)
    assert "site.key.pub)" in daemon.log()


@pytest.mark.parametrize(
    ("spoil", "key", "words"),
    [
        (change_a_byte, "site.key.pub", "found one that does not fit it"),
        (strip, "site.key.pub", "found none; sign the bundle"),
        (None, "other.key.pub", "found one by "),
    ],
)
def test_a_bundle_that_is_not_rightly_signed_does_not(
    folder: Path, run: Run, spoil: Spoil | None, key: str, words: str
) -> None:
    if spoil is not None:
        spoil(folder)
    daemon = run(bundle_keys=[key])
    assert daemon.process.wait(30) == 3
    assert words in daemon.log()
    assert "Traceback" not in daemon.log()
    assert not (folder / "state").exists()


@pytest.mark.parametrize("spoil", [change_a_byte, strip])
def test_without_keys_the_same_bundle_starts_it(
    folder: Path, run: Run, eventually: Eventually, spoil: Spoil
) -> None:
    """The negative control: it was the signature, and nothing else, that was missed."""
    spoil(folder)
    daemon = run()
    eventually(lambda: " start: yard/burst" in daemon.log(), "an alert", 30)
