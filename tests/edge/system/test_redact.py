import io
import json
import logging
import re
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.system import redact as redact_module
from edge.system.redact import MASK, RedactFilter, redact, register_secret


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("rtsp://viewer:hush@192.0.2.1/x", "rtsp://viewer:***@192.0.2.1/x"),
        ("rtsp://viewer:hu@sh@192.0.2.1/x", "rtsp://viewer:***@192.0.2.1/x"),
        ("rtsp://token@192.0.2.1/x", "rtsp://***@192.0.2.1/x"),
        ("rtsp://:hush@192.0.2.1/x", "rtsp://:***@192.0.2.1/x"),
        ("a mqtt://u:p@h b rtsps://v:q@i c", "a mqtt://u:***@h b rtsps://v:***@i c"),
        ("'rtsp://viewer:hush@h/x': Connection refused", "'rtsp://viewer:***@h/x': Connection refused"),
        ("rtsp://192.0.2.1/cam@2x", "rtsp://192.0.2.1/cam@2x"),
        ("mail to me@example.org", "mail to me@example.org"),
    ],
)  # fmt: skip
def test_credentials_of_a_url_are_masked_and_the_rest_stays(text: str, masked: str) -> None:
    assert redact(text) == masked


def test_a_registered_secret_is_masked_anywhere() -> None:
    text = "the broker refused hushhush; nothing else"
    assert redact(text) == text
    register_secret("hushhush")
    assert redact(text) == "the broker refused ***; nothing else"


def test_one_or_two_characters_are_not_masked() -> None:
    register_secret("a")
    register_secret("ab")
    assert redact("a cab") == "a cab"


def test_a_secret_that_contains_another_is_masked_whole() -> None:
    register_secret("hush")
    register_secret("hushhush")
    assert redact("hushhush hush") == f"{MASK} {MASK}"


def test_a_secret_that_is_known_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    register_secret("hush hush")
    compiled = re.compile("as it is")
    monkeypatch.setattr(redact_module, "_any_secret", compiled)
    register_secret("hush hush")
    assert redact_module._any_secret is compiled
    monkeypatch.setattr(redact_module, "_secrets", set())
    register_secret("hush hush")
    assert redact("hush hush") == MASK


@given(st.text(st.characters(codec="utf-8", exclude_characters="*"), min_size=3, max_size=20))
def test_a_secret_is_masked_in_every_way_that_urls_json_and_repr_write_it(secret: str) -> None:
    redact_module._secrets.clear()
    register_secret(secret)
    for written in (
        secret,
        quote(secret),
        quote(secret, safe=""),
        json.dumps(secret)[1:-1],
        repr(secret)[1:-1],
    ):
        masked = redact(f"cannot open {written} now")
        assert MASK in masked
        assert written not in masked


@pytest.fixture
def logged() -> tuple[logging.Logger, list[str]]:
    """A logger of its own with the filter at its handler; the formatted lines."""
    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    handler = Lines()
    handler.addFilter(RedactFilter())
    logger = logging.getLogger("test_redact")
    logger.handlers = [handler]
    logger.propagate = False
    return logger, lines


def fail(message: str) -> None:
    raise OSError(message)


def test_the_filter_masks_arguments_exceptions_and_stacks(
    logged: tuple[logging.Logger, list[str]],
) -> None:
    logger, lines = logged
    register_secret("hushhush")
    url = "rtsp://viewer:hush@192.0.2.1/x"
    try:
        fail(f"cannot open {url}")
    except OSError:
        logger.exception("camera %s (%d) failed", url, 3, stack_info=True)
    (line,) = lines
    assert line.startswith("camera rtsp://viewer:***@192.0.2.1/x (3) failed\nTraceback")
    assert "OSError: cannot open rtsp://viewer:***@192.0.2.1/x" in line
    assert "Stack" in line
    assert "hush@" not in line


def test_an_exception_that_another_handler_formatted_first_is_masked_too(
    logged: tuple[logging.Logger, list[str]],
) -> None:
    logger, lines = logged
    logger.handlers.insert(0, logging.StreamHandler(io.StringIO()))
    try:
        fail("rtsp://viewer:hush@192.0.2.1/x")
    except OSError:
        logger.exception("failed")
    assert "viewer:***@" in lines[0]
    assert "hush" not in lines[0]
