"""The container's files: what starts is locked down, the broker knows its clients by certificate.

``make container-test`` builds the image and runs it; here is what needs no build.
"""

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from live_broker import MakeBroker
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from patience import Eventually

from edge.config.load import load_config

CONTAINER = Path(__file__).resolve().parents[2] / "deploy" / "container"
ACL = CONTAINER.parent / "mosquitto.acl"
GRANTED, NOBODY, REFUSED = 0x00, 0x10, 0x87


def certificates(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [CONTAINER / "certificates.sh", *words], capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates of the boxes nvr-01 and nvr-02."""
    folder = tmp_path_factory.mktemp("site") / "certificates"
    for box in ("nvr-01", "nvr-02"):
        done = certificates(box, folder)
        assert done.returncode == 0, done.stderr
    return folder


# Weaknesses of a service


def weaknesses(service: dict[str, Any]) -> list[str]:
    """What a process that is taken over could do, and this file lets it."""
    writable = [one for one in service["volumes"] if "./" in one and not one.endswith(":ro")]
    return [
        *(["root"] if str(service.get("user", "0")).startswith("0") else []),
        *(["writes its root"] if service.get("read_only") is not True else []),
        *(["capabilities"] if service.get("cap_drop") != ["ALL"] or "cap_add" in service else []),
        *(["new privileges"] if "no-new-privileges:true" not in service["security_opt"] else []),
        *(["privileged"] if service.get("privileged") else []),
        *(["the host's network"] if service.get("network_mode") == "host" else []),
        *(["memory without end"] if "mem_limit" not in service else []),
        *(["processes without end"] if "pids_limit" not in service else []),
        *(f"writes {one}" for one in writable),
    ]


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((CONTAINER / "compose.yaml").read_text())["services"]
    # The image says which user; compose may not change it.
    assert "user" not in found["edge"]
    found["edge"]["user"] = instruction("Dockerfile", "USER")
    return found


def instruction(name: str, word: str) -> str:
    """The last such instruction of a Dockerfile, in one line."""
    text = (CONTAINER / name).read_text().replace("\\\n", " ")
    found = [line for line in text.splitlines() if line.startswith(f"{word} ")]
    return " ".join(found[-1].split()[1:])


@pytest.mark.parametrize("name", ["mosquitto", "edge"])
def test_a_service_can_do_no_more_than_it_must(services: dict[str, Any], name: str) -> None:
    assert weaknesses(services[name]) == []


def test_the_daemon_is_not_the_first_process_which_would_inherit_zombies(
    services: dict[str, Any],
) -> None:
    assert services["edge"]["init"] is True


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"user": "0:0"}, "root"),
        ({"read_only": False}, "writes its root"),
        ({"cap_drop": ["NET_RAW"]}, "capabilities"),
        ({"cap_add": ["NET_ADMIN"]}, "capabilities"),
        ({"security_opt": []}, "new privileges"),
        ({"privileged": True}, "privileged"),
        ({"network_mode": "host"}, "the host's network"),
        (
            {"volumes": ["./edge.yaml:/etc/edge/edge.yaml"]},
            "writes ./edge.yaml:/etc/edge/edge.yaml",
        ),
    ],
)
def test_a_weakness_would_be_seen(
    services: dict[str, Any], change: dict[str, Any], found: str
) -> None:
    assert weaknesses(deepcopy(services["edge"]) | change) == [found]


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.l4t"])
def test_the_daemon_itself_says_whether_it_is_healthy(name: str) -> None:
    assert instruction(name, "HEALTHCHECK").endswith(
        'CMD ["edge", "health", "/etc/edge/edge.yaml"]'
    )
    assert int(instruction(name, "USER").split(":")[0]) > 0


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.l4t"])
def test_the_label_says_where_the_sbom_is(name: str) -> None:
    path = instruction(name, "LABEL").split("camera-edge-runtime.sbom=")[1].strip('"')
    text = (CONTAINER / name).read_text()
    assert f"-o {path}" in text
    assert f"COPY --from=build {path} {path}" in text


def test_only_the_broker_listens(services: dict[str, Any]) -> None:
    assert {name: service.get("ports", []) for name, service in services.items()} == {
        "mosquitto": ["8883:8883"],
        "edge": [],
    }


def test_the_configuration_beside_it_is_one(made: Path, tmp_path: Path) -> None:
    text = (CONTAINER / "edge.yaml").read_text()
    path = tmp_path / "edge.yaml"
    path.write_text(text.replace("/etc/edge/certificates", str(made / "edge")))
    config = load_config(path)
    assert (config.device.id, config.mqtt.port) == ("nvr-01", 8883)
    assert config.mqtt.host in (CONTAINER / "certificates.sh").read_text()
    assert f"DNS:{config.mqtt.host}" in (CONTAINER / "certificates.sh").read_text()


# Certificates


def test_keys_are_for_their_owners_only(made: Path) -> None:
    keys = [*made.rglob("*.key")]
    assert len(keys) == 6 + 1  # box.key is a link
    assert {path.stat().st_mode & 0o077 for path in keys} == {0}


def test_a_second_run_changes_nothing(made: Path) -> None:
    before = {path: path.read_bytes() for path in made.rglob("*") if path.is_file()}
    assert certificates("nvr-01", made).returncode == 0
    assert {path: path.read_bytes() for path in made.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "box", ["", "a b", "../x", "a/b", "listener", "operator", "ca", "-x", "x" * 65, "é"]
)
def test_a_name_that_is_none_is_refused_before_anything_is_made(tmp_path: Path, box: str) -> None:
    done = certificates(box, tmp_path / "made")
    assert (done.returncode, "certificates.sh: " in done.stderr) == (2, True)
    assert not (tmp_path / "made").exists()


def test_an_authority_without_its_key_is_not_replaced(made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    shutil.copytree(made, folder, symlinks=True)
    (folder / "ca.key").unlink()
    done = certificates("nvr-03", folder)
    assert (done.returncode, "expected ca.key" in done.stderr) == (2, True)
    assert (folder / "ca.crt").read_bytes() == (made / "ca.crt").read_bytes()


# The broker of compose.yaml, by its own configuration


@pytest.fixture
def port(made: Path, make_broker: MakeBroker, tmp_path: Path) -> int:
    lines = (CONTAINER / "mosquitto.conf").read_text().splitlines()
    here = {
        "/mosquitto/certificates": made / "mosquitto",
        "/mosquitto/config/mosquitto.acl": ACL,
        "/mosquitto/data/": f"{tmp_path}/",
    }
    assert lines.pop(lines.index("listener 8883"))
    for said, path in here.items():
        assert any(said in line for line in lines)
        lines = [line.replace(said, str(path)) for line in lines]
    return make_broker(*lines).start().port


# CONNECT of MQTT 5 with an empty client id; the first byte of its answer, CONNACK.
CONNECT, CONNACK = b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x00", b"\x20"


def answer(port: int, ca: Path, pair: Path | None) -> bytes | str | None:
    """First byte of what the broker says to a client with this certificate, or what TLS says."""
    context = ssl.create_default_context(cafile=ca)
    if pair is not None:
        context.load_cert_chain(f"{pair}.crt", f"{pair}.key")
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        try:
            with context.wrap_socket(plain, server_hostname="localhost") as secured:
                secured.sendall(CONNECT)
                return secured.recv(1)
        except ssl.SSLError as exc:
            return exc.reason


class Client:
    """A client of MQTT 5 with a certificate, and what the broker answered."""

    def __init__(self, port: int, ca: Path, pair: Path) -> None:
        self.heard: list[str] = []
        self.codes: dict[int, int] = {}
        self.connected = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.tls_set(str(ca), f"{pair}.crt", f"{pair}.key")
        self._client.on_connect = lambda *_: self.connected.set()
        self._client.on_message = lambda _client, _data, message: self.heard.append(message.topic)
        self._client.on_publish = self._answered
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def publish(self, topic: str) -> int:
        return self._client.publish(topic, b"{}", qos=1).mid

    def subscribe(self, topic: str) -> None:
        self._client.subscribe(topic, qos=1)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _answered(self, _client: Any, _data: Any, mid: int, code: Any, _properties: Any) -> None:
        self.codes[mid] = code.value


@pytest.fixture
def client(port: int, made: Path) -> Iterator[Callable[..., Client]]:
    clients: list[Client] = []

    def connect(pair: Path) -> Client:
        clients.append(Client(port, made / "ca.crt", pair))
        return clients[-1]

    yield connect
    for one in clients:
        one.close()


@pytest.mark.broker
def test_a_box_speaks_for_itself_only_and_the_listener_hears_it(
    client: Callable[..., Client], made: Path, eventually: Eventually
) -> None:
    listener = client(made / "clients" / "listener")
    assert listener.connected.wait(10)
    listener.subscribe("edge/#")
    box = client(made / "edge" / "box")
    assert box.connected.wait(10)
    own, other = box.publish("edge/nvr-01/yard/alert"), box.publish("edge/nvr-02/yard/alert")
    eventually(lambda: len(box.codes) == 2, "both answers")
    assert (box.codes[own] in {GRANTED, NOBODY}, box.codes[other]) == (True, REFUSED)
    command = listener.publish("edge/nvr-01/prompts/set")
    eventually(lambda: command in listener.codes, "an answer")
    assert listener.codes[command] == REFUSED
    later = box.publish("edge/nvr-01/state")
    eventually(lambda: later in box.codes and "edge/nvr-01/state" in listener.heard, "a message")
    assert "edge/nvr-02/yard/alert" not in listener.heard


@pytest.mark.broker
def test_nobody_comes_in_without_a_certificate_of_this_site(
    port: int, made: Path, tmp_path: Path
) -> None:
    other = tmp_path / "elsewhere"
    assert certificates("nvr-01", other).returncode == 0
    box, ca = made / "edge" / "box", made / "ca.crt"
    assert answer(port, ca, box) == CONNACK
    assert answer(port, ca, None) != CONNACK
    assert answer(port, ca, other / "edge" / "box") != CONNACK
    # And the box knows the broker: the one of another site is none.
    assert answer(port, other / "ca.crt", box) == "CERTIFICATE_VERIFY_FAILED"
    # A certificate of a client is none of a broker, and the other way round.
    assert answer(port, ca, made / "mosquitto" / "server") != CONNACK
