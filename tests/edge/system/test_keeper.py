"""The keeper tries again, reports, and lets no file hold another up."""

import contextlib
import threading
from collections.abc import Iterator

import pytest
from patience import Eventually

from edge.errors import SideFileError
from edge.system.keeper import Keeper, SideFile


class Page:
    """A side file that can be in trouble, or hang."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.trouble: str | None = None
        self.flushed = 0
        self.answers = threading.Event()
        self.answers.set()

    def flush(self) -> None:
        assert self.answers.wait(10)
        if self.trouble:
            raise SideFileError(f"{self.name} is {self.trouble}", self.trouble)
        self.flushed += 1


@contextlib.contextmanager
def keeping(*pages: SideFile) -> Iterator[Keeper]:
    keeper = Keeper(pages, period_s=0.01, slow_s=0.05)
    keeper.start()
    try:
        yield keeper
    finally:
        assert keeper.stop(5)
        assert not keeper.failed


def test_a_file_in_trouble_is_reported_until_it_is_written_and_holds_no_other_up(
    eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = Page("bad.db"), Page("good.db")
    bad.trouble = "locked"
    with keeping(bad, good) as keeper:
        eventually(lambda: good.flushed > 3, "the other file")
        assert keeper.errors() == {"bad.db": "bad.db is locked"}
        bad.trouble = "full"
        eventually(lambda: keeper.errors() == {"bad.db": "bad.db is full"}, "the new trouble")
        bad.trouble = None
        eventually(lambda: not keeper.errors(), "no trouble")
        assert bad.flushed
    lines = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert lines == ["bad.db is locked; alerts go on", "bad.db is full; alerts go on"]


def test_a_defect_of_one_file_is_reported_and_holds_no_other_up(
    eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Page):
        def flush(self) -> None:
            if self.trouble:
                raise KeyError(self.trouble)

    bad, good = Broken("bad.db"), Page("good.db")
    bad.trouble = "lost"
    with keeping(bad, good) as keeper:
        eventually(lambda: good.flushed > 3, "the other file")
        assert keeper.errors() == {"bad.db": "bad.db: KeyError: 'lost'"}
        bad.trouble = None
        eventually(lambda: not keeper.errors(), "no trouble")
    assert caplog.text.count("Traceback") == 1


def test_a_disk_that_does_not_answer_is_reported_meanwhile(eventually: Eventually) -> None:
    page = Page("slow.db")
    page.answers.clear()
    with keeping(page) as keeper:
        eventually(lambda: "has not answered" in keeper.errors().get("slow.db", ""), "a report")
        assert not keeper.stop(0.01)  # the end does not wait for it either
        page.answers.set()
    assert keeper.errors() == {}


def test_the_end_writes_what_waits() -> None:
    page = Page("late.db")
    keeper = Keeper([page], period_s=60)
    keeper.start()
    assert keeper.stop(5)
    assert page.flushed == 1
