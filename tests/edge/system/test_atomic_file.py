"""A file is replaced as a whole, or stays as it was."""

import os
from pathlib import Path

import pytest

from edge.system.atomic_file import write_atomically


def test_a_file_is_made_with_its_folder_and_replaced(tmp_path):
    path = tmp_path / "state" / "rules.json"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert [entry.name for entry in path.parent.iterdir()] == ["rules.json"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_in_trouble_leaves_the_old_content_and_nothing_beside_it(
    tmp_path, monkeypatch, call
):
    path = tmp_path / "rules.json"
    write_atomically(path, b"one")

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full) if call == "fsync" else patch.setattr(
            "pathlib.Path.replace", full
        )
        with pytest.raises(OSError, match="No space left"):
            write_atomically(path, b"two")
    assert path.read_bytes() == b"one"
    assert [entry.name for entry in tmp_path.iterdir()] == ["rules.json"]


def test_file_and_folder_are_synchronised(tmp_path, monkeypatch):
    synced = []
    fsync = os.fsync

    def note(fd):
        synced.append(str(Path(f"/proc/self/fd/{fd}").readlink()))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", note)
    write_atomically(tmp_path / "rules.json", b"one")
    assert synced == [f"{tmp_path}/rules.json.new", str(tmp_path)]
