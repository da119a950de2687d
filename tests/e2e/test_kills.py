"""kill -9 of the daemon at drawn moments: what it committed is heard, and its queue stays whole.

``EDGE_KILLS=200`` for a long run.
"""

import os
import random
import re
import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from running_box import Daemon, MakeBox

KILLS = int(os.environ.get("EDGE_KILLS", "6"))
SEED = 20_261_130


def integrity(outbox: Path) -> str:
    """What SQLite says about the queue as the kill left it."""
    with TemporaryDirectory() as folder:
        for file in outbox.parent.glob(f"{outbox.name}*"):
            shutil.copy(file, folder)
        with closing(sqlite3.connect(Path(folder) / outbox.name)) as db:
            return str(db.execute("PRAGMA integrity_check").fetchone()[0])


@pytest.mark.slow
def test_kill_9_at_any_moment_loses_no_committed_alert_and_leaves_none_without_an_end(
    make_box: MakeBox,
    record_property: Callable[[str, object], None],
) -> None:
    """What the log says was committed is heard by an independent subscriber, each time.

    The control that must lose, an outbox that deletes too early, is in test_outbox_crash.py.
    """
    box = make_box("max_queued_messages 0").connect("edge/+/+/alert")
    chance = random.Random(SEED)
    committed: Counter[str] = Counter()
    found: list[str] = []

    def messages_of(daemon: Daemon) -> Counter[str]:
        return Counter(re.findall(r"edge.app: alert (\S+) ", daemon.log()))

    def heard() -> Counter[str]:
        return Counter(a["id"] for a in {a["at"]: a for a in box.alerts()}.values())

    def await_messages(daemon: Daemon, count: int) -> None:
        box.eventually(lambda: messages_of(daemon).total() >= count, "a burst", 60)

    for kill in range(KILLS):
        daemon = box.start()
        if kill % 5 == 4:  # while it starts
            time.sleep(chance.uniform(0, 2))
        else:
            await_messages(daemon, chance.randint(1, 12))
            time.sleep(chance.uniform(0, 0.1))
        daemon.kill()
        committed += messages_of(daemon)
        if (box.state_dir / "outbox.db").exists():
            found.append(integrity(box.state_dir / "outbox.db"))
    last = box.start()
    await_messages(last, 2)  # the end of the last interrupted alert, and an alert of its own
    assert last.terminate() == 0
    committed += messages_of(last)
    box.eventually(lambda: not committed - heard(), "every committed alert")
    payloads = box.listener.payloads("/alert")
    lost = (committed - heard()).total()
    ends = Counter(a["id"] for a in {a["at"]: a for a in box.alerts("end")}.values())
    without_end = sum(ends[alert] != 1 for alert in heard())
    damaged = sum(one != "ok" for one in found)
    repeated = len(payloads) - len(set(payloads))
    print(f"{KILLS} kills: {committed.total()} messages of {len(committed)} alerts committed, "
          f"{lost} lost, {without_end} without one end, {repeated} repeated on the wire, "
          f"{damaged} files damaged of {len(found)}")  # fmt: skip
    record_property("committed", committed.total())
    record_property("lost", lost)
    record_property("repeated", repeated)
    record_property("without_end", without_end)
    record_property("damaged", damaged)
    assert found
    assert (lost, without_end, damaged) == (0, 0, 0)
    assert len(committed) > KILLS // 2  # some end before an alert of their own
    # At most what was on the wire, or acknowledged and not yet deleted, at each kill.
    assert repeated <= KILLS * 20
