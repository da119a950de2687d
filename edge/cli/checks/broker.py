"""Checks that the broker accepts this device: its last will, its topics and its subscriptions."""

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from edge.cli.checks.outbox import OutboxFound
from edge.cli.checks.result import CheckResult, failure
from edge.cli.checks.topics import named, refused_topics, trials
from edge.config.models import Config
from edge.control.mailbox import Mailbox, listeners
from edge.delivery.mqtt.connection import Connection
from edge.delivery.mqtt.dialer import connect
from edge.delivery.mqtt.refusals import Refused, SubscriptionRefused, WrongProtocol
from edge.delivery.mqtt.terms import Terms
from edge.delivery.payloads import status_message
from edge.delivery.publisher import client_id_of
from edge.delivery.topics import Topics
from edge.errors import EdgeError, PublishError

_LOOPBACK: Final = {"localhost", "127.0.0.1", "::1"}
_ALIVE: Final = {b"online", b"degraded"}


@dataclass(frozen=True, slots=True)
class _Found:
    """What a broker answered to one connection.

    Attributes:
        protocol: Version of MQTT.
        terms: What it accepts.
        online: Whether a box of the same topics says that it is online.
        subscriptions: Why subscriptions are refused; empty where none is.
        topics: Outcome of the trial of the topics.
    """

    protocol: str
    terms: Terms
    online: bool
    subscriptions: str
    topics: CheckResult


def check_broker(config: Config, outbox: OutboxFound) -> Iterator[CheckResult]:
    """Connect as the daemon does, subscribe to commands, and publish to each topic.

    The first connection has a client id of its own, so that a daemon keeps its session. Where the
    broker refuses something and no daemon runs here, a second one has the daemon's id, because
    rights may depend on it.
    """
    own = client_id_of(config.mqtt, config.device.id)
    found: _Found | None = None
    error: EdgeError | None = None
    for client_id in (f"edge-check-{secrets.token_hex(4)}", own):
        try:
            found, error = _ask(config, client_id, outbox), None
        except EdgeError as exc:
            error = exc
        refused = found is not None and (found.topics.exit_code or found.subscriptions)
        retry = isinstance(error, Refused | WrongProtocol) if error else refused
        if not retry or outbox.held or (found is not None and found.online):
            break
    if error is not None or found is None:
        yield failure("broker", error or PublishError("no answer"))
        return
    yield _connection(config, found, outbox)
    yield found.topics


def _ask(config: Config, client_id: str, outbox: OutboxFound) -> _Found:
    topics = Topics(config.mqtt.topic_prefix, config.device.id)
    searches = Mailbox() if config.index.enabled else None
    filters, _ = listeners(topics, config.homeassistant, Mailbox(), searches)
    refused = ""
    with connect(config.mqtt, client_id, status_message(topics, "offline")) as connection:
        with contextlib.suppress(SubscriptionRefused):  # the box itself need not read its status
            # The word that is retained there comes before the answer to the next subscription.
            connection.subscribe([topics.status()])
        try:
            connection.subscribe(filters)
        except SubscriptionRefused as exc:
            refused = str(exc)
        words = [got.payload for got in connection.received() if got.topic == topics.status()]
        online = bool(_ALIVE.intersection(words))
        tried = _topics(config, topics, connection, outbox, online=online)
        return _Found(connection.protocol, connection.terms, online, refused, tried)


def _topics(
    config: Config, topics: Topics, connection: Connection, outbox: OutboxFound, *, online: bool
) -> CheckResult:
    """Publish to each topic, unless a box is at work there or the broker does not answer."""
    if outbox.held or online:
        return CheckResult("topics", "not tried: the box is online; its log says what is refused")
    if connection.protocol != "5":
        return CheckResult("topics", "not tried: over MQTT 3.1.1 a broker says no refusal")
    if not connection.terms.max_qos:
        return CheckResult("topics", "not tried: the broker acknowledges nothing")
    messages = trials(config, topics, status=outbox.exists)
    try:
        refused = refused_topics(connection, messages)
    except PublishError as exc:
        return failure("topics", exc)
    if not refused:
        return CheckResult("topics", f"{len(messages)} topics, the broker takes messages on each")
    text = (
        f"the broker refuses messages on {named(refused)}; let this box write there (docs/mqtt.md)"
    )
    return failure("topics", PublishError(text))


def _connection(config: Config, found: _Found, outbox: OutboxFound) -> CheckResult:
    mqtt, terms = config.mqtt, found.terms
    remarks = [*terms.shortfalls]
    if mqtt.password and not mqtt.tls and mqtt.host not in _LOOPBACK:
        remarks.append("set mqtt.tls: the password travels in the clear")
    if found.subscriptions:
        remarks.append(f"{found.subscriptions}: commands over MQTT do not arrive")
    if found.online and not outbox.held:
        remarks.append(
            f"a box that calls itself {config.device.id!r} is online already, and none runs here:"
            " if it is another one, give each its own device.id"
        )
    security = "TLS, its certificate verified" if mqtt.tls else "not encrypted"
    said = f"{mqtt.host}:{mqtt.port}, MQTT {found.protocol}, {security}"
    if terms.keepalive_s is not None:
        said += f", wants a keep-alive of {terms.keepalive_s} s"
    if terms.client_id is not None:
        said += f", calls us {terms.client_id!r}"
    return CheckResult("broker", said, tuple(remarks))
