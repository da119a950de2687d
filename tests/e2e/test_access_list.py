"""The daemon under the access list that is shipped: it does all that it must, and is refused nothing."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from live_broker import properties_of
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from running_box import MakeBox

pytestmark = pytest.mark.broker

ACL = Path(__file__).resolve().parents[2] / "deploy" / "mosquitto.acl"
ALWAYS = {
    "text": "a cat", "negatives": "something else", "threshold": -2, "on": {"for": 1, "of": 1},
    "update_every": 0,
}  # fmt: skip


def test_a_box_does_its_work_under_the_access_list_and_keeps_its_files_to_itself(
    make_box: MakeBox,
) -> None:
    box = make_box(f"acl_file {ACL}").connect("edge/#", username="operator", password="")
    daemon = box.start(
        mqtt=box.mqtt(username="box"),
        prompts={"cat": ALWAYS},
        cameras={"yard": box.watched(sample={"fps": 5})},
        homeassistant={"discovery": True},
        index={"enabled": True},
    )
    for topic in ("yard/alert", "yard/embedding", "yard/state", "state", "yard/cat/alerting"):
        box.eventually(lambda topic=topic: box.heard(topic), topic)  # type: ignore[misc]
    answers: list[bytes] = []
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.username_pw_set("operator")
    client.on_message = lambda _client, _data, message: answers.append(bytes(message.payload))
    client.connect("127.0.0.1", box.broker.port)
    client.loop_start()
    client.subscribe("answers/box/me", qos=1)
    properties: Any = properties_of(PacketTypes.PUBLISH)
    properties.ResponseTopic = "answers/box/me"
    command = json.dumps({"schema": "edge-prompts/1", "prompts": {"dog": ALWAYS}})
    client.publish("edge/box/prompts/set", command, 1, retain=True, properties=properties)
    box.eventually(lambda: answers, "the answer to the command")
    assert json.loads(answers[0])["error"] is None
    assert daemon.terminate() == 0
    assert "Denied" not in box.broker.log()
    client.publish("edge/box/status", "online", 1).wait_for_publish(10)
    assert "Denied PUBLISH" in box.broker.log(), "the check would have seen a refusal"
    client.disconnect()
    client.loop_stop()
    files = [path for path in box.state_dir.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"outbox.db"}
    readable = {path.name for path in files if stat.S_IMODE(path.stat().st_mode) & 0o077}
    assert readable == set()
