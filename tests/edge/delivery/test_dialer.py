"""What is remembered of a broker from one connection to the next."""

import socket
import threading
import time
from collections.abc import Callable

import pytest
from scripted_broker import ScriptedBroker

from edge.config.models import MqttConfig
from edge.delivery.mqtt.dialer import Dialer
from edge.delivery.mqtt.refusals import Lost
from edge.errors import PublishError

Scripted = Callable[..., ScriptedBroker]

V5, V311 = 5, 4
ACCEPTED = {V5: b"\x20\x03\x00\x00\x00", V311: b"\x20\x02\x00\x00"}
OLD = b"\x20\x02\x00\x01"  # unacceptable protocol version, as 3.1.1 says it
PATIENCE_S = 0.4


def silence(_number: int, _packet: bytes) -> bytes:
    return b""


@pytest.fixture
def dial(scripted: Scripted) -> Callable[..., tuple[Dialer, ScriptedBroker]]:
    """A dialer and the broker that answers its CONNECTs one after the other, or keeps silent."""

    def make(*answers: bytes) -> tuple[Dialer, ScriptedBroker]:
        broker = scripted(silence, connack=lambda number, _version: answers[number - 1])
        config = broker.config.model_copy(update={"protocol": "auto"})
        return Dialer(config, "edge-box", timeout_s=PATIENCE_S), broker

    return make


def protocol(dialer: Dialer) -> str:
    with dialer.connect() as connection:
        return connection.protocol


@pytest.mark.parametrize("answer", [b"", b"\x00\x00"], ids=["silent", "hangs up"])
def test_once_mqtt_5_has_worked_no_answer_is_an_outage(
    dial: Callable[..., tuple[Dialer, ScriptedBroker]], answer: bytes
) -> None:
    dialer, broker = dial(ACCEPTED[V5], answer, answer, ACCEPTED[V5])
    assert protocol(dialer) == "5"
    for _ in range(2):
        with pytest.raises(PublishError):
            protocol(dialer)
    assert protocol(dialer) == "5"
    assert broker.versions == [V5] * 4


def test_a_broker_that_answers_late_is_waited_for_longer_each_time(
    scripted: Scripted,
) -> None:
    """Such as one that asks another server who may connect."""
    late_s = 2.5 * PATIENCE_S

    def answer_late(_number: int, _version: int) -> bytes:
        time.sleep(late_s)
        return ACCEPTED[V5]

    broker = scripted(silence, connack=answer_late)
    dialer = Dialer(broker.config, "edge-box", timeout_s=PATIENCE_S)
    waits: list[str] = []
    connected = False
    while not connected:
        try:
            connected = protocol(dialer) == "5"
        except PublishError as exc:
            waits.append(str(exc).rpartition("no CONNACK in ")[2])
    assert 1 <= len(waits) <= 4
    assert waits == ["0.4 s", "0.8 s", "1.6 s", "3.2 s"][: len(waits)]


def test_a_broker_that_breaks_the_protocol_is_not_said_to_hang_up(
    dial: Callable[..., tuple[Dialer, ScriptedBroker]],
) -> None:
    zero_receive_maximum = b"\x20\x06\x00\x00\x03\x21\x00\x00"
    dialer, _ = dial(ACCEPTED[V5], zero_receive_maximum)
    assert protocol(dialer) == "5"
    with pytest.raises(PublishError, match="answers our CONNECT with a packet that breaks"):
        protocol(dialer)


def test_a_broker_that_says_it_is_old_is_believed_at_any_time(
    dial: Callable[..., tuple[Dialer, ScriptedBroker]],
) -> None:
    dialer, broker = dial(ACCEPTED[V5], OLD, ACCEPTED[V311], ACCEPTED[V5])
    assert [protocol(dialer) for _ in range(3)] == ["5", "3.1.1", "5"]
    assert broker.versions == [V5, V5, V311, V5]


def test_a_broker_that_stalls_at_the_first_connect_still_gets_mqtt_5(
    dial: Callable[..., tuple[Dialer, ScriptedBroker]],
) -> None:
    """It wakes up just as MQTT 3.1.1 is tried."""
    dialer, broker = dial(b"", ACCEPTED[V311], ACCEPTED[V5])
    assert protocol(dialer) == "5"
    assert broker.versions == [V5, V311, V5]


def test_a_broker_that_ignores_mqtt_5_is_asked_twice_once_and_then_once_a_connection(
    dial: Callable[..., tuple[Dialer, ScriptedBroker]],
) -> None:
    old = ACCEPTED[V311]
    dialer, broker = dial(b"", old, b"", old, b"", old)
    assert [protocol(dialer) for _ in range(2)] == ["3.1.1", "3.1.1"]
    assert broker.versions == [V5, V311, V5, V311, V5, V311]


def lose(dialer: Dialer) -> None:
    with dialer.connect() as connection:
        for _ in range(50):
            connection.poll(0.2)


class ClosingBroker:
    """Accepts MQTT connections and closes each one at once, as a session that is taken over."""

    def __init__(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.config = MqttConfig(
            host="127.0.0.1", port=self.server.getsockname()[1], protocol="3.1.1"
        )
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            with client:
                client.recv(1000)
                client.sendall(ACCEPTED[V311])


@pytest.mark.parametrize(("quick_s", "named"), [(30.0, True), (0.0, False)])
def test_the_third_quick_loss_names_a_client_of_the_same_id(quick_s: float, named: bool) -> None:
    broker = ClosingBroker()
    try:
        dialer = Dialer(broker.config, "edge-box", quick_s=quick_s)
        for _ in range(2):
            with pytest.raises(Lost, match="connection lost") as lost:
                lose(dialer)
            assert "same id" not in str(lost.value)
        with pytest.raises(PublishError) as third:
            lose(dialer)
        assert ("another client may have the same id 'edge-box'" in str(third.value)) is named
    finally:
        broker.server.close()
