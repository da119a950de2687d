"""Lines of a daemon's log: each has its time, says where it belongs, and hides secrets."""

import json
import logging
import operator
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from edge.system.command_line import set_up_logging
from edge.system.log_lines import LogFormat
from edge.system.redact import register_secret

log = logging.getLogger("edge.some.part")


Written = Callable[[LogFormat | None], str]


@pytest.fixture
def written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Written]:
    """What a warning with a traceback and a secret looks like in a format."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)

    def write(form: LogFormat | None) -> str:
        register_secret("hushhush")
        set_up_logging(logging.INFO, form)
        log.debug("too small a matter")
        try:
            operator.getitem({"a": 1}, "hushhush")
        except KeyError:
            log.warning("lost %s: hushhush", "yard", extra={"camera": "yard"}, exc_info=True)
        lines = capsys.readouterr().err
        assert "hushhush" not in lines
        assert "too small" not in lines
        return lines

    yield write
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_line_of_text_begins_with_local_time_and_its_zone(written: Written) -> None:
    first = written("text").splitlines()[0]
    when, rest = first.split(" ", 1)
    assert rest == "WARNING edge.some.part: lost yard: ***"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", when)
    assert abs(datetime.fromisoformat(when) - datetime.now(UTC)) < timedelta(minutes=5)


def test_a_line_of_json_has_everything_of_its_record(written: Written) -> None:
    (line,) = written("json").splitlines()
    said = json.loads(line)
    assert datetime.fromisoformat(said.pop("at")).utcoffset() == timedelta(0)
    assert "KeyError: '***'" in said.pop("error")
    assert said == {
        "level": "warning", "logger": "edge.some.part", "message": "lost yard: ***",
        "camera": "yard",
    }  # fmt: skip


def test_a_command_that_ends_soon_says_no_time(written: Written) -> None:
    assert written(None).startswith("WARNING edge.some.part: lost yard: ***\n")
