"""The packages in a clean Debian: built twice, looked at, installed, started, upgraded, purged.

``make deb-test``. It needs root, mmdebstrap, lintian, mosquitto and Debian's python3-seccomp, and the
Debian packages that the machine's own sources give. systemd does not run in a folder, so the daemon is
started as its unit would: as its user, under the unit's filter of system calls.
"""

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from burst import BURST
from tiny_bundle import tiny_bundle

from edge.testing import TestCamera
from edge.testing.synthetic import write_clip

REPOSITORY = Path(__file__).resolve().parents[2]
WORK = REPOSITORY / "build" / "deb-test"
UNIT = REPOSITORY / "deploy" / "units" / "edge.service"
FILTER = Path(__file__).with_name("under_filter.py")
OLD, NEW = "1796000000", "1796048905"  # when the source was changed
# What dpkg itself leaves of any package: its lists and logs.
DPKG_OWN = ("var/lib/dpkg", "var/log", "var/cache", "etc/passwd", "etc/group", "etc/shadow", "etc/gshadow", "var/lib/systemd")  # fmt: skip


def run(*words: str | Path, **options: Any) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


def built(out: Path, time: str) -> list[Path]:
    lines = run(
        sys.executable, "-m", "deploy.cli", "deb", "--out", out,
        cwd=REPOSITORY, env=os.environ | {"SOURCE_DATE_EPOCH": time},
    ).splitlines()  # fmt: skip
    return [Path(line) for line in lines]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def packages() -> tuple[list[Path], list[Path]]:
    """The packages of the old and the new source."""
    return built(WORK / "old", OLD), built(WORK / "new", NEW)


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    """A clean Debian 12 in a folder."""
    archive = WORK / "debian.tar"
    if not archive.is_file():
        sources = sorted(Path("/etc/apt/sources.list.d").glob("*.sources"))
        WORK.mkdir(parents=True, exist_ok=True)
        run(
            "mmdebstrap", "--mode=root", "--variant=minbase", "--aptopt=APT::Install-Recommends false",
            "--include=python3,systemd,libstdc++6,zlib1g,libseccomp2,python3-seccomp",
            "bookworm", archive, *sources,
        )  # fmt: skip
    folder = WORK / "root"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    run("tar", "--extract", f"--file={archive}", f"--directory={folder}", "--exclude=./dev/*")
    for device in ("null", "zero", "urandom", "random"):
        run("cp", "--archive", f"/dev/{device}", folder / "dev")
    run("mount", "--bind", "/proc", folder / "proc")
    try:
        yield folder
    finally:
        run("umount", folder / "proc")


def inside(root: Path, *words: str, **options: Any) -> str:
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
    return run("chroot", root, *words, env=environment, **options)


def installed(root: Path, packages: list[Path]) -> None:
    for package in packages:
        shutil.copy(package, root / "tmp")
    inside(root, "dpkg", "--install", *(f"/tmp/{package.name}" for package in packages))
    for package in packages:
        (root / "tmp" / package.name).unlink()


def files(root: Path) -> set[str]:
    """All paths, without what dpkg itself keeps."""
    found = set()
    for folder, folders, names in os.walk(root):
        place = Path(folder).relative_to(root)
        if place == Path():
            folders.remove("proc")
        found |= {(place / name).as_posix() for name in (*folders, *names)}
    return {path for path in found if not path.startswith(DPKG_OWN)}


class Supervisor:
    """Starts the daemon of a root folder as its unit does, and hears what it tells systemd."""

    def __init__(self, root: Path, unit: Path = UNIT) -> None:
        self._root = root
        self._unit = unit
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._path = root / "run" / "notify"
        self._path.unlink(missing_ok=True)
        self._socket.bind(str(self._path))
        self._path.chmod(0o777)
        self._socket.settimeout(90)
        self.log = root / "tmp" / "daemon.log"

    def start(self) -> subprocess.Popen[bytes]:
        for folder in ("var/lib/edge", "var/cache/edge"):
            (self._root / folder).mkdir(mode=0o700, exist_ok=True)
            inside(self._root, "chown", "edge:edge", f"/{folder}")
        credentials = self._root / "run" / "credentials"
        shutil.rmtree(credentials, ignore_errors=True)
        shutil.copytree(self._root / "etc/edge/credentials", credentials)
        for file in credentials.iterdir():
            file.rename(file.with_name(f"edge_{file.name}"))
        inside(self._root, "chown", "-R", "edge:edge", "/run/credentials")
        with self.log.open("ab") as log:
            return subprocess.Popen(
                ["/usr/bin/python3", FILTER, self._unit, self._root, "edge",
                 "/usr/bin/edge", "run", "/etc/edge/edge.yaml"],
                env={"PATH": "/usr/bin:/bin", "NOTIFY_SOCKET": "/run/notify",
                     "EDGE_ENGINE_CACHE": "/var/cache/edge/engines",
                     "CREDENTIALS_DIRECTORY": "/run/credentials"},
                stdout=log, stderr=log,
            )  # fmt: skip

    def close(self) -> None:
        self._socket.close()

    def ready(self) -> None:
        heard = b""
        while b"READY=1" not in heard:
            try:
                heard = self._socket.recv(1000)
            except TimeoutError:
                pytest.fail(self.log.read_text())


def tuned(root: Path, unit: Path) -> str:
    """What the daemon's user measures of the engines under the unit's filter."""
    done = subprocess.run(
        ["/usr/bin/python3", FILTER, unit, root, "edge",
         "/usr/bin/edge", "check", "--bundle", "/var/lib/edge/bundle", "--tune"],
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "1000"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return f"{done.stdout}{done.stderr}"


def configured(root: Path, broker_port: int, url: str) -> None:
    bundle = root / "var/lib/edge/bundle"
    if not bundle.exists():
        bundle.parent.mkdir(exist_ok=True)
        tiny_bundle(bundle)
        run("chmod", "-R", "a+rX", bundle)
    settings = {
        "device": {"id": "box"},
        "bundle": "/var/lib/edge/bundle",
        "mqtt": {"host": "127.0.0.1", "port": broker_port, "username": "box"},
        "prompts": BURST,
        "cameras": {"yard": {"url": url, "sample": {"fps": 10}}},
    }
    text = yaml.safe_dump(settings).replace(
        "username: box", "password: !secret broker\n  username: box"
    )
    (root / "etc/edge/edge.yaml").write_text(text)
    password = root / "etc/edge/credentials/broker"
    password.write_text("sesame\n")
    password.chmod(0o600)


def test_the_same_source_gives_the_same_bytes(packages: tuple[list[Path], list[Path]]) -> None:
    old, new = packages
    before = [digest(path) for path in new]
    assert [path.name.partition("_")[0] for path in new] == [
        "edge-runtime",
        "edge-runtime-openvino",
    ]
    assert [digest(path) for path in old] != before
    again = built(WORK / "again", NEW)
    assert [digest(path) for path in again] == before


def test_lintian_has_nothing_to_say(packages: tuple[list[Path], list[Path]]) -> None:
    said = run("lintian", "--allow-root", "--fail-on", "error,warning", *packages[1])
    assert said.strip() == ""


def test_it_fits(packages: tuple[list[Path], list[Path]]) -> None:
    for path in packages[1]:
        size = path.stat().st_size / 1e6
        unpacked = int(run("dpkg-deb", "--field", path, "Installed-Size")) * 1024 / 1e6
        print(f"{path.name}: {size:.0f} MB, installed {unpacked:.0f} MB")
        assert size <= 150


def test_from_the_installation_to_the_purge(
    packages: tuple[list[Path], list[Path]],
    root: Path,
    tmp_path: Path,
    make_broker: Callable[..., Any],
    listen: Callable[..., Any],
    eventually: Callable[..., Any],
) -> None:
    old, new = packages
    clean = files(root)
    installed(root, old[:1])
    assert "edge 0.1.0" in inside(root, "edge", "--version")
    untouched = subprocess.run(
        ["chroot", root, "edge", "run", "/etc/edge/edge.yaml"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert untouched.returncode == 2
    assert "missing key" in untouched.stderr
    run("systemd-analyze", "verify", "--man=no", f"--root={root}", "edge.service")

    passwords = tmp_path / "passwords"
    passwords.write_text("box:sesame\n")
    run("mosquitto_passwd", "-U", passwords)
    broker = make_broker("allow_anonymous false", f"password_file {passwords}").start()
    listener = listen(broker.port, username="box", password="sesame")
    clip = tmp_path / "clip.mp4"
    write_clip(clip, width=320, height=240, fps=10, seconds=3, gop=10)
    with TestCamera({"yard": clip}) as camera:
        configured(root, broker.port, camera.url("yard"))
        before = (root / "etc/edge/edge.yaml").read_text()
        with closing(Supervisor(root)) as supervisor:
            daemon = supervisor.start()
            supervisor.ready()
            eventually(lambda: listener.payloads("/alert"), "an alert of the package's daemon", 60)
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(10) == 0, supervisor.log.read_text()

        installed(root, new)  # the upgrade, and OpenVINO with it
        assert (
            inside(root, "dpkg-query", "-W", "-f", "${Version}", "edge-runtime") > "0.1.0+2026113"
        )
        assert (root / "etc/edge/edge.yaml").read_text() == before
        assert (root / "var/lib/edge/outbox.db").is_file()
        heard = len(listener.payloads("/alert"))
        unit = tmp_path / "edge.service"
        unit.write_text(UNIT.read_text() + UNIT.with_name("openvino.conf").read_text())
        with closing(Supervisor(root, unit)) as supervisor:
            daemon = supervisor.start()
            supervisor.ready()
            eventually(
                lambda: len(listener.payloads("/alert")) > heard, "an alert after the upgrade", 60
            )
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(10) == 0, supervisor.log.read_text()
    for text, usable in ((UNIT.read_text(), False), (unit.read_text(), True)):
        unit.write_text(text)
        words = tuned(root, unit)
        assert "onnxruntime" in words
        assert ("openvino fp32 ModelError" not in words) is usable, words
    devices = {json.loads(payload)["device"] for payload in listener.payloads("/alert")}
    assert devices == {"box"}
    assert "sesame" not in supervisor.log.read_text()

    inside(root, "dpkg", "--purge", "edge-runtime-openvino", "edge-runtime")
    supervisor.log.unlink()
    shutil.rmtree(root / "run/credentials")
    (root / "run/notify").unlink()
    assert files(root) - clean == set()
    assert "edge" not in (root / "etc/passwd").read_text()
