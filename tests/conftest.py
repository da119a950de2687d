"""Fixtures shared by all tests: real footage, a real broker, a subscriber not ours, patience."""

import os
import shutil
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from exported import Exports
from hypothesis import settings
from live_broker import MOSQUITTO, Broker, Heard, Listen, Listener, MakeBroker, Tell, properties_of
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from patience import Eventually
from rich.progress import Progress

from benchmarks.measuring.broker import free_port
from edge.system import paths
from export.default_bundle import build, recipe
from export.packages.fetch import default_cache

# No test asks the hub for anything; read when its client is first imported.
os.environ["HF_HUB_OFFLINE"] = "1"
# Where torchvision was built for another torch than the one installed, it fails at its import, and
# with it transformers and open_clip. All that fails is the registration of operators for tracing
# with abstract tensors, which no test needs.
sys.modules.setdefault(
    "torchvision._meta_registrations", types.ModuleType("torchvision._meta_registrations")
)

# A machine that is busy with something else must not fail a property.
settings.register_profile("project", deadline=None)
settings.load_profile("project")

FOOTAGE = Path(__file__).resolve().parents[2] / "shared" / "footage"
DOUBLES = Path(__file__).resolve().parent / "doubles"


@pytest.fixture(scope="session", autouse=True)
def _choices(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Which variant is fastest is measured once for all tests, and not kept for the user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session")
def footage() -> Path:
    """The directory of real clips, or a visible skip."""
    if not FOOTAGE.is_dir():
        pytest.skip(f"real footage not found: expected clips in {FOOTAGE}")
    return FOOTAGE


@pytest.fixture(scope="session")
def eventually() -> Eventually:
    """Poll until a condition holds, or fail saying what did not happen."""

    def wait(condition: Callable[[], object], what: str, seconds: float = 15) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"did not happen within {seconds} s: {what}"
            time.sleep(0.005)

    return wait


@pytest.fixture
def make_broker(tmp_path: Path) -> Iterator[MakeBroker]:
    """Brokers by their options; not started. A missing mosquitto is a visible skip."""
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed")
    brokers: list[Broker] = []

    def make(*options: str) -> Broker:
        directory = tmp_path / f"broker{len(brokers)}"
        directory.mkdir()
        brokers.append(Broker(directory, list(options), free_port()))
        return brokers[-1]

    yield make
    for broker in brokers:
        broker.kill()


@pytest.fixture
def broker(make_broker: MakeBroker) -> Broker:
    return make_broker().start()


@pytest.fixture
def listen() -> Iterator[Listen]:
    clients: list[mqtt.Client] = []

    def start(port: int, topic_filter: str = "edge/#", **login: str) -> Listener:
        listener = Listener()
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2, "listener", protocol=MQTTProtocolVersion.MQTTv5
        )
        if login:
            client.username_pw_set(login["username"], login["password"])
        client.reconnect_delay_set(1, 1)

        @client.connect_callback()
        def subscribe(*_: object) -> None:
            client.subscribe(topic_filter, qos=1)

        client.on_subscribe = lambda *_: listener.subscribed.set()
        client.on_message = lambda _client, _data, message: listener.heard.append(
            Heard(message.topic, bytes(message.payload), message.retain, message.properties)
        )
        session: Any = properties_of(PacketTypes.CONNECT)
        session.SessionExpiryInterval = 3600
        client.connect("127.0.0.1", port, clean_start=False, properties=session)
        client.loop_start()
        clients.append(client)
        assert listener.subscribed.wait(10)
        return listener

    yield start
    for client in clients:
        client.disconnect()
        client.loop_stop()


@pytest.fixture(scope="session")
def tell() -> Tell:
    """Publish one message, as a client that is not ours; back once the broker has it.

    Further words are properties of MQTT 5.
    """

    def publish(
        port: int, topic: str, payload: bytes | str, *, retain: bool = False, **words: object
    ) -> None:
        client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        properties = properties_of(PacketTypes.PUBLISH)
        for name, value in words.items():
            setattr(properties, name, value)
        client.connect("127.0.0.1", port)
        client.loop_start()
        client.publish(topic, payload, 1, retain, properties).wait_for_publish(10)
        client.disconnect()
        client.loop_stop()

    return publish


@pytest.fixture(scope="session")
def concepts_bundle() -> Path:
    """The real default bundle, built where the tools look for it unless it is current there."""
    out = paths.default_bundle()
    if not recipe.is_current(out):
        with Progress(disable=True) as progress:
            build.build(out, default_cache(), progress)
    return out


@pytest.fixture
def tensorrt_double(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Doubles of TensorRT and pycuda, which compute with ONNX Runtime: no GPU is here.

    The path is the one to search for them.
    """

    monkeypatch.syspath_prepend(DOUBLES)
    monkeypatch.setenv(paths.ENGINES_VARIABLE, str(tmp_path / "engines"))
    yield DOUBLES
    for name in list(sys.modules):
        if (
            name.partition(".")[0] in {"tensorrt", "pycuda"}
            or name == "edge.model.engines.tensorrt"
        ):
            del sys.modules[name]


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Exports:
    """Tiny models of every family, built the first time that any process of the run asks for them.

    ``make test`` has two runs, and names a folder for both.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    return Exports(Path(os.environ.get("EDGE_EXPORTS") or shared / "exports").absolute())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB; needs the right to mount."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    made = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], capture_output=True, check=False
    )
    if not made or made.returncode:
        pytest.skip("may not mount a small file system here")
    yield disk
    subprocess.run(["umount", disk], check=True)
