"""Five kinds of trouble with a side file are five different things."""

import contextlib
import errno
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.errors import SideFileError
from edge.system.kept_file import KeptFile
from edge.system.trouble import trouble_of, trouble_of_json

TABLE = "CREATE TABLE words (word TEXT PRIMARY KEY)"


def kept(path: Path, *, version: int = 1) -> KeptFile:
    return KeptFile(path, TABLE, version=version, busy_s=0.02)


def add(file: KeptFile, *words: str) -> None:
    rows = [(word,) for word in words]
    file.do(lambda db: db.executemany("INSERT INTO words VALUES (?)", rows))


def words(file: KeptFile) -> list[str]:
    query = "SELECT word FROM words ORDER BY word"
    return file.read(lambda db: [word for (word,) in db.execute(query)], [])


@contextlib.contextmanager
def other_process(path: Path, statement: str) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(statement)
        yield db


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "state" / "words.db"
    add(kept(path), "old")
    return path


def aside(path: Path) -> list[str]:
    return sorted(other.name for other in path.parent.glob("*-corrupt-*"))


def test_where_there_is_no_file_reading_makes_none(tmp_path: Path) -> None:
    file = kept(tmp_path / "words.db")
    assert words(file) == []
    assert list(tmp_path.iterdir()) == []
    add(file, "new")
    assert words(kept(tmp_path / "words.db")) == ["new"]


def test_a_locked_file_is_neither_empty_nor_damaged(path: Path) -> None:
    with other_process(path, "BEGIN EXCLUSIVE"):
        for use in (words, add):
            with pytest.raises(SideFileError, match="another process holds it") as raised:
                use(kept(path))
            assert raised.value.trouble == "locked"
    assert words(kept(path)) == ["old"]
    assert aside(path) == []


def test_a_newer_versions_file_is_not_touched(path: Path) -> None:
    add(kept(path, version=1), "mine")
    with other_process(path, "PRAGMA user_version=7"):
        pass
    content = path.read_bytes()
    with pytest.raises(SideFileError, match="newer version") as raised:
        add(kept(path), "new")
    assert raised.value.trouble == "newer"
    assert path.read_bytes() == content
    assert words(kept(path, version=7)) == ["mine", "old"]  # the version that it belongs to


def test_an_earlier_versions_file_without_a_number_is_read(path: Path) -> None:
    with other_process(path, "PRAGMA user_version=0"):
        pass
    assert words(kept(path)) == ["old"]


def test_a_place_that_cannot_be_written_is_a_failing_disk(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SideFileError, match="check the disk") as raised:
        add(kept(tmp_path / "file" / "words.db"), "new")
    assert raised.value.trouble == "failing"
    (tmp_path / "words.db").mkdir()
    with pytest.raises(SideFileError) as raised:
        words(kept(tmp_path / "words.db"))
    assert raised.value.trouble == "failing"


def test_a_link_to_a_disk_that_is_not_mounted_is_no_empty_file(path: Path, tmp_path: Path) -> None:
    disk, away = tmp_path / "disk", tmp_path / "away"
    disk.mkdir()
    path.rename(disk / "words.db")
    path.symlink_to(disk / "words.db")
    assert words(kept(path)) == ["old"]
    disk.rename(away)
    for use in (words, add):
        with pytest.raises(SideFileError, match="check the disk") as raised:
            use(kept(path))
        assert raised.value.trouble == "failing"
    away.rename(disk)
    assert words(kept(path)) == ["old"]


@pytest.mark.parametrize("content", [b"no database" * 999, b"\0" * 5000])
def test_a_damaged_file_is_kept_and_begun_anew(
    path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_bytes(content)
    add(kept(path), "new")
    assert words(kept(path)) == ["new"]
    assert aside(path) == ["words-corrupt-1.db"]
    assert (path.parent / "words-corrupt-1.db").read_bytes() == content
    assert "set aside as words-corrupt-1.db" in caplog.text


@pytest.mark.parametrize(
    "statement",
    ["ALTER TABLE words RENAME TO others", "ALTER TABLE words ADD COLUMN more", "DROP TABLE words"],
)
def test_a_file_with_other_tables_is_kept_too(path: Path, statement: str) -> None:
    with other_process(path, statement) as db:
        db.execute("CREATE TABLE theirs (x)")
    add(kept(path), "new")
    assert words(kept(path)) == ["new"]
    assert aside(path) == ["words-corrupt-1.db"]


def test_text_that_is_no_utf_8_is_damage(path: Path) -> None:
    with other_process(path, "INSERT INTO words VALUES (CAST(x'ff' AS TEXT))"):
        pass
    assert words(kept(path)) == []
    assert aside(path) == ["words-corrupt-1.db"]


@pytest.mark.parametrize(("at", "byte"), [(18, 7), (19, 7), (60, 0x40), (60, 0x80), (45, 9)])
def test_a_damaged_header_is_no_newer_version_and_no_failing_disk(
    path: Path, at: int, byte: int
) -> None:
    content = bytearray(path.read_bytes())
    content[at] = byte
    path.write_bytes(content)
    for word in ("new", "newer"):
        add(kept(path), word)
    assert {"new", "newer"} <= set(words(kept(path)))


def test_only_the_newest_few_damaged_files_are_kept(path: Path) -> None:
    for number in range(6):
        path.write_bytes(b"damaged %d" % number * 500)
        add(kept(path), "new")
    assert aside(path) == [f"words-corrupt-{number}.db" for number in (4, 5, 6)]
    assert (path.parent / "words-corrupt-6.db").read_bytes().startswith(b"damaged 5")


def test_a_damaged_file_that_cannot_be_set_aside_stays_and_says_so(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(b"no database" * 999)

    def refuse(*_: Path) -> Path:
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as broken:
        broken.setattr(Path, "replace", refuse)
        with pytest.raises(SideFileError, match="Read-only file system") as raised:
            add(kept(path), "new")
    assert raised.value.trouble == "failing"
    assert path.read_bytes().startswith(b"no database")


def test_a_failed_action_changes_nothing(path: Path) -> None:
    with pytest.raises(SideFileError):
        add(kept(path), "new", "old")  # the second is there already
    assert words(kept(path)) == ["old"]


def test_a_full_disk_is_named_whoever_says_it() -> None:
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL
    assert trouble_of(full) == trouble_of(OSError(errno.ENOSPC, "")) == "full"
    assert trouble_of(OSError(errno.EDQUOT, "")) == "full"
    failed = sqlite3.OperationalError("disk I/O error")
    failed.sqlite_errorcode = 10 | 3 << 8  # SQLITE_IOERR_WRITE
    assert trouble_of(failed) == trouble_of(OSError(errno.EIO, "")) == "failing"


@pytest.mark.parametrize(
    ("content", "trouble"),
    [
        (b'{"schema": "edge-x/2"}', "newer"),
        (b'{"schema": "edge-x/10"}', "newer"),
        (b'{"schema": "edge-x/1"}', "damaged"),
        (b'{"schema": "edge-y/2"}', "damaged"),
        (b'{"schema": 2}', "damaged"),
        (b'{"other": "edge-x/2"}', "damaged"),
        (b'["schema"]', "damaged"),
        (b"{", "damaged"),
        (b"[" * 100_000, "damaged"),
        (b"\xff", "damaged"),
    ],
)
def test_a_newer_schema_is_no_damage(content: bytes, trouble: str) -> None:
    assert trouble_of_json(content, "schema", "edge-x/1") == trouble
