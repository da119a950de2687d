"""TLS and client certificates, with authorities made on the spot."""

import gc
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from live_broker import Broker, MakeBroker
from patience import Eventually
from publishing import MakeMessage, StartPublisher

from edge.config.models import MqttConfig
from edge.delivery.mqtt.dialer import connect
from edge.delivery.outbox import Outbox
from edge.delivery.publisher import Publisher
from edge.errors import ConfigError, PublishError

pytestmark = [
    pytest.mark.broker,
    # paho drops a socket whose handshake failed without closing it.
    pytest.mark.filterwarnings("ignore:.*unclosed <ssl.SSLSocket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """Collect paho's sockets here, where their warning is expected, and not in another test."""
    yield
    gc.collect()


@dataclass
class Authority:
    """A certificate authority made with the openssl command."""

    directory: Path
    name: str

    @property
    def certificate(self) -> Path:
        return self.directory / f"{self.name}.pem"

    @property
    def key(self) -> Path:
        return self.directory / f"{self.name}.key"

    def create(self) -> "Authority":
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                      "-nodes", "-days", "2", "-subj", f"/CN={self.name}",
                      "-keyout", self.key, "-out", self.certificate)  # fmt: skip
        return self

    def issue(self, name: str, address: str = "127.0.0.1") -> tuple[Path, Path]:
        certificate, key, request, extension = (
            self.directory / f"{self.name}-{name}.{ending}" for ending in ("pem", "key", "csr", "x")
        )
        extension.write_text(f"subjectAltName=IP:{address}\n")
        self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                      "-subj", f"/CN={name}", "-keyout", key, "-out", request)  # fmt: skip
        self._openssl("x509", "-req", "-in", request, "-days", "2", "-CA", self.certificate,
                      "-CAkey", self.key, "-CAcreateserial", "-extfile", extension,
                      "-out", certificate)  # fmt: skip
        return certificate, key

    def _openssl(self, *arguments: object) -> None:
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    return Authority(tmp_path_factory.mktemp("ours"), "ours").create()


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("theirs"), "theirs").create()


@pytest.fixture(scope="module")
def server(ours: Authority) -> tuple[Path, Path]:
    return ours.issue("broker")


@pytest.fixture(scope="module")
def client(ours: Authority) -> tuple[Path, Path]:
    return ours.issue("box")


def secure(
    make_broker: MakeBroker, ours: Authority, server: tuple[Path, Path], *options: str
) -> Broker:
    certificate, key = server
    return make_broker(
        f"cafile {ours.certificate}", f"certfile {certificate}", f"keyfile {key}", *options
    ).start()


def mutual(make_broker: MakeBroker, ours: Authority, server: tuple[Path, Path]) -> Broker:
    return secure(
        make_broker, ours, server, "require_certificate true", "use_identity_as_username true"
    )


def test_alerts_travel_over_tls(
    make_broker: MakeBroker,
    ours: Authority,
    server: tuple[Path, Path],
    outbox: Outbox,
    publish: StartPublisher,
    message: MakeMessage,
    eventually: Eventually,
) -> None:
    broker = secure(make_broker, ours, server)
    publisher = publish(broker.config(tls={"ca": ours.certificate}))
    outbox.put([message("alert", b"x" * 5000) for _ in range(500)])
    eventually(lambda: publisher.health().delivered.get("alert") == 500, "all alerts")
    assert publisher.health().protocol == "5"


def test_a_client_certificate_opens_the_door(
    make_broker: MakeBroker,
    ours: Authority,
    server: tuple[Path, Path],
    client: tuple[Path, Path],
    outbox: Outbox,
    publish: StartPublisher,
    message: MakeMessage,
    eventually: Eventually,
) -> None:
    broker = mutual(make_broker, ours, server)
    certificate, key = client
    tls = {"ca": ours.certificate, "cert": certificate, "key": key}
    publisher = publish(broker.config(tls=tls))
    outbox.put([message("alert", 1)])
    eventually(lambda: publisher.health().delivered == {"alert": 1}, "delivery")
    assert "u'box'" in broker.log()


def refusal(config: MqttConfig) -> str:
    with pytest.raises(PublishError) as caught, connect(config, "edge-box"):
        pass
    return str(caught.value)


@pytest.mark.parametrize("protocol", ["auto", "5", "3.1.1"])
def test_without_a_client_certificate_it_stays_shut(
    make_broker: MakeBroker,
    ours: Authority,
    server: tuple[Path, Path],
    protocol: str,
    eventually: Eventually,
) -> None:
    broker = mutual(make_broker, ours, server)
    text = refusal(broker.config(tls={"ca": ours.certificate}, protocol=protocol))
    assert "it may want a client certificate (mqtt.tls.cert)" in text
    eventually(lambda: "peer did not return a certificate" in broker.log(), "the broker's reason")


def test_a_client_certificate_of_another_authority_is_refused(
    make_broker: MakeBroker, ours: Authority, theirs: Authority, server: tuple[Path, Path]
) -> None:
    broker = mutual(make_broker, ours, server)
    certificate, key = theirs.issue("box")
    tls = {"ca": ours.certificate, "cert": certificate, "key": key}
    assert "hung up before its CONNACK" in refusal(broker.config(tls=tls))


def test_a_broker_of_another_authority_is_not_trusted(
    make_broker: MakeBroker, ours: Authority, theirs: Authority, server: tuple[Path, Path]
) -> None:
    broker = secure(make_broker, ours, server)
    text = refusal(broker.config(tls={"ca": theirs.certificate}))
    assert "its certificate is not trusted" in text
    assert "check mqtt.tls.ca" in text


def test_a_certificate_for_another_host_is_not_trusted(
    make_broker: MakeBroker, ours: Authority
) -> None:
    broker = secure(make_broker, ours, ours.issue("elsewhere", "192.0.2.1"))
    text = refusal(broker.config(tls={"ca": ours.certificate}))
    assert "IP address mismatch" in text


def test_tls_to_a_plain_port_and_plain_to_a_tls_port_are_errors(
    make_broker: MakeBroker, broker: Broker, ours: Authority, server: tuple[Path, Path]
) -> None:
    text = refusal(broker.config(tls={"ca": ours.certificate}))
    assert "does not answer in TLS" in text
    assert "or remove mqtt.tls" in text
    for protocol in ("auto", "5", "3.1.1"):
        text = refusal(secure(make_broker, ours, server).config(protocol=protocol))
        assert re.search(r"speaks TLS: set mqtt\.tls|it may want TLS \(mqtt\.tls\)", text), text


def test_unusable_tls_files_are_configuration_errors(
    broker: Broker, ours: Authority, client: tuple[Path, Path], outbox: Outbox, tmp_path: Path
) -> None:
    certificate, key = client
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")
    locked = tmp_path / "locked.key"
    subprocess.run(
        ["openssl", "ec", "-in", key, "-aes128", "-passout", "pass:secret", "-out", locked],
        check=True,
        capture_output=True,
    )
    other, _ = ours.issue("other")
    wrong = {
        "ca: expected a PEM file that the user of the daemon can read": {"ca": tmp_path},
        "box.key is not the key of .*other.pem": {"cert": other, "key": key},
        "ca: expected a PEM file, found nothing": {"ca": tmp_path / "absent.pem"},
        "ca: expected PEM certificates": {"ca": junk},
        "expected a PEM certificate and its unencrypted key": {"cert": certificate, "key": locked},
    }
    for text, tls in wrong.items():
        with pytest.raises(ConfigError, match=text):
            Publisher(broker.config(tls=tls), "box", outbox)


@pytest.mark.parametrize("name", ["ca", "key"])
def test_a_file_that_the_daemon_may_not_read_is_a_configuration_error(
    ours: Authority,
    client: tuple[Path, Path],
    broker: Broker,
    outbox: Outbox,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Root reads everything, so the refusal comes from a double of ``open``."""
    certificate, key = client
    files = {"ca": ours.certificate, "cert": certificate, "key": key}
    opened = Path.open

    def refuse(path: Path, mode: str = "r") -> object:
        if path == files[name]:
            raise PermissionError(13, "Permission denied")
        return opened(path, mode)

    Publisher(broker.config(tls=files), "box", outbox).stop()
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ConfigError, match=f"mqtt.tls.{name}: .* found at .*: Permission denied"):
        Publisher(broker.config(tls=files), "box", outbox)


def test_a_file_that_becomes_unreadable_later_ends_no_thread(
    make_broker: MakeBroker,
    ours: Authority,
    server: tuple[Path, Path],
    publish: StartPublisher,
    eventually: Eventually,
    tmp_path: Path,
) -> None:
    authority = tmp_path / "ca.pem"
    shutil.copy(ours.certificate, authority)
    broker = secure(make_broker, ours, server)
    publisher = publish(broker.config(tls={"ca": authority}))
    eventually(lambda: publisher.connected, "a connection")
    authority.unlink()
    authority.mkdir()
    broker.kill()
    broker.start()
    eventually(lambda: "mqtt.tls.ca" in (publisher.health().error or ""), "an error")
    authority.rmdir()
    shutil.copy(ours.certificate, authority)
    eventually(lambda: publisher.connected, "a connection again")
