"""Stopping: what was put before ``stop`` goes out before "stopped"."""

import contextlib
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from live_broker import Broker, Listen
from patience import Eventually
from publishing import MakeMessage

from edge.delivery.outbox import Outbox
from edge.delivery.publisher import Publisher


class Interrupted(Outbox):
    """Does something in the middle of the publisher's next deletion."""

    then: Callable[[], None] | None = None

    def delete(self, seqs: Iterable[int], *, dropped: bool = False) -> None:
        super().delete(seqs, dropped=dropped)
        if self.then:
            then, self.then = self.then, None
            then()


def test_a_message_put_just_before_the_stop_is_sent(
    broker: Broker,
    listen: Listen,
    message: MakeMessage,
    tmp_path: Path,
    eventually: Eventually,
) -> None:
    listener = listen(broker.port)
    with contextlib.closing(Interrupted(tmp_path / "outbox.db", 2**20)) as outbox:
        publisher = Publisher(broker.config(), "box", outbox)
        publisher.start()
        eventually(lambda: listener.payloads("/status") == [b"online"], "the connection")
        stopper = threading.Thread(target=publisher.stop)

        def put_and_stop() -> None:
            outbox.put([message("alert", 2)])
            stopper.start()
            assert publisher._stopping.wait(5)

        outbox.then = put_and_stop
        outbox.put([message("alert", 1)])
        eventually(lambda: listener.payloads("/status")[-1:] == [b"stopped"], "the goodbye")
        stopper.join()
        assert listener.payloads("/alert") == [b"1", b"2"]
        assert outbox.pending(10) == []
