"""A box in QEMU: software emulation only, a serial log, the host's ports behind 10.0.2.2."""

import base64
import contextlib
import json
import re
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from PIL import Image

FIRMWARE = Path("/usr/share/OVMF")
_STARTED = "started"  # the one snapshot of a box
_MARGIN = 16  # around what a screen shows, in pixels
WAIT_S = 1800.0  # emulation on a busy machine; a quiet one needs a thirtieth


class GuestFailed(AssertionError):
    """The guest did not do what was expected; the message has the end of its serial log."""


@dataclass(frozen=True)
class Done:
    """What came of a command in the guest."""

    code: int
    output: str


class Guest:
    """One box. Use it with ``with``; ``cut`` is a power cut.

    Args:
        disk: Disk in qcow2 (see ``disk.layer``).
        work: Folder for its log, its sockets and the firmware's variables.

    Attributes:
        cuts: Power cuts so far, or since the snapshot.
        serial: Its serial log.
    """

    def __init__(self, disk: Path, work: Path) -> None:
        self.disk, self._work = disk, work
        self._process: subprocess.Popen[bytes] | None = None
        # One connection for as long as the emulator runs: the guest's end tells each change to its reader.
        self._agent: socket.socket | None = None
        self._seen = 0
        self.cuts = 0
        self.serial = work / "serial.log"

    def __enter__(self) -> Self:
        self.power_on()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.cut()

    def power_on(self) -> None:
        """Start it from its disk."""
        self._emulate()

    def save(self) -> None:
        """Take a snapshot of the running box: its memory, its disk, the firmware's variables."""
        answer = self._qmp(_monitor(f"savevm {_STARTED}"))
        assert not answer["return"], answer

    def restore(self) -> None:
        """Go back to the snapshot, in another emulator. Only the clock goes on, as that of a real box does."""
        self.cut()
        self._emulate("-loadvm", _STARTED)
        self.cuts = 0
        self.check(f"date --set=@{time.time():.0f}")

    def _emulate(self, *more: str) -> None:
        self._work.mkdir(parents=True, exist_ok=True)
        variables = self._work / "vars.qcow2"
        if not variables.exists():
            form = ["-f", "raw", "-O", "qcow2"]
            source = FIRMWARE / "OVMF_VARS_4M.fd"
            subprocess.run(["qemu-img", "convert", *form, source, variables], check=True)
        self._seen = len(self.log())
        command = [
            "qemu-system-x86_64", "-machine", "q35,accel=tcg", "-cpu", "max", "-smp", "2",
            "-m", "2048", "-display", "none", "-monitor", "none",
            "-chardev", f"file,id=serial,path={self.serial},append=on", "-serial", "chardev:serial",
            "-drive", f"if=pflash,format=raw,file={FIRMWARE}/OVMF_CODE_4M.fd,readonly=on",
            "-drive", f"if=pflash,format=qcow2,file={variables}",
            "-drive", f"if=virtio,format=qcow2,file={self.disk},cache=unsafe",
            "-nic", "user,model=virtio-net-pci,restrict=off",
            "-global", "ICH9-LPC.noreboot=false", "-qmp", f"unix:{self._work}/qmp.sock,server=on,wait=off",
            "-device", "virtio-rng-pci", "-device", "qemu-xhci", "-device", "virtio-serial-pci",
            "-chardev", f"socket,id=agent,path={self._work}/agent.sock,server=on,wait=off",
            "-device", "virtserialport,chardev=agent,name=edge.test", *more,
        ]  # fmt: skip
        with (self._work / "qemu.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._agent = _connected(self._work / "agent.sock")
        self._agent.settimeout(5)

    def cut(self) -> None:
        """Cut the power: SIGKILL to the emulator."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
            self.cuts += 1
        if self._agent is not None:
            self._agent.close()
            self._agent = None

    def plug(self, stick: Path) -> None:
        """Plug in a stick by USB."""
        backend = {
            "driver": "raw",
            "node-name": "stick",
            "file": {"driver": "file", "filename": str(stick)},
        }
        device = {"driver": "usb-storage", "drive": "stick", "id": "stick0", "removable": True}
        self._qmp({"execute": "blockdev-add", "arguments": backend})
        self._qmp({"execute": "device_add", "arguments": device})

    def unplug(self) -> None:
        """Pull the stick out; its image is whole then."""
        self._qmp({"execute": "device_del", "arguments": {"id": "stick0"}})
        deadline = time.monotonic() + 60
        while "error" in self._qmp(
            {"execute": "blockdev-del", "arguments": {"node-name": "stick"}}, check=False
        ):
            assert time.monotonic() < deadline, "the stick stays in use"
            time.sleep(0.5)

    def screen(self, path: Path) -> None:
        """Take a picture of what a screen at the box shows, without the empty part below."""
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = {"filename": str(path.absolute()), "format": "png"}
        self._qmp({"execute": "screendump", "arguments": whole})
        with Image.open(path) as picture:
            grey = picture.convert("L")
        _, _, right, bottom = grey.getbbox() or (0, 0, *grey.size)
        box = (0, 0, min(right + _MARGIN, grey.width), min(bottom + _MARGIN, grey.height))
        grey.crop(box).save(path, optimize=True)

    def _qmp(self, command: dict[str, object], *, check: bool = True) -> dict[str, Any]:
        """Ask the emulator."""
        with _connected(self._work / "qmp.sock") as monitor:
            monitor.settimeout(WAIT_S)
            with monitor.makefile("rw") as lines:
                lines.readline()  # its greeting
                answer: dict[str, Any] = {}
                for asked in ({"execute": "qmp_capabilities"}, command):
                    lines.write(json.dumps(asked) + "\n")
                    lines.flush()
                    answer = {"event": ""}
                    while "event" in answer:
                        answer = json.loads(lines.readline())
        assert not check or "error" not in answer, answer
        return answer

    def log(self) -> str:
        """The whole serial log."""
        return self.serial.read_text(errors="replace") if self.serial.exists() else ""

    def wait(self, *patterns: str, seconds: float = WAIT_S) -> str:
        """Wait until all patterns, in any order, are on the serial line after what was waited for before.

        Returns:
            What the last of them matched.

        Raises:
            GuestFailed: They did not come in time, or the emulator has ended.
        """
        deadline = time.monotonic() + seconds
        while True:
            log = self.log()
            found = [re.compile(pattern).search(log, self._seen) for pattern in patterns]
            last = max(
                (match for match in found if match), key=lambda match: match.end(), default=None
            )
            if last is not None and all(found):
                self._seen = last.end()
                return last[0]
            ended = self._process is None or self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                what = "the emulator has ended" if ended else f"not seen in {seconds:.0f} s"
                raise GuestFailed(f"{patterns}: {what}; the log ends with:\n{log[-2000:]}")
            time.sleep(0.2)

    def forget(self) -> None:
        """Take what is on the serial line so far as heard."""
        self._seen = len(self.log())

    def heard_since(self, pattern: str) -> bool:
        """Whether a pattern came after what was waited for."""
        return re.search(pattern, self.log()[self._seen :]) is not None

    def run(self, command: str, seconds: float = WAIT_S) -> Done:
        """Run a shell command in the guest, by the agent of the test images.

        Raises:
            GuestFailed: The agent did not answer in time.
        """
        number = time.monotonic_ns()
        asked = json.dumps({"id": number, "command": command}).encode() + b"\n"
        deadline = time.monotonic() + seconds
        assert self._agent is not None, "the box is off"
        self._agent.sendall(asked)
        answer = b""
        while time.monotonic() < deadline:
            with contextlib.suppress(TimeoutError):
                answer += _received(self._agent)
            for line in answer.split(b"\n")[:-1]:
                with contextlib.suppress(ValueError):
                    said = json.loads(line)
                    if said["id"] == number:
                        output = base64.b64decode(said["output"]).decode(errors="replace")
                        return Done(said["code"], output)
        raise GuestFailed(f"no answer in {seconds:.0f} s to: {command}")

    def check(self, command: str, seconds: float = WAIT_S) -> str:
        """Run a command that must succeed; return its output."""
        done = self.run(command, seconds)
        if done.code:
            raise GuestFailed(f"{command}: exit code {done.code}: {done.output}")
        return done.output


def _monitor(line: str) -> dict[str, object]:
    """A command for the emulator's monitor for people, as one for programs."""
    return {"execute": "human-monitor-command", "arguments": {"command-line": line}}


def _connected(path: Path) -> socket.socket:
    """A connection to a socket of the emulator, which may just have been started."""
    deadline = time.monotonic() + 60
    while True:
        end = socket.socket(socket.AF_UNIX)
        try:
            end.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            end.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return end


def _received(end: socket.socket) -> bytes:
    if received := end.recv(65536):
        return received
    raise GuestFailed("the emulator has ended")
