"""Lines of a daemon's log: each has its time, says where it belongs, and hides secrets."""

import json
import logging
import operator
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from edge.errors import ModelError
from edge.system.command_line import run, set_up_logging
from edge.system.log_lines import LogFormat
from edge.system.redact import register_secret

log = logging.getLogger("edge.some.part")


Written = Callable[[LogFormat | None], str]


@pytest.fixture
def _lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is left of what a test sets up; its log goes to stderr."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def written(_lines: None, capsys: pytest.CaptureFixture[str]) -> Written:
    """What a warning with a traceback and a secret looks like in a format."""

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

    return write


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


@pytest.mark.usefixtures("_lines")
def test_json_is_ascii_whatever_a_record_says(capsys: pytest.CaptureFixture[str]) -> None:
    said = "camera Tür: \u2028\udcff\x1b[31m"  # a name of a file may have what is no UTF-8
    set_up_logging(logging.INFO, "json")
    log.error("%s", said)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.isascii()
    assert json.loads(line)["message"] == said


@pytest.mark.usefixtures("_lines")
@pytest.mark.parametrize("form", ["json", "text"])
def test_the_error_that_ends_the_daemon_is_a_line_like_the_others(
    capsys: pytest.CaptureFixture[str], form: LogFormat
) -> None:
    register_secret("hushhush")

    def start() -> None:
        set_up_logging(logging.INFO, form)
        log.info("starting")
        raise ModelError("expected a bundle,\nfound hushhush")

    with pytest.raises(SystemExit) as ended:
        run("edge", start)
    assert ended.value.code == 3
    first, *rest = capsys.readouterr().err.splitlines()
    if form == "json":
        assert json.loads(first)["message"] == "starting"
        (last,) = (json.loads(line) for line in rest)
        assert (last["level"], last["logger"]) == ("critical", "edge")
        assert last["message"] == "expected a bundle,\nfound ***"
    else:
        assert rest == ["edge: expected a bundle,", "found ***"]
