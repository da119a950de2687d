"""What the box meets in its network: a camera, a broker with TLS, a time server. All on loopback.

The emulator's network leads from 10.0.2.2 in the guest to the loopback addresses of the host.
"""

import json
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml
from authority import Signer, authority, issue
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from benchmarks.measuring.broker import find_mosquitto, free_port
from edge.testing import TestCamera
from edge.testing.synthetic import write_clip

HOST = "10.0.2.2"
_SINCE_1900_S = 2_208_988_800
# Every sample is an alert: that the model is right is the business of other tests. And one learns.
_PROMPTS = {
    "anything": {
        "text": "anything",
        "negatives": "something quite different",
        "threshold": -2,
        "on": {"for": 1, "of": 1},
        "update_every": "5s",
    },
    "learning": {"text": "a red lorry"},
}


class Host:
    """Camera, broker and clock of one row; use it with ``with``."""

    def __init__(self, work: Path) -> None:
        self._work = work
        work.mkdir(parents=True, exist_ok=True)
        self.ca = authority(work, "site-ca")
        self._certificate = issue(self.ca, work, "broker", "broker")
        self._stranger = issue(authority(work, "strange-ca"), work, "stranger", "broker")
        self.port = free_port()
        self.camera = TestCamera(
            {"yard": write_clip(work / "yard.mp4", width=320, height=240, fps=5, seconds=10, gop=5)}
        )
        self._clock = _Clock()
        self._broker: subprocess.Popen[bytes] | None = None
        self._heard: list[tuple[str, bytes]] = []
        self._listener: mqtt.Client | None = None

    def __enter__(self) -> Self:
        self.camera.power_on()
        self._clock.start()
        self.start_broker()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop_broker()
        self.camera.power_off()
        self._clock.stop()

    def site(self, **more: Any) -> str:
        """The file ``edge-config.yaml`` of a box at this site."""
        return yaml.safe_dump(
            {
                "device": {"id": "box"},
                "mqtt": {
                    "host": HOST,
                    "port": self.port,
                    "tls": {"ca": self.ca.certificate.read_text()},
                },
                "cameras": {
                    "yard": {
                        "url": f"rtsp://{HOST}:{self.camera.port}/yard",
                        "sample": {"fps": 1},
                        "timeout": "60s",
                    }
                },
                "prompts": _PROMPTS,
                "time": {"ntp": [HOST]},
            }
            | more
        )

    def start_broker(self, *, stranger: bool = False) -> None:
        """Start the broker, unless it runs, with a certificate of the site's authority or of a stranger's."""
        if self._broker is not None:
            return
        own: Signer = self._stranger if stranger else self._certificate
        settings = self._work / "mosquitto.conf"
        settings.write_text(
            f"listener {self.port} 127.0.0.1\ncertfile {own.certificate}\nkeyfile {own.key}\n"
            "allow_anonymous true\nuser root\n"
        )
        program = find_mosquitto()
        assert program is not None, "expected mosquitto"
        with (self._work / "mosquitto.log").open("ab") as log:
            self._broker = subprocess.Popen([program, "-c", settings], stdout=log, stderr=log)
        self._listen()

    def stop_broker(self) -> None:
        if self._listener is not None:
            self._listener.disconnect()
            self._listener.loop_stop()
            self._listener = None
        if self._broker is not None:
            self._broker.send_signal(signal.SIGTERM)
            self._broker.wait()
            self._broker = None

    def alerts(self) -> list[dict[str, Any]]:
        """Alerts that came so far."""
        return [
            json.loads(payload) for topic, payload in list(self._heard) if topic.endswith("/alert")
        ]

    @property
    def heard(self) -> list[str]:
        """Topics of everything that came so far."""
        return [topic for topic, _ in list(self._heard)]

    def refused_handshakes(self) -> int:
        """How often a client ended the handshake because it does not trust the broker."""
        return (self._work / "mosquitto.log").read_text().count("unknown ca")

    def statuses(self) -> list[str]:
        """Words of the box's status so far."""
        return [
            payload.decode() for topic, payload in list(self._heard) if topic == "edge/box/status"
        ]

    def forget(self) -> None:
        """Forget what was heard."""
        self._heard.clear()

    def await_alert(self, seconds: float) -> dict[str, Any]:
        """The first alert that comes.

        Raises:
            AssertionError: None came in time.
        """
        deadline = time.monotonic() + seconds
        while not (alerts := self.alerts()):
            assert time.monotonic() < deadline, (
                f"no alert in {seconds:.0f} s; status {self.statuses()}"
            )
            time.sleep(0.2)
        return alerts[0]

    def _listen(self) -> None:
        listener = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        terms = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        terms.check_hostname = False
        terms.verify_mode = ssl.CERT_NONE
        listener.tls_set_context(terms)
        listener.on_connect = lambda client, *_: client.subscribe("edge/#", qos=1)
        listener.on_message = lambda _client, _data, message: self._heard.append(
            (message.topic, bytes(message.payload))
        )
        deadline = time.monotonic() + 30
        while True:
            try:
                listener.connect("127.0.0.1", self.port)
                break
            except OSError:
                assert time.monotonic() < deadline, "the broker does not start"
                time.sleep(0.1)
        listener.loop_start()
        self._listener = listener


class _Clock(threading.Thread):
    """A time server (SNTP, RFC 4330), which chrony takes for a good one."""

    def __init__(self) -> None:
        super().__init__(name="ntp", daemon=True)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._socket.bind(("127.0.0.1", 123))
        self._ended = threading.Event()

    def run(self) -> None:
        self._socket.settimeout(0.2)
        while not self._ended.is_set():
            try:
                asked, address = self._socket.recvfrom(512)
            except TimeoutError:
                continue
            now = _ntp(time.time())
            head = struct.pack("!BBbb", 0b00_100_100, 1, 6, -20) + struct.pack(
                "!II4s", 0, 16, b"TEST"
            )
            self._socket.sendto(head + now + asked[40:48] + now + _ntp(time.time()), address)

    def stop(self) -> None:
        self._ended.set()
        self.join()
        self._socket.close()


def _ntp(seconds: float) -> bytes:
    whole = int(seconds)
    return struct.pack("!II", (whole + _SINCE_1900_S) & 0xFFFFFFFF, int((seconds - whole) * 2**32))
