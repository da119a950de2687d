"""Whether other users of the machine can read what the cameras saw."""

import os
from pathlib import Path

from edge.cli.checks.privacy import check_privacy
from edge.search.index.store import Limits, Store


def made(folder: Path, umask: int) -> Path:
    """A state folder with an index and an outbox, as a process of this umask makes them."""
    before = os.umask(umask)
    try:
        folder.mkdir()
        Store(folder / "index", "m" * 64, 8, Limits(3600, 1 << 20))
        (folder / "outbox.db").touch()
    finally:
        os.umask(before)
    return folder


def test_what_the_daemon_makes_is_its_own(tmp_path: Path) -> None:
    result = check_privacy(made(tmp_path / "state", 0o077))
    assert result is not None
    assert result.verdict == "ok"
    assert check_privacy(tmp_path / "none") is None


def test_files_and_folders_that_others_can_read_are_named(tmp_path: Path) -> None:
    folder = made(tmp_path / "state", 0o022)
    result = check_privacy(folder)
    assert result is not None
    assert result.advice == (
        f"chmod 700 {folder}: every user of this machine can read index, outbox.db there",
    )
    (folder / "gone").symlink_to("nowhere")  # it hides nothing of the others
    assert check_privacy(folder) == result
    (folder / "gone").unlink()
    folder.chmod(0o700)  # the advice is followed
    mended = check_privacy(folder)
    assert mended is not None
    assert mended.verdict == "ok"
    folder.chmod(0o755)
    for entry in folder.iterdir():
        entry.chmod(0o700)
    private = check_privacy(folder)
    assert private is not None
    assert private.verdict == "ok"
