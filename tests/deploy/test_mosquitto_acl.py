"""The access list that is shipped, in a real mosquitto: who may publish and who hears what."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from live_broker import Broker, MakeBroker
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

pytestmark = pytest.mark.broker

ACL = Path(__file__).resolve().parents[2] / "deploy" / "mosquitto.acl"
# Answers of the broker to PUBLISH (MQTT 5, section 3.4.2.1): nobody listens is no refusal.
GRANTED, NOBODY, REFUSED = 0x00, 0x10, 0x87

COMMANDS = [
    "prompts/set", "prompt/cat/threshold/set", "profile/set", "feedback/set", "search",
]  # fmt: skip
OWN = [
    "status", "state", "yard/alert", "yard/snapshot/01A", "yard/embedding", "yard/state",
    "yard/cat/alerting", "yard/cat/snapshot", "prompts/state", "answer",
]  # fmt: skip
WRITES = [
    *(("box", f"edge/box/{topic}", True) for topic in OWN),
    *(("box", f"edge/other/{topic}", False) for topic in [*OWN, *COMMANDS]),
    ("box", "answers/box/inbox", True), ("box", "answers/other/inbox", False),
    ("box", "homeassistant/device/edge_box/config", True),
    ("box", "homeassistant/device/edge_other/config", False),
    ("box", "homeassistant/switch/lamp/set", False), ("box", "anything", False),
    *(("listener", f"edge/box/{topic}", False) for topic in [*OWN, *COMMANDS]),
    *(("operator", f"edge/box/{topic}", True) for topic in COMMANDS),
    *(("operator", f"edge/box/{topic}", False) for topic in OWN),
    ("operator", "homeassistant/status", False),
    ("homeassistant", "edge/box/prompts/set", True), ("homeassistant", "edge/box/search", False),
    ("homeassistant", "edge/box/status", False), ("homeassistant", "homeassistant/status", True),
    ("stranger", "edge/box/prompts/set", False), ("stranger", "edge/box/status", False),
]  # fmt: skip
READS = [
    *(("box", f"edge/box/{topic}", True) for topic in COMMANDS),
    *(("box", f"edge/other/{topic}", False) for topic in [*OWN, *COMMANDS]),
    ("box", "homeassistant/status", True), ("box", "answers/operator/inbox", False),
    *(("listener", f"edge/box/{topic}", True) for topic in OWN),
    ("listener", "answers/box/inbox", False), ("operator", "answers/box/inbox", True),
    ("operator", "edge/box/yard/alert", True), ("homeassistant", "edge/box/yard/alert", True),
    ("stranger", "edge/box/yard/alert", False), ("stranger", "edge/box/prompts/set", False),
]  # fmt: skip

Login = Callable[[str], "Client"]


class Client:
    """A client of MQTT 5 that logs in as somebody and says what the broker answers."""

    def __init__(self, port: int, user: str) -> None:
        self.heard: list[str] = []
        self._codes: dict[int, int] = {}
        self._answered = threading.Condition()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.username_pw_set(user)
        self._client.on_publish = self._on_publish
        self._client.on_subscribe = self._on_publish
        self._client.on_message = lambda _client, _data, message: self.heard.append(message.topic)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _on_publish(self, _client: Any, _data: Any, packet: int, code: Any, _more: Any) -> None:
        with self._answered:
            self._codes[packet] = getattr(code, "value", 0)
            self._answered.notify_all()

    def _code(self, packet: int | None) -> int:
        assert packet is not None
        with self._answered:
            assert self._answered.wait_for(lambda: packet in self._codes, 10)
            return self._codes[packet]

    def publish(self, topic: str) -> int:
        """Reason code of the PUBACK."""
        return self._code(self._client.publish(topic, b"x", qos=1).mid)

    def subscribe(self, topic: str) -> None:
        self._code(self._client.subscribe(topic, qos=0)[1])

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def login(tmp_path: Path, make_broker: MakeBroker) -> Iterator[Login]:
    path = tmp_path / "acl"
    # What no shipped list has: somebody who may everything, to see what others hear.
    path.write_text(ACL.read_text() + "\nuser everything\ntopic readwrite #\n")
    broker: Broker = make_broker(f"acl_file {path}").start()
    clients: list[Client] = []

    def log_in(user: str) -> Client:
        clients.append(Client(broker.port, user))
        return clients[-1]

    yield log_in
    for client in clients:
        client.close()


@pytest.mark.parametrize("user", sorted({user for user, _, _ in WRITES}))
def test_who_may_publish(login: Login, user: str) -> None:
    client = login(user)
    found = {topic: client.publish(topic) for name, topic, _ in WRITES if name == user}
    wanted = {topic: allowed for name, topic, allowed in WRITES if name == user}
    assert {topic: code != REFUSED for topic, code in found.items()} == wanted
    assert set(found.values()) <= {GRANTED, NOBODY, REFUSED}


@pytest.mark.parametrize("user", sorted({user for user, _, _ in READS}))
def test_who_hears_what(login: Login, user: str) -> None:
    client, speaker = login(user), login("everything")
    wanted = {topic: allowed for name, topic, allowed in READS if name == user}
    for topic in (*wanted, "edge/#", "answers/#"):
        client.subscribe(topic)
    for topic in wanted:
        assert speaker.publish(topic) in {GRANTED, NOBODY}
    client.subscribe("the/end")  # its answer comes after all that was sent before
    assert {topic: topic in client.heard for topic in wanted} == wanted


def test_the_check_would_see_a_list_that_allows_too_much(make_broker: MakeBroker) -> None:
    broker = make_broker().start()  # without a list
    client = Client(broker.port, "stranger")
    assert client.publish("edge/box/prompts/set") != REFUSED
    client.close()
