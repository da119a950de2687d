import selectors
import sys

import pytest
from patience import Until

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
