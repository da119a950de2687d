"""A box on disk, for tests of backups: its configuration, and a state with something in each file."""

import contextlib
from pathlib import Path

from edge.delivery.message import Message
from edge.delivery.outbox import Outbox
from edge.system.kept_file import KeptFile

SECRETS = {
    "secrets.yaml": "broker: canary-broker\n",
    "credentials/device.key": "canary-key\n",
    "tls/ca.pem": "a certificate\n",
}


def message(number: int) -> Message:
    payload = b"alert %d" % number
    return Message("edge/nvr-01/yard/alert", payload, "alert", "yard", 1, False, "text/plain")


def make_box(folder: Path, device: str = "nvr-01", *, alerts: int = 3, word: str = "old") -> Path:
    """Write a box; ``word`` is in each of its files. Returns its configuration file."""
    files = {
        "edge.yaml": (
            f"# {word}\ndevice: {{id: {device}}}\nstate_dir: state\n"
            "mqtt: {host: broker.example, username: box, password: !secret broker,"
            " tls: {ca: tls/ca.pem}}\n"
        ),
        **{name: f"{text}# {word}\n" for name, text in SECRETS.items()},
        "state/desired.json": '{"schema_": "edge-desired/1", "accepted": {}}',
        "not-ours.txt": "stays",
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o600)
    state = folder / "state"
    with contextlib.closing(Outbox(state / "outbox.db", 1 << 20)) as outbox:
        outbox.put([message(number) for number in range(alerts)])
    for name in ("learned.db", "feedback.db"):
        kept = KeptFile(state / name, "CREATE TABLE words (word TEXT)")
        kept.do(lambda db: db.execute("INSERT INTO words VALUES (?)", (word,)))
    return folder / "edge.yaml"


def waiting(state: Path) -> list[bytes]:
    """Payloads that wait in the outbox of a state folder."""
    with contextlib.closing(Outbox(state / "outbox.db", 1 << 20)) as outbox:
        return [queued.message.payload for queued in outbox.pending(1000)]


def word_of(path: Path) -> str:
    """The word in a side file."""
    kept = KeptFile(path, "CREATE TABLE words (word TEXT)")
    return str(kept.do(lambda db: db.execute("SELECT word FROM words").fetchone()[0]))
