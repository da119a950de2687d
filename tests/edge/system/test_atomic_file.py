"""A file is replaced as a whole, or stays as it was."""

import os
import re
from pathlib import Path

import pytest

from edge.system.atomic_file import write_atomically


def test_a_file_is_made_with_its_folder_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "state" / "rules.json"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert [entry.name for entry in path.parent.iterdir()] == ["rules.json"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_in_trouble_leaves_the_old_content_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "rules.json"
    write_atomically(path, b"one")

    def full(*_: Path | int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full) if call == "fsync" else patch.setattr(
            "pathlib.Path.replace", full
        )
        with pytest.raises(OSError, match="No space left"):
            write_atomically(path, b"two")
    assert path.read_bytes() == b"one"
    assert [entry.name for entry in tmp_path.iterdir()] == ["rules.json"]


def test_file_and_folder_are_synchronised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    fsync = os.fsync

    def note(fd: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{fd}").readlink()))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", note)
    write_atomically(tmp_path / "rules.json", b"one")
    new, folder = synced
    assert re.fullmatch(rf"{re.escape(str(tmp_path))}/rules\.json\.[0-9a-f]+\.new", new)
    assert folder == str(tmp_path)


def test_permissions_are_those_asked_for_whatever_the_umask_and_the_old_file_say(
    tmp_path: Path,
) -> None:
    path = tmp_path / "rules.json"
    umask = os.umask(0o027)
    try:
        write_atomically(path, b"one")
        assert path.stat().st_mode & 0o777 == 0o640
        for mode in (0o600, 0o664):
            write_atomically(path, b"two ", b"parts", mode=mode)
            assert path.stat().st_mode & 0o777 == mode
    finally:
        os.umask(umask)
    assert path.read_bytes() == b"two parts"


def test_two_writers_at_once_do_not_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rules.json"
    with monkeypatch.context() as patch:
        fsync = os.fsync

        def another_comes_first(fd: int) -> None:
            patch.setattr(os, "fsync", fsync)
            write_atomically(path, b"another")
            assert path.read_bytes() == b"another"

        patch.setattr(os, "fsync", another_comes_first)
        write_atomically(path, b"one")
    assert path.read_bytes() == b"one"
    assert [entry.name for entry in tmp_path.iterdir()] == ["rules.json"]
