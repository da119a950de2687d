"""A kept file may be a symbolic link, to another disk for example: what it leads to is written."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.control.announce.record import Place
from edge.control.announce.retained import Retained
from edge.control.desired.file import DesiredFile
from edge.control.desired.state import Desired
from edge.delivery.outbox import Outbox
from edge.errors import EdgeError
from edge.system.cache_file import CacheFile
from edge.system.kept_file import KeptFile


def outbox(path: Path) -> None:
    Outbox(path, 1 << 20).close()


def desired(path: Path) -> None:
    file = DesiredFile(path)
    file.load()
    file.save(Desired(profile="away"))


def retained(path: Path) -> None:
    Retained(path, Place("localhost:1883", "edge", "box"), lambda _: None).replace([], {}, {})


def side_file(path: Path) -> None:
    KeptFile(path, "CREATE TABLE words (word TEXT)").do(lambda db: db.execute("SELECT 1"))


def cache_file(path: Path) -> None:
    for _ in range(2):  # the first use may only remove what is damaged
        with CacheFile(path).opened() as cache:
            cache.write(b"key", b"value")


USES = [outbox, desired, retained, side_file, cache_file]


@pytest.mark.parametrize("content", [b"", b"damaged" * 1000], ids=["empty", "damaged"])
@pytest.mark.parametrize("use", USES)
def test_a_kept_file_behind_a_link_is_written_where_the_link_leads(
    tmp_path: Path, use: Callable[[Path], None], content: bytes
) -> None:
    disk, state = tmp_path / "disk", tmp_path / "state"
    disk.mkdir()
    state.mkdir()
    link, file = state / "kept.db", disk / "elsewhere.db"
    link.symlink_to(Path("..", "disk", "elsewhere.db"))
    file.write_bytes(content)
    use(link)
    assert link.is_symlink()
    assert file.read_bytes() not in {b"", content}
    assert [path.name for path in state.iterdir()] == ["kept.db"]


@pytest.mark.parametrize("use", USES)
def test_nothing_is_made_up_for_a_link_to_a_disk_that_is_away(
    tmp_path: Path, use: Callable[[Path], None]
) -> None:
    link = tmp_path / "state" / "kept.db"
    link.parent.mkdir()
    link.symlink_to(tmp_path / "disk" / "elsewhere.db")
    with contextlib.suppress(EdgeError):
        use(link)
    assert link.is_symlink()
    assert not (tmp_path / "disk").exists()
