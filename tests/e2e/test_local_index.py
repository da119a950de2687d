"""The index in the running daemon: recorded, searched on the box and over MQTT, after a crash too."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from running_box import Box, edge, rewritten

from edge.cli.schemas import schemas
from edge.model.bundle.read import open_bundle
from edge.search.index.store import Reader

KEEPING: dict[str, Any] = {
    "prompts": {"thing": {"text": "red", "threshold": 2}},
    "index": {"enabled": True},
}


@pytest.fixture
def kept(tmp_path: Path, small_bundle: Path) -> Callable[..., Any]:
    """How many embeddings are on disk."""
    bundle = open_bundle(small_bundle)
    folder = tmp_path / "state" / "index" / bundle.hash

    def count() -> int:
        heads = (path.read_bytes() for path in folder.glob("*/*/rows"))
        dims = {head[8] for head in heads if len(head) > 8}  # the daemon may be about to write it
        readers = [Reader(folder, dim).segments(None, 0, 1e12) for dim in dims]
        return sum(one.segment.extent.count for found in readers for one in found)

    return count


def asked(port: int, request: str) -> tuple[Any, list[Any]]:
    """The answer to a request over MQTT 5, of a client that is not ours."""
    answers: list[Any] = []
    ready = threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)

    def subscribe(*_: Any) -> None:
        client.subscribe("asker/inbox", qos=1)

    client.on_connect = subscribe
    client.on_subscribe = lambda *_: ready.set()
    client.on_message = lambda _client, _data, message: answers.append(message)
    client.connect("127.0.0.1", port)
    client.loop_start()
    assert ready.wait(10)
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.ResponseTopic, properties.CorrelationData = "asker/inbox", b"42"
    client.publish("edge/box/search", request, qos=1, properties=properties)
    return client, answers


def test_what_cameras_see_is_kept_and_searched_on_the_box_and_over_mqtt(
    box: Box, kept: Callable[..., Any]
) -> None:
    daemon = box.start(**KEEPING)
    box.eventually(lambda: kept() >= 5, "embeddings on disk", 30)
    found = edge("search", "red", "--config", daemon.config, "--json")
    typo = edge("search", "red", "--config", daemon.config, "--camera", "yrad")
    assert found.returncode == 0, found.stderr
    answer = json.loads(found.stdout)
    assert answer["samples"] >= 5
    assert typo.returncode == 2
    assert "there is no camera 'yrad'; did you mean 'yard'?" in typo.stderr
    request = json.dumps({"schema": "edge-search/1", "text": "red", "since": "1h"})
    client, answers = asked(box.broker.port, request)
    box.eventually(lambda: answers, "an answer over MQTT", 30)
    told = json.loads(answers[0].payload)
    assert answers[0].properties.CorrelationData == b"42"
    Draft202012Validator(json.loads(schemas()["search-answer.json"])).validate(told)
    assert told["error"] is None
    assert told["samples"] >= 5
    client.publish("edge/box/search", b"nonsense", qos=1)
    client.disconnect()
    client.loop_stop()
    assert daemon.terminate() == 0


def error_of(box: Box, request: dict[str, Any]) -> str | None:
    """What the box says is wrong with a search."""
    client, answers = asked(box.broker.port, json.dumps(request))
    box.eventually(lambda: answers, "an answer over MQTT", 30)
    client.disconnect()
    client.loop_stop()
    error: str | None = json.loads(answers[0].payload)["error"]
    return error


def test_a_search_knows_the_cameras_of_the_file_that_was_read_again(box: Box) -> None:
    yard, nowhere = box.watched(), box.watched("rtsp://127.0.0.1:9/nowhere")
    daemon = box.start(**KEEPING, cameras={"yard": yard, "attic": nowhere})
    box.eventually(lambda: box.states("prompts/state"), "the daemon runs", 30)
    rewritten(daemon, cameras={"yard": yard, "cellar": nowhere})
    box.eventually(lambda: "watching yard, cellar" in daemon.log(), "other cameras")
    for camera, known in (("cellar", True), ("attic", False)):  # the index has neither
        error = error_of(box, {"schema": "edge-search/1", "text": "red", "camera": camera})
        assert error is None if known else f"there is no camera '{camera}'" in str(error)
    assert daemon.terminate() == 0


def test_a_killed_daemon_loses_seconds_of_it_and_goes_on(
    box: Box, kept: Callable[..., Any]
) -> None:
    daemon = box.start(**KEEPING)
    box.eventually(lambda: kept() >= 3, "embeddings on disk", 30)
    daemon.kill()
    before = kept()
    assert before >= 3
    daemon = box.start(**KEEPING)
    box.eventually(lambda: kept() > before, "more of them", 30)
    assert daemon.terminate() == 0
    assert "Traceback" not in daemon.log()


def test_where_it_is_off_nothing_is_kept_and_search_says_what_to_do(
    box: Box,
) -> None:
    daemon = box.start(**KEEPING | {"index": {"enabled": False}})
    box.eventually(lambda: "watching yard" in daemon.log(), "the daemon runs")
    found = edge("search", "red", "--config", daemon.config)
    assert daemon.terminate() == 0
    assert found.returncode == 2
    assert "set index.enabled" in found.stderr
    assert not (box.state_dir / "index").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["red"], "expected --config or --index"),
        (["red", "--index", ".", "--bundle", "BUNDLE", "--since", "soon"], "expected an index"),
    ],
)
def test_a_wrong_call_is_told(arguments: list[str], said: str, small_bundle: Path) -> None:
    found = edge("search", *[str(small_bundle) if a == "BUNDLE" else a for a in arguments])
    assert found.returncode == 2
    assert said in found.stderr
