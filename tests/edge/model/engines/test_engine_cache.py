"""Built engines on disk: written whole, read only when they are ours and undamaged."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.model.engines.engine_cache import engine_key, read_engine, write_engine

KEY = engine_key(model="m", runtime="tensorrt 10.3.0")
ENGINE = bytes(range(256)) * 40


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_engine(tmp_path / "engines", KEY, ENGINE)
    return tmp_path / "engines"


def only_file(folder: Path) -> Path:
    [path] = folder.iterdir()
    return path


def test_what_was_written_is_read(folder: Path) -> None:
    assert read_engine(folder, KEY) == ENGINE
    assert only_file(folder).name == f"{KEY}.engine"
    assert only_file(folder).stat().st_mode & 0o077 == 0


def test_every_fact_makes_another_key() -> None:
    facts = {"model": "m", "runtime": "tensorrt 10.3.0", "gpu": "Orin", "capability": "8.7"}
    keys = {engine_key(**facts)} | {engine_key(**facts | {name: "x"}) for name in facts}
    assert len(keys) == 1 + len(facts)
    assert engine_key(a="b", c="d") == engine_key(c="d", a="b")
    assert engine_key(a="bc") != engine_key(ab="c")


def test_another_key_finds_nothing_and_warns_of_nothing(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert read_engine(folder, engine_key(model="n")) is None
    assert read_engine(folder / "missing", KEY) is None
    assert caplog.records == []


def flip(at: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: data + b"x",
        lambda data: ENGINE,
        lambda data: data.replace(KEY.encode(), engine_key(model="n").encode()),
        flip(0),
        flip(40),
        flip(100),
        flip(-1 + len(ENGINE)),
    ],
    ids=["cut", "half", "empty", "longer", "no header", "renamed", "magic", "key", "hash", "byte"],
)
def test_a_damaged_or_foreign_file_is_as_good_as_none_and_is_written_again(
    folder: Path, damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    path = only_file(folder)
    damaged = damage(path.read_bytes())
    assert damaged != path.read_bytes()
    path.write_bytes(damaged)
    assert read_engine(folder, KEY) is None
    assert "damaged or of another engine" in caplog.text
    write_engine(folder, KEY, ENGINE)
    assert read_engine(folder, KEY) == ENGINE


def test_a_file_that_others_can_write_is_not_used(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    only_file(folder).chmod(0o620)
    assert read_engine(folder, KEY) is None
    assert "only this user can write" in caplog.text
    only_file(folder).chmod(0o644)
    assert read_engine(folder, KEY) == ENGINE


def test_a_file_of_somebody_else_is_not_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if os.geteuid() == 0:
        os.chown(only_file(folder), 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert read_engine(folder, KEY) is None
    assert "only this user can write" in caplog.text


def test_a_link_a_folder_and_a_pipe_are_not_used(folder: Path, tmp_path: Path) -> None:
    path = only_file(folder)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert read_engine(folder, KEY) is None
    path.unlink()
    path.mkdir()
    assert read_engine(folder, KEY) is None
    path.rmdir()
    os.mkfifo(path)
    assert read_engine(folder, KEY) is None  # and does not wait for a writer


def test_a_disk_that_refuses_costs_a_warning_and_leaves_nothing_half_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    write_engine(folder, KEY, b"another")
    assert "built again at the next start" in caplog.text
    assert "No space left on device" in caplog.text
    assert read_engine(folder, KEY) == ENGINE
    assert only_file(folder).name == f"{KEY}.engine"


def test_a_folder_that_cannot_be_made_costs_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        write_engine(tmp_path / "file" / "engines", KEY, ENGINE)
    assert "built again at the next start" in caplog.text
