"""Builds the image from its Dockerfile, runs it as compose.yaml says, and looks: ``make container-test``.

There is no container engine on the machine that this was written on, and no registry. So the base image
is Debian's own root (mmdebstrap), buildah builds in a chroot, and runc, which is what Docker runs too,
starts the service with the settings of compose.yaml. Not shown here: Docker and podman themselves,
Dockerfile.l4t, NVIDIA's runtime, and a network of the container's own. Root is needed.

One line for each row, with what was found; exit code 1 where a row fails.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from burst import BURST
from oci_spec import spec
from tiny_bundle import tiny_bundle

from benchmarks.measuring.broker import free_port
from edge.testing import TestCamera
from edge.testing.synthetic import write_clip

ROOT = Path(__file__).resolve().parents[2]

CONTAINER = ROOT / "deploy" / "container"
BASE, IMAGE = "localhost/debian:bookworm-slim", "localhost/camera-edge-runtime"
SOURCES = "/etc/apt/sources.list.d/debian.sources"
AUTHORITIES = Path("etc/ssl/certs/ca-certificates.crt")
BOX = "nvr-01"

failed = 0


def row(name: str, found: object, *, good: bool) -> None:
    global failed  # noqa: PLW0603  a script
    failed += not good
    print(f"{'ok' if good else 'FAILED':7}{name}: {found}", flush=True)


def run(*words: str | Path, **more: Any) -> str:
    done = subprocess.run(words, check=False, capture_output=True, text=True, **more)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words[:3]))} ...: {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout


def make_base(folder: Path) -> None:
    """Make the base image from the machine's own sources of Debian packages."""
    if exists(BASE):
        return
    archive, root = folder / "base.tar", folder / "base"
    run(
        "mmdebstrap", "--variant=minbase", "--include=ca-certificates", "bookworm", archive, SOURCES
    )
    root.mkdir()
    run("tar", "-C", root, "-xf", archive)
    shutil.copy(Path("/") / AUTHORITIES, root / AUTHORITIES)  # pip in the build trusts them too
    (root / "etc/pip.conf").write_text(f"[global]\ncert = /{AUTHORITIES}\n")
    container = run("buildah", "from", "scratch").strip()
    run("buildah", "copy", container, root, "/")
    run("buildah", "commit", "--rm", container, BASE)


def exists(name: str) -> bool:
    return not subprocess.run(
        ["buildah", "inspect", name], check=False, capture_output=True
    ).returncode


@contextmanager
def built(dockerfile: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Build the image: its root file system and its configuration, for as long as it is looked at."""
    began = time.monotonic()
    run(
        "buildah", "bud", "--isolation", "chroot", "--format", "docker", "--build-arg",
        f"BASE={BASE}", "--file", dockerfile, "--tag", IMAGE, ROOT,
    )  # fmt: skip
    facts = json.loads(run("buildah", "inspect", IMAGE))
    container = run("buildah", "from", IMAGE).strip()
    root = Path(run("buildah", "mount", container).strip())
    megabytes = sum(path.lstat().st_size for path in root.rglob("*") if path.is_file()) / 1e6
    row(
        "image",
        f"{megabytes:.0f} MB, built in {time.monotonic() - began:.0f} s",
        good=megabytes < 800,
    )
    try:
        yield root, facts["Docker"]["config"]
    finally:
        run("buildah", "rm", container)


class Container:
    """A running container of runc."""

    def __init__(self, folder: Path, configuration: Mapping[str, Any]) -> None:
        self.name = f"edge-{os.getpid()}-{folder.name}"
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(configuration))
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["runc", "run", "--bundle", folder, self.name], stdout=log, stderr=log
            )

    def do(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the container, as its user."""
        return subprocess.run(
            ["runc", "exec", self.name, *words], check=False, capture_output=True, text=True
        )

    @property
    def pid(self) -> int:
        return int(json.loads(run("runc", "state", self.name))["pid"])

    def end(self) -> tuple[int, float]:
        """SIGTERM; the exit code and the seconds until the end."""
        began = time.monotonic()
        run("runc", "kill", self.name, "TERM")
        return self.process.wait(30), time.monotonic() - began

    def remove(self) -> None:
        subprocess.run(["runc", "delete", "--force", self.name], check=False, capture_output=True)
        self.process.wait(30)


@contextmanager
def started(folder: Path, configuration: Mapping[str, Any]) -> Iterator[Container]:
    container = Container(folder, configuration)
    try:
        yield container
    finally:
        container.remove()


@contextmanager
def broker(folder: Path, certificates: Path) -> Iterator[int]:
    """Mosquitto with the configuration of compose.yaml, on a free port of this machine."""
    port = free_port()
    text = (CONTAINER / "mosquitto.conf").read_text()
    for said, here in {
        "listener 8883": f"listener {port} 127.0.0.1\nuser root",
        "/mosquitto/certificates": str(certificates / "mosquitto"),
        "/mosquitto/config/mosquitto.acl": str(CONTAINER.parent / "mosquitto.acl"),
        "/mosquitto/data/": f"{folder}/",
    }.items():
        text = text.replace(said, here)
    (folder / "mosquitto.conf").write_text(text)
    process = subprocess.Popen(
        ["mosquitto", "-c", folder / "mosquitto.conf"], stderr=subprocess.DEVNULL
    )
    try:
        yield port
    finally:
        process.kill()
        process.wait()


def until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True


def configure(folder: Path, port: int, url: str) -> Path:
    """The edge.yaml beside compose.yaml, with this machine's broker and camera."""
    settings = yaml.safe_load((CONTAINER / "edge.yaml").read_text())
    settings["mqtt"] |= {"host": "127.0.0.1", "port": port}
    settings |= {"prompts": BURST, "cameras": {"yard": {"url": url, "sample": {"fps": 5}}}}
    path = folder / "edge.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def look(root: Path, image: dict[str, Any], folder: Path) -> None:
    service = yaml.safe_load((CONTAINER / "compose.yaml").read_text())["services"]["edge"]
    run(CONTAINER / "certificates.sh", BOX, folder / "certificates")
    tiny_bundle(folder / "bundle")
    clip = write_clip(folder / "clip.mp4", width=320, height=240, fps=10, seconds=3, gop=10)
    for name in ("state", "cache", "broker"):
        (folder / name).mkdir()
        os.chown(folder / name, 980, 980)
    with (
        TestCamera({"clip": clip}) as camera,
        broker(folder / "broker", folder / "certificates") as port,
    ):
        folders = {
            "/etc/edge/edge.yaml": configure(folder, port, camera.url("clip")),
            "/etc/edge/certificates": folder / "certificates" / "edge",
            "/usr/share/edge/bundle": folder / "bundle",
            "/var/lib/edge": folder / "state",
            "/var/cache/edge": folder / "cache",
        }
        with started(folder / "locked", spec(root, image, service, folders)) as box:
            serve(box, image, folder, port)
        weak = {key: service[key] for key in ("volumes", "mem_limit", "pids_limit")}
        control = spec(root, image | {"User": "0:0"}, weak, folders)
        with started(folder / "weak", control) as box:
            until(lambda: box.do("true").returncode == 0, 10)
            found = limits(box)
            row("control: without these settings", found, good=len(set(found.values())) == 1)


def limits(box: Container) -> dict[str, bool]:
    """What the settings of compose.yaml and the image should have taken away."""
    status = dict(
        line.split(":\t", 1)
        for line in Path(f"/proc/{box.pid}/status").read_text().splitlines()
        if ":\t" in line
    )
    written = "/opt/edge/touched"
    return {
        "root user": status["Uid"].split()[0] == "0",
        "capabilities": int(status["CapEff"], 16) != 0,
        "new privileges": status["NoNewPrivs"] == "0",
        "writes its root": box.do("touch", written).returncode == 0,
    }


def serve(box: Container, image: dict[str, Any], folder: Path, port: int) -> None:
    health = image["Healthcheck"]["Test"][1:]
    began = time.monotonic()
    well = until(lambda: box.do(*health).returncode == 0, 120)
    row("healthy by HEALTHCHECK", f"{time.monotonic() - began:.1f} s; {box.do(*health).stdout.strip()}",
        good=well)  # fmt: skip
    found = limits(box)
    row("locked down", found, good=not any(found.values()))
    clients = folder / "certificates" / "clients"
    heard = run(
        "mosquitto_sub", "-h", "127.0.0.1", "-p", str(port), "--cafile", clients / "ca.crt",
        "--cert", clients / "listener.crt", "--key", clients / "listener.key", "-V", "5",
        "-t", f"edge/{BOX}/yard/alert", "-C", "1", "-W", "60",
    )  # fmt: skip
    row("alert over TLS, with certificates", json.loads(heard)["id"], good=True)
    components(box)
    os.kill(box.pid, signal.SIGSTOP)
    row(
        "control: a stopped daemon",
        box.do(*health).stdout.strip(),
        good=box.do(*health).returncode == 1,
    )
    os.kill(box.pid, signal.SIGCONT)
    row("and again", "healthy", good=until(lambda: box.do(*health).returncode == 0, 30))
    code, seconds = box.end()
    row("SIGTERM", f"exit code {code} after {seconds:.1f} s", good=code == 0 and seconds < 6)


def components(box: Container) -> None:
    program = (
        "import json, importlib.metadata as m; sbom = json.load(open('/usr/share/edge/sbom.json'));"
        "named = {c['name'].lower().replace('_', '-') for c in sbom['components']} | "
        "{sbom['metadata']['component']['name']};"
        "there = {d.metadata['Name'].lower().replace('_', '-') for d in m.distributions()};"
        "print(len(there), sorted(there - named))"
    )
    found = box.do("python", "-c", program).stdout.strip()
    row("SBOM names all that is installed", found, good=found.endswith(" []"))


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        make_base(folder)
        with built(CONTAINER / "Dockerfile") as (root, image):
            look(root, image, folder)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
