"""Keeps what the client library reports of one connection: the broker's answers, and the end."""

from dataclasses import dataclass
from typing import Any, Final

from paho.mqtt.client import Client
from paho.mqtt.enums import LogLevel
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge.config.models import MqttConfig
from edge.delivery.mqtt.refusals import Lost, ended, garbled, hung_up, in_words, refusal
from edge.delivery.mqtt.terms import Feature, Terms, terms_of
from edge.errors import PublishError
from edge.system.redact import redact

# What paho makes of a packet that it cannot read.
_PROTOCOL_ERROR: Final = 0x82
# Reason codes from this one on are failures (MQTT 5, section 2.4).
_FIRST_REFUSAL: Final = 0x80


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """PUBACK: number of the packet, and whether the broker accepted it.

    Attributes:
        code: MQTT 5 reason code. Always 0 over 3.1.1.
        reason: The code in words, with the broker's own.
    """

    packet: int
    code: int
    reason: str

    @property
    def refused(self) -> bool:
        """Whether the broker did not accept it (MQTT 5, section 3.4.2.1)."""
        return self.code >= _FIRST_REFUSAL


class BrokerAnswers:
    """Answers of the broker, as the callbacks of the client library report them.

    Args:
        config: Address of the broker.
        protocol: MQTT version: ``"5"`` or ``"3.1.1"``.
        without: What to do without, because the broker refused it.

    Attributes:
        connack: Answer to CONNECT; None before.
        suback: Answers to the last SUBSCRIBE: None for a filter that is accepted, else the reason;
            empty before.
        acknowledged: PUBACKs that nobody has taken.
        terms: What the broker accepts.
        lost: Reason of the end of the connection; None while it is open.
        detail: The library's last words about an error.
    """

    def __init__(self, config: MqttConfig, protocol: str, without: frozenset[Feature]) -> None:
        self.connack: ReasonCode | None = None
        self.suback: list[str | None] = []
        self.acknowledged: list[Acknowledged] = []
        self.terms: Terms = terms_of(None, without)
        self.lost: PublishError | None = None
        self.detail = ""
        self._config = config
        self._where = f"{config.host}:{config.port}"
        self._protocol = protocol
        self._without = without

    def listen(self, client: Client) -> None:
        """Take in what ``client`` reports."""
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_log = self._on_log

    def _on_connect(
        self, client: Any, _data: Any, _flags: Any, code: ReasonCode, properties: Properties | None
    ) -> None:
        self.connack = code
        if code.is_failure:
            self.lost = refusal(self._where, self._protocol, code, properties)
            return
        client.on_log = None  # paho formats a log line per packet
        self.terms = terms_of(properties, self._without)
        if self.terms.keepalive_s == 0 or (self.terms.keepalive_s or 0) > self._config.keepalive:
            # The broker allows longer silence than we do; paho has no public way to ping sooner.
            client._keepalive = round(self._config.keepalive)  # noqa: SLF001

    def _on_disconnect(
        self, _client: Any, _data: Any, flags: Any, code: ReasonCode, properties: Properties | None
    ) -> None:
        if self.lost:
            return  # the reason is known
        why = redact(self.detail) or str(code)
        if flags.is_disconnect_packet_from_server:
            self.lost = ended(self._where, code, properties)
        elif self.connack is None and code.value == _PROTOCOL_ERROR:
            self.lost = garbled(self._where)
        elif self.connack is None:
            self.lost = hung_up(self._where, why, self._config)
        else:
            self.lost = Lost(f"broker {self._where}: connection lost ({why})")

    def _on_publish(
        self,
        _client: Any,
        _data: Any,
        packet: int,
        code: ReasonCode,
        properties: Properties | None,
    ) -> None:
        self.acknowledged.append(Acknowledged(packet, code.value, in_words(code, properties)))

    def _on_subscribe(
        self,
        _client: Any,
        _data: Any,
        _packet: int,
        codes: list[ReasonCode],
        properties: Properties | None,
    ) -> None:
        self.suback = [in_words(code, properties) if code.is_failure else None for code in codes]

    def _on_log(self, _client: Any, _data: Any, level: int, text: str) -> None:
        if level == LogLevel.MQTT_LOG_ERR:
            self.detail = text
