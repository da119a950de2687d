"""kill -9 of the daemon in the middle of its work: what it committed arrives, each time.

The worker is this file run as a program: it puts alerts into a real outbox, drained by a real
publisher, and prints each number once it is committed. An independent subscriber, whose session
outlives everything, counts. ``EDGE_KILLS=200`` for a long run.
"""

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from live_broker import Broker, Listen, MakeBroker
from patience import Eventually

from edge.config.models import MqttConfig
from edge.delivery.message import Message
from edge.delivery.outbox import Outbox
from edge.delivery.publisher import Publisher
from edge.delivery.queued import Queued
from edge.system.backoff import BROKER, Backoff

KILLS = int(os.environ.get("EDGE_KILLS", "8"))
# Each kill loses what the forgetful outbox had on the wire.
CONTROL_KILLS = 3
BURST = 40
SOON = replace(BROKER, unreachable=Backoff(first_s=0.05, cap_s=0.2, shortest_share=0.5))


class ForgetfulOutbox(Outbox):
    """The negative control: deletes a message when it is read, not when it is acknowledged."""

    def pending(
        self, limit: int, excluding: Iterable[int] = (), holding: Iterable[str] = ()
    ) -> list[Queued]:
        queued = super().pending(limit, excluding, holding)
        self.delete([row.seq for row in queued])
        return queued


def work(port: int, path: Path, first: int, kind: str) -> None:
    outbox = (ForgetfulOutbox if kind == "forgetful" else Outbox)(path, 64 * 1024 * 1024)
    config = MqttConfig(host="127.0.0.1", port=port)
    publisher = Publisher(config, "box", outbox, retry=SOON)
    publisher.start()
    if first < 0:  # only empty the outbox
        while sum(outbox.counts().queued.values()):
            time.sleep(0.01)
        publisher.stop()
        return
    for start in itertools.count(first, BURST):
        numbers = range(start, start + BURST)
        outbox.put(
            [
                Message("edge/box/yard/alert", b"%d" % number + b" " * 400, "alert", "yard",
                        1, False, "text/plain")
                for number in numbers
            ]
        )  # fmt: skip
        os.write(1, b"".join(b"%d\n" % number for number in numbers))
        time.sleep(0.008)


@dataclass
class Account:
    committed: int
    lost: set[int]
    repeated: int
    in_order: bool


def crash_repeatedly(
    broker: Broker,
    listen: Listen,
    eventually: Eventually,
    path: Path,
    kind: str,
    kills: int,
) -> Account:
    chance = random.Random(20_250_614)
    listener = listen(broker.port, "edge/+/+/alert")
    command = [sys.executable, __file__, str(broker.port), str(path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    committed: list[int] = []
    for _ in range(kills):
        first = committed[-1] + 1 if committed else 0
        # What was committed and not printed any more is neither promised nor counted.
        first += 1000
        with subprocess.Popen(
            [*command, str(first), kind], stdout=subprocess.PIPE, env=environment
        ) as worker:
            assert worker.stdout is not None
            printed = worker.stdout.readline()
            time.sleep(chance.uniform(0.0, 0.5))
            os.kill(worker.pid, signal.SIGKILL)
            printed += worker.stdout.read()
        # A line cut off by the kill was not finished.
        committed += map(int, printed[: printed.rfind(b"\n")].split())
    subprocess.run([*command, "-1", kind], check=True, timeout=60, env=environment)

    def heard() -> list[int]:
        return [int(payload) for payload in listener.payloads("alert")]

    if kind == "real":
        eventually(lambda: set(committed) <= set(heard()), "all that was committed", 30)
    else:
        seen = -1
        while seen != (seen := len(listener.heard)):  # until nothing more comes
            time.sleep(1)
    counted = Counter(heard())
    return Account(
        committed=len(committed),
        lost=set(committed) - counted.keys(),
        repeated=sum(counted.values()) - len(counted),
        in_order=list(counted) == sorted(counted),
    )


@pytest.fixture
def patient_broker(make_broker: MakeBroker) -> Broker:
    return make_broker("max_queued_messages 0").start()


@pytest.mark.broker
@pytest.mark.slow
def test_nothing_committed_is_lost_when_the_daemon_is_killed(
    patient_broker: Broker,
    listen: Listen,
    eventually: Eventually,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    path = tmp_path / "outbox.db"
    account = crash_repeatedly(patient_broker, listen, eventually, path, "real", KILLS)
    record_property("committed", account.committed)
    record_property("lost", len(account.lost))
    print(f"{KILLS} kills: {account.committed} committed, {len(account.lost)} lost, "
          f"{account.repeated} repeated on the wire")  # fmt: skip
    assert account.committed >= KILLS * BURST
    assert account.lost == set()
    assert account.in_order
    # At most what was on the wire, or acknowledged and not yet deleted, at each kill.
    assert account.repeated <= KILLS * 200


@pytest.mark.broker
@pytest.mark.slow
def test_the_harness_notices_an_outbox_that_deletes_before_the_acknowledgement(
    patient_broker: Broker, listen: Listen, eventually: Eventually, tmp_path: Path
) -> None:
    path = tmp_path / "outbox.db"
    account = crash_repeatedly(patient_broker, listen, eventually, path, "forgetful", CONTROL_KILLS)
    print(f"negative control: {account.committed} committed, {len(account.lost)} lost")
    assert account.lost


if __name__ == "__main__":
    work(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
