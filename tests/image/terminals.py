"""Draws what a terminal shows at the steps of docs/install.md: docs/pictures/*.svg.

``make pictures`` runs each command with a camera and a broker of its own. What a screen at a flashed
box shows is drawn by ``make image-test``, from the emulator's own screen.
"""

import io
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from rich.console import Console
from rich.text import Text

from benchmarks.measuring.broker import find_mosquitto, mosquitto
from edge.testing import TestCamera
from edge.testing.synthetic import write_clip

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "docs" / "pictures"
_COLUMNS = 100
_LISTENS_S = 20.0
_SITE = """device: {id: nvr-01}
mqtt:
  host: broker.example
  port: 8883
prompts:
  person: {text: a person}
cameras:
  yard: {ulr: "rtsp://viewer:secret@192.0.2.10/stream2"}
"""


@dataclass(frozen=True)
class Terminal:
    """A folder in which commands are typed, and all that they say there."""

    folder: Path
    lines: list[str]

    def type(self, *words: str, answers: str = "", seconds: float = 300.0) -> None:
        """Type a command of ours; one that goes on by itself is ended after some seconds."""
        self.lines.append(f"\x1b[1m$ {' '.join(words)}\x1b[0m")
        environment = os.environ | {"COLUMNS": str(_COLUMNS), "PYTHONPATH": str(ROOT)}
        program = subprocess.Popen(
            [sys.executable, "-m", _MODULES[words[0]], *words[1:]], cwd=self.folder, env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        try:
            said, _ = program.communicate(answers, timeout=seconds)
        except subprocess.TimeoutExpired:
            program.terminate()
            said, _ = program.communicate()
        self.lines.extend(said.rstrip().splitlines())


_MODULES = {"edge": "edge", "edge-flash": "deploy.cli"}


def picture(lines: Sequence[str], title: str) -> str:
    """Draw lines as a terminal shows them, in SVG; nothing in it is fetched from elsewhere."""
    console = Console(record=True, width=_COLUMNS, file=io.StringIO(), force_terminal=True)
    for line in lines:
        console.print(Text.from_ansi(line))
    drawn = console.export_svg(title=title, unique_id=re.sub(r"\W", "-", title))
    return re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)


@contextmanager
def running(folder: Path, camera: TestCamera, port: int) -> Iterator[None]:
    """A daemon with one camera, whose settings lie in ``folder``."""
    settings = {
        "device": {"id": "nvr-01"},
        "mqtt": {"host": "127.0.0.1", "port": port},
        "cameras": {"yard": {"url": camera.url("yard"), "sample": {"fps": 2}}},
        "prompts": {
            "anything": {
                "text": "a coloured test picture",
                "threshold": -2,
                "on": {"for": 1, "of": 1},
            }
        },
        "engine": {"kind": "onnxruntime", "precision": "int8"},
        "state_dir": str(folder / "state"),
    }
    (folder / "edge.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    daemon = subprocess.Popen(
        [sys.executable, "-m", "edge", "run", "edge.yaml"], cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield
    finally:
        daemon.terminate()
        daemon.wait(30)


@contextmanager
def spare_disk(folder: Path, image: Path) -> Iterator[str]:
    """A disk for an image: a loop device over a file."""
    file = folder / "disk"
    with file.open("wb") as disk:
        disk.truncate(image.stat().st_size + (256 << 20))
    attach = ["losetup", "--find", "--show", str(file)]
    device = subprocess.run(attach, capture_output=True, text=True, check=True).stdout.strip()
    try:
        yield device
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


def main() -> int:
    """Draw all pictures; with the path of an image (not compressed) also that of ``edge-flash write``."""
    program = find_mosquitto()
    assert program is not None, "expected mosquitto"
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def draw(picture_name: str, title: str, *typed: tuple[Sequence[str], float]) -> None:
            terminal = Terminal(folder, [])
            for words, seconds in typed:
                terminal.type(*words, seconds=seconds)
            (PICTURES / f"{picture_name}.svg").write_text(picture(terminal.lines, title))

        site = folder / "edge-config.yaml"
        terminal = Terminal(folder, [])
        for text in (_SITE, _SITE.replace("ulr", "url")):
            site.write_text(text)
            terminal.type("edge", "site", site.name)
        (PICTURES / "site.svg").write_text(picture(terminal.lines, "a laptop"))
        clip = write_clip(folder / "yard.mp4", width=640, height=360, fps=10, seconds=10, gop=10)
        with mosquitto(program) as broker, TestCamera({"yard": clip}) as camera:
            with running(folder, camera, broker.port):
                health = (["edge", "health", "edge.yaml", "--wait", "120"], 300.0)
                draw("health", "the box", health)
                host = ["--host", broker.host, "--port", str(broker.port)]
                draw(
                    "alerts",
                    "any machine that reaches the broker",
                    (["edge", "alerts", *host], _LISTENS_S),
                )
            draw("check", "the box", (["edge", "check", "edge.yaml"], 300.0))
        for image in map(Path, sys.argv[1:]):
            with spare_disk(folder, image) as device:
                words = ["edge-flash", "write", str(image.resolve()), device, "--overwrite", device]
                draw("write", "a Linux machine", (words, 3600.0))
    return 0


if __name__ == "__main__":
    sys.exit(main())
