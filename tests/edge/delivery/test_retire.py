"""``edge retire``: what a box that is gone left at the broker."""

import signal
import threading
from pathlib import Path

import pytest
from live_broker import Broker, MakeBroker, Tell
from patience import Eventually
from publishing import StartPublisher

from edge.cli.commands.retire import retire as command
from edge.delivery.client import subscribe
from edge.delivery.message import Message
from edge.delivery.retire import retire
from edge.delivery.topics import Topics
from edge.errors import ConfigError, PublishError

BOX = Topics("edge", "box")
ENTITY = "homeassistant/device/edge_box/config"


def retained(broker: Broker) -> set[str]:
    heard = subscribe(broker.config(), ["#"], timeout_s=0.3)
    return {received.topic for received in heard if received.retain}


def test_everything_of_the_box_goes_and_nothing_of_another(broker: Broker, tell: Tell) -> None:
    ours = ["edge/box/status", "edge/box/yard/state", "edge/box/prompts/set", ENTITY]
    others = {"edge/box2/status", "edge/other/status", "homeassistant/device/edge_box2/config"}
    for topic in (*ours, *others, *(f"edge/box/prompt/{n}/text/state" for n in range(60))):
        tell(broker.port, topic, b"x", retain=True)
    assert retire(broker.config(), BOX, [ENTITY], listen_s=0.3) == 64
    assert retained(broker) == others
    assert retire(broker.config(), BOX, [ENTITY], listen_s=0.1) == 0


def test_a_box_that_is_on_is_refused_and_keeps_everything(
    broker: Broker, publish: StartPublisher, eventually: Eventually
) -> None:
    publisher = publish(broker.config())
    eventually(lambda: BOX.status() in retained(broker), "the status")
    ended = threading.Event()

    def speak() -> None:
        state = Message(BOX.device_state(), b"{}", "state", None, 0, True, "application/json")
        while not ended.wait(0.05):
            publisher.publish_now(state)

    voice = threading.Thread(target=speak)
    voice.start()
    with pytest.raises(ConfigError, match="box is on"):
        retire(broker.config(), BOX, listen_s=1)
    ended.set()
    voice.join()
    assert BOX.status() in retained(broker)


def test_what_the_user_may_not_remove_is_named(
    make_broker: MakeBroker, tmp_path: Path, tell: Tell, eventually: Eventually
) -> None:
    access = tmp_path / "acl"
    access.write_text("topic readwrite #\n")
    access.chmod(0o600)
    broker = make_broker(f"acl_file {access}").start()
    for topic in ("edge/box/status", "edge/box/state"):
        tell(broker.port, topic, b"x", retain=True)
    access.write_text("topic read #\ntopic write edge/box/state\n")
    broker.signal(signal.SIGHUP)
    eventually(lambda: "Reloading config" in broker.log(), "the new rights")
    for version in ("5", "3.1.1"):
        with pytest.raises(PublishError, match=r"1 messages are still retained.*edge/box/status"):
            retire(broker.config(protocol=version), BOX, listen_s=0.2)


@pytest.mark.parametrize(("device", "prefix"), [("+", None), ("a", "#"), (None, None)])
def test_the_command_clears_one_box_only(device: str | None, prefix: str | None) -> None:
    with pytest.raises(ConfigError):
        command(host="127.0.0.1", port=1, device=device, prefix=prefix)
