"""The daemon under the access list that is shipped: it does all that it must, and is refused nothing."""

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from live_broker import Listen, MakeBroker, properties_of
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from patience import Eventually

from edge.testing import TestCamera
from edge.testing.synthetic import write_clip

pytestmark = pytest.mark.broker

ACL = Path(__file__).resolve().parents[2] / "deploy" / "mosquitto.acl"
ALWAYS = {
    "text": "a cat", "negatives": "something else", "threshold": -2, "on": {"for": 1, "of": 1},
    "update_every": 0,
}  # fmt: skip


def test_a_box_does_its_work_under_the_access_list_and_keeps_its_files_to_itself(
    small_bundle: Path,
    run_daemon: Callable[..., Any],
    make_broker: MakeBroker,
    listen: Listen,
    eventually: Eventually,
    tmp_path: Path,
) -> None:
    broker = make_broker(f"acl_file {ACL}").start()
    clip = write_clip(tmp_path / "clip.mp4", width=320, height=240, fps=10, seconds=3, gop=10)
    heard = listen(broker.port, "edge/#", username="operator", password="")
    with TestCamera({"yard": clip}) as camera:
        daemon = run_daemon(
            bundle=str(small_bundle),
            mqtt={"host": "127.0.0.1", "port": broker.port, "username": "box", "keepalive": 5},
            prompts={"cat": ALWAYS},
            cameras={"yard": {"url": camera.url("yard"), "sample": {"fps": 5}}},
            homeassistant={"discovery": True},
            index={"enabled": True},
        )
        for ending in ("/alert", "/embedding", "/yard/state", "/box/state", "/alerting"):
            eventually(lambda ending=ending: heard.payloads(ending), ending)  # type: ignore[misc]
        answers: list[bytes] = []
        client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        client.username_pw_set("operator")
        client.on_message = lambda _client, _data, message: answers.append(bytes(message.payload))
        client.connect("127.0.0.1", broker.port)
        client.loop_start()
        client.subscribe("answers/box/me", qos=1)
        properties: Any = properties_of(PacketTypes.PUBLISH)
        properties.ResponseTopic = "answers/box/me"
        command = json.dumps({"schema": "edge-prompts/1", "prompts": {"dog": ALWAYS}})
        client.publish("edge/box/prompts/set", command, 1, retain=True, properties=properties)
        eventually(lambda: answers, "the answer to the command")
        assert json.loads(answers[0])["error"] is None
        assert daemon.terminate() == 0
    assert "Denied" not in broker.log()
    client.publish("edge/box/status", "online", 1).wait_for_publish(10)
    assert "Denied PUBLISH" in broker.log(), "the check would have seen a refusal"
    client.disconnect()
    client.loop_stop()
    state = tmp_path / "state"
    files = [path for path in state.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"outbox.db"}
    readable = {path.name for path in files if stat.S_IMODE(path.stat().st_mode) & 0o077}
    assert readable == set()
