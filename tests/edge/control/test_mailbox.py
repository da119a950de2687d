"""What waits between the network and the one who reads it: bounded, judged as it arrives."""

import logging
import threading
import time

import pytest

from edge.config.models import HomeAssistantConfig
from edge.control.commands import MAX_BYTES, command_of
from edge.control.mailbox import Mailbox, listeners
from edge.delivery.message import Received
from edge.delivery.topics import Topics
from edge.errors import ConfigError

TOPICS = Topics("edge", "box")


def said(payload: bytes, topic: str = "edge/box/prompts/set", **more: object) -> Received:
    return Received(topic, payload, **more)  # type: ignore[arg-type]  # fields by name


def waiting(mailbox: Mailbox) -> list[Received]:
    mailbox.close()
    return list(mailbox)


def test_messages_come_in_order_and_the_end_comes_after_them() -> None:
    mailbox = Mailbox()
    taken: list[bytes] = []
    reader = threading.Thread(target=lambda: taken.extend(one.payload for one in mailbox))
    reader.start()
    for number in range(50):
        mailbox.receive(said(b"%d" % number))
    mailbox.close()
    reader.join(10)
    assert taken == [b"%d" % number for number in range(50)]


def test_a_payload_that_is_too_large_is_cut_as_it_arrives_and_refused() -> None:
    mailbox = Mailbox(largest=MAX_BYTES)
    mailbox.receive(said(b" " * 10_000_000))
    mailbox.receive(said(b"x" * MAX_BYTES))
    large, fits = waiting(mailbox)
    assert (len(large.payload), len(fits.payload)) == (MAX_BYTES + 1, MAX_BYTES)
    with pytest.raises(ConfigError, match=f"at most {MAX_BYTES} bytes, found more"):
        command_of(TOPICS, large)


@pytest.mark.parametrize(
    "large",
    [
        said(b"x" * 60_000),
        said(b"", "edge/box/prompt/" + "x" * 60_000 + "/text/set"),
        said(b"", response="r" * 60_000),
        said(b"", correlation=b"c" * 60_000),
        said(b"", content_type="t" * 60_000),
    ],
    ids=["payload", "topic", "response", "correlation", "content type"],
)
def test_what_waits_is_bounded_in_bytes_whatever_part_has_them(
    large: Received, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    mailbox = Mailbox()
    for _ in range(500):
        mailbox.receive(large)
    mailbox.receive(said(b"small"))
    kept = waiting(mailbox)
    assert 3_900_000 < sum(one.size for one in kept) <= 4 * 1024 * 1024
    assert kept[-1].payload == b"small"
    assert len(caplog.records) == 1  # a flood of commands is no flood of the log


def test_room_that_is_made_is_used_again() -> None:
    mailbox = Mailbox(waiting=2)
    for number in range(5):
        mailbox.receive(said(b"%d" % number))
    reader = iter(mailbox)
    assert [next(reader).payload, next(reader).payload] == [b"0", b"1"]
    mailbox.receive(said(b"5"))
    assert next(reader).payload == b"5"


def test_old_messages_that_a_broker_keeps_do_not_crowd_out_new_ones() -> None:
    commands, searches = Mailbox(waiting=3), Mailbox("searches", 3)
    _, receive = listeners(TOPICS, HomeAssistantConfig(discovery=True), commands, searches)
    for number in range(100):
        receive(said(b"ON", f"edge/box/prompt/r{number}/enabled/set", retain=True))
        receive(said(b"{}", "edge/box/search", retain=True))
    receive(said(b"desired", retain=True))
    receive(said(b"away", "edge/box/profile/set", retain=True))
    receive(said(b"online", "homeassistant/status", retain=True))
    receive(said(b"{}", "edge/box/search"))
    assert [one.payload for one in waiting(commands)] == [b"desired", b"away", b"online"]
    assert len(waiting(searches)) == 1


def test_the_word_that_is_kept_at_an_earlier_name_of_the_box_arrives() -> None:
    commands, former = Mailbox(), ["edge/old/status"]
    _, receive = listeners(TOPICS, HomeAssistantConfig(), commands, None, former)
    receive(said(b"stopped", "edge/old/status", retain=True))
    receive(said(b"stopped", "edge/other/status", retain=True))
    assert [one.topic for one in waiting(commands)] == former


def test_a_reader_that_takes_too_long_for_one_message_is_late_and_one_that_waits_is_not() -> None:
    mailbox, go_on, taken = Mailbox(longest_s=0.05), threading.Event(), threading.Event()

    def read() -> None:
        for _ in mailbox:
            taken.set()
            go_on.wait(10)

    reader = threading.Thread(target=read)
    reader.start()
    time.sleep(0.1)
    assert not mailbox.pulse.is_late()
    mailbox.receive(said(b"hello"))
    assert taken.wait(10)
    time.sleep(0.1)
    assert mailbox.pulse.is_late()
    go_on.set()
    mailbox.close()
    reader.join(10)
