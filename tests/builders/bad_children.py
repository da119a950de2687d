"""What may run in a camera's process in a stranger's hands, in place of ``edge.video.process.child``.

The camera's name says what it does.
"""

import json
import os
import pickle
import socket
import threading
import time
from contextlib import suppress
from typing import NoReturn

import numpy as np

from edge.video.process.beginning import Beginning
from edge.video.process.memory import Layout

SAMPLE = {
    "kind": "sample", "slot": 0, "sequence": 0, "monotonic": 1.0, "pts_s": None,
    "height": 4, "width": 4, "heartbeat": False,
}  # fmt: skip
HEALTH = {
    "kind": "health", "step": "read", "step_s": 0.0, "state": "streaming", "fps_in": 1.0,
    "fps_sampled": 1.0, "samples": 0, "dropped": 0, "corrupt": 0, "reconnects": 0,
    "arrived_s": None, "error": None, "gate": "off", "gate_share": 1.0,
}  # fmt: skip
UNNAMED = 40
"""A real-time signal, of which Python names the first and the last."""
NOW = b'"monotonic": 1.0'
"""What a record says of its sample's arrival, to be replaced by the present time."""
SENT: dict[str, list[bytes]] = {
    "noise": [b"\x80\x04\x95\xff\x00"],
    "no record": [b'{"kind": "other"}'],
    "too long": [b"x" * 100_000],
    "more than it has": [json.dumps(SAMPLE | {"more": 1}).encode()],
    "no such slot": [json.dumps(SAMPLE | {"slot": 4}).encode()],
    "a slot twice": [json.dumps(SAMPLE).encode(), json.dumps(SAMPLE | {"sequence": 1}).encode()],
    "backwards": [
        json.dumps(SAMPLE | {"sequence": 7}).encode(),
        json.dumps(SAMPLE | {"slot": 1, "sequence": 7}).encode(),
    ],
    "a jump": [json.dumps(SAMPLE | {"sequence": 2**53 - 1}).encode()],
    "a count that jumps": [json.dumps(HEALTH | {"samples": 2**53 - 1}).encode()],
    "damage that jumps": [json.dumps(HEALTH | {"corrupt": 2**53 - 1}).encode()],
    "a packet of ages ago": [json.dumps(HEALTH | {"arrived_s": 1e15}).encode()],
    "of the past": [json.dumps(SAMPLE | {"monotonic": 0.5}).encode()],
    "of the future": [json.dumps(SAMPLE | {"monotonic": 1e12}).encode()],
    "no number": [json.dumps(SAMPLE | {"monotonic": float("nan")}).encode()],
    "unasked": [json.dumps({"kind": "answer", "number": 1, "size": 1}).encode()],
    "a log of others": [
        json.dumps({"kind": "log", "level": 50, "name": "root", "text": "", "trace": None}).encode()
    ],
    "a chatterbox": [
        json.dumps({"kind": "log", "level": 40, "name": "edge", "text": "", "trace": None}).encode()
    ]
    * 20,
    "a flood": [json.dumps(HEALTH).encode()] * 2_000,
    "has ended": [json.dumps(HEALTH | {"state": "ended"}).encode()],
    "has stopped": [json.dumps(HEALTH | {"state": "stopped"}).encode()],
    "hangs": [json.dumps(HEALTH | {"step": "decode", "step_s": 60.0}).encode()],
}
RETRYING: dict[str, object] = HEALTH | {
    "state": "retrying",
    "step": "read",
    "error": "no data for 5 s",
}
RENEWED: dict[str, list[dict[str, object]]] = {
    "makes room": [RETRYING, {"kind": "renewal"}],
    "just ends": [RETRYING],
}


JPEG = b"\xff\xd8 a picture \xff\xd9"
# Seconds until it answers a question, and the answer.
ANSWERS: dict[str, tuple[float, bytes]] = {
    "a picture": (0.0, JPEG),
    "a picture that comes late": (0.4, JPEG),
    "no picture": (0.0, b"<script>" + JPEG),
    "half a picture": (0.0, JPEG[:-1]),
    "a picture too large": (0.0, JPEG[:-2] + bytes(10_000_000) + JPEG[-2:]),
}


def answer(channel: socket.socket, beginning: Beginning, memory: int) -> NoReturn:
    """Answer each question as ``ANSWERS`` says."""
    shared = Layout(beginning.image, None).map(memory, writable=True)
    wait_s, data = ANSWERS[beginning.name]
    channel.send(json.dumps(SAMPLE | {"monotonic": time.monotonic()}).encode())
    channel.settimeout(0.5)
    while True:
        channel.send(json.dumps(HEALTH | {"samples": 1}).encode())
        with suppress(TimeoutError):
            asked = json.loads(channel.recv(1 << 15) or "{}")
            if asked.get("kind") == "ask":
                time.sleep(wait_s)
                shared.answer[: len(data)] = np.frombuffer(data, np.uint8)
                told = {"kind": "answer", "number": asked["number"], "size": len(data)}
                channel.send(json.dumps(told).encode())


def begin(channel: socket.socket, name: str) -> None:
    """Say that it makes room, or give the first samples after a break."""
    for told in RENEWED.get(name, []):
        channel.send(json.dumps(told).encode())
    if name in RENEWED:
        os._exit(0)
    for number in range(2 if name == "a break" else 0):
        sample = {"slot": number, "sequence": number, "after_break": number == 0}
        channel.send(json.dumps(SAMPLE | sample | {"monotonic": time.monotonic()}).encode())


def prepare() -> None:
    """There is nothing to share."""


def run(channel: socket.socket, memory: int) -> None:
    """Do what the name of the camera says."""
    beginning: Beginning = pickle.loads(channel.recv(1 << 17))
    name = beginning.name
    if name in ANSWERS:
        answer(channel, beginning, memory)
    if name == "many threads":
        for _ in range(80):
            threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    begin(channel, name)
    hoard = []
    if name == "grows":
        hoard = [bytearray(b"x" * 1_000_000) for _ in range(100)]
    for data in SENT.get(name, []):
        channel.send(data.replace(NOW, f'"monotonic": {time.monotonic()}'.encode()))
    if name == "stamps ahead":
        channel.send(json.dumps(SAMPLE | {"monotonic": time.monotonic() + 0.9}).encode())
    if name == "a signal without a name":
        os.kill(os.getpid(), UNNAMED)
    while hoard or name != "is silent":
        channel.send(SENT["hangs"][0] if name == "hangs" else json.dumps(HEALTH).encode())
        time.sleep(0.1)
    time.sleep(60)
