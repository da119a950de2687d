"""Encrypted cameras: the test camera behind a small TLS relay."""

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from edge.errors import SourceError
from edge.testing.camera import TestCamera
from edge.video.sources import SourceSettings, open_source

QUICK = SourceSettings(timeout_s=2.0)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl not found: cannot make a certificate for the test")
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-keyout", str(key), "-out", str(cert), "-subj", "/CN=camera"]
    subprocess.run(command, check=True, capture_output=True)
    return cert, key


@pytest.fixture
def relay_port(camera: TestCamera, certificate: tuple[Path, Path]) -> Iterator[int]:
    """A port that speaks TLS and hands the content on to the camera."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)

        def serve() -> None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", camera.port)) as plain:
                accepted, _ = listener.accept()
                with context.wrap_socket(accepted, server_side=True) as secure:
                    threading.Thread(target=copy, args=(secure, plain), daemon=True).start()
                    copy(plain, secure)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(5)


def copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)


def test_an_encrypted_camera_is_watched(camera: TestCamera, relay_port: int) -> None:
    url = (
        camera.url("yard").replace("rtsp://", "rtsps://").replace(str(camera.port), str(relay_port))
    )
    with open_source(url, QUICK) as source:
        packets = source.packets()
        sizes = [next(packets).size for _ in range(5)]
    camera.drop()
    assert min(sizes) > 0


def test_a_camera_that_is_not_encrypted_is_a_clear_error(camera: TestCamera) -> None:
    url = camera.url("yard").replace("rtsp://", "rtsps://")
    with pytest.raises(SourceError) as caught:
        open_source(url, QUICK)
    assert "rtsps://viewer:***@" in str(caught.value)
