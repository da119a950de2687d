import logging
import selectors
import sys

import pytest
from patience import Until

from edge.system.backoff import Backoff
from edge.video.process import nursery
from edge.video.process.nursery import Nursery


@pytest.mark.parametrize(
    "word",
    [
        b"{}", b"no word", b"[]", b"\xff", b'{"number": 1}', b'{"number": "1", "code": 0}',
        b'{"number": 1, "code": 0, "more": 1}', b'{"number": 1, "code": null}',
    ],
)  # fmt: skip
def test_a_server_that_says_what_is_no_word_begins_anew(
    word: bytes, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    def command(fd: int, child: str) -> list[str]:
        says = f"import socket; s = socket.socket(fileno={fd}); s.send({word!r}); s.recv(1)"
        return [sys.executable, "-I", "-S", "-c", says]

    monkeypatch.setattr(nursery, "command", command)
    with selectors.DefaultSelector() as selector:
        one = Nursery(selector, "no child")
        assert one.keep()
        until("it says something", lambda: selector.select(0.1))
        assert one.heard() is None
        assert not selector.get_map()
        one.close()


def test_every_way_to_end_has_words(monkeypatch: pytest.MonkeyPatch, until: Until) -> None:
    said = {
        b'{"number": 1, "code": -9}': "its process was ended by SIGKILL",
        b'{"number": 1, "code": -40}': "its process was ended by signal 40",
        b'{"number": 1, "code": 3}': "its process ended with code 3",
        b'{"number": 1, "refused": "no memory"}': "its process cannot begin: no memory",
        b'{"number": 1, "process": 7}': "its process cannot be watched: too many open files",
    }

    def command(fd: int, child: str) -> list[str]:
        says = f"import socket; s = socket.socket(fileno={fd}); [s.send(w) for w in {list(said)!r}]"
        return [sys.executable, "-I", "-S", "-c", f"{says}; s.recv(1)"]

    monkeypatch.setattr(nursery, "command", command)
    with selectors.DefaultSelector() as selector:
        one = Nursery(selector, "no child")
        assert one.keep()
        for words in said.values():
            until("it says something", lambda: selector.select(0.1))
            assert one.heard() == [nursery.ProcessEnded(1, words)]
        one.close()


def test_a_server_that_ends_at_once_begins_ever_more_seldom_and_says_why_once(
    monkeypatch: pytest.MonkeyPatch, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(
        nursery, "command", lambda *_: [sys.executable, "-ISc", "raise SystemExit(3)"]
    )
    monkeypatch.setattr(nursery, "WORKER", Backoff(first_s=0.1, cap_s=9.0, shortest_share=1.0))
    caplog.set_level(logging.DEBUG, nursery.__name__)
    with selectors.DefaultSelector() as selector:
        one = Nursery(selector, "no child")
        for _ in range(3):
            until("it begins", one.keep)
            until("it ends", lambda: selector.select(0.1))
            assert one.heard() is None
            assert not one.keep()
        one.close()
    reason = "the server of the cameras' processes ended with code 3"
    assert one.trouble == reason
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("ERROR", f"{reason}; next try in 0.1 s"),
        ("DEBUG", f"{reason}; next try in 0.2 s"),
        ("DEBUG", f"{reason}; next try in 0.4 s"),
    ]


def test_a_key_of_the_terminal_does_not_reach_a_server(
    monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    def command(fd: int, child: str) -> list[str]:
        says = 's.send(b\'{"number": 1, "code": %d}\' % (os.getpgrp() == os.getpid()))'
        program = f"import os, socket; s = socket.socket(fileno={fd}); {says}; s.recv(1)"
        return [sys.executable, "-ISc", program]

    monkeypatch.setattr(nursery, "command", command)
    with selectors.DefaultSelector() as selector:
        one = Nursery(selector, "no child")
        assert one.keep()
        until("it says something", lambda: selector.select(0.1))
        assert one.heard() == [nursery.ProcessEnded(1, "its process ended with code 1")]
        one.close()


def test_a_short_password_takes_no_path_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nursery, "redact", lambda text: text.replace("local", "***"))
    paths = {"PATH": "/usr/local/bin", "LD_LIBRARY_PATH": "/usr/local/lib", "LC_ALL": "local"}
    for name, value in (paths | {"MQTT_PASSWORD": "local", "OTHER_PATH": "local"}).items():
        monkeypatch.setenv(name, value)
    given = nursery.environment()
    assert paths.items() <= given.items()
    assert not {"MQTT_PASSWORD", "OTHER_PATH"} & given.keys()
