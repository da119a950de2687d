"""A box in QEMU: software emulation only, a serial log, the host's ports behind 10.0.2.2."""

import base64
import contextlib
import json
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

FIRMWARE = Path("/usr/share/OVMF")
_STARTED = "started"  # the one snapshot of a box
WAIT_S = 600.0  # emulation on a busy machine; a quiet one needs a tenth


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
    """

    def __init__(self, disk: Path, work: Path) -> None:
        self.disk, self._work = disk, work
        self._process: subprocess.Popen[bytes] | None = None
        self._seen = 0
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

    def cut(self) -> None:
        """Cut the power: SIGKILL to the emulator."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

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

    def wait_end(self, seconds: float = WAIT_S) -> None:
        """Wait until the box has switched itself off."""
        assert self._process is not None
        self._process.wait(seconds)
        self._process = None

    def heard_since(self, pattern: str) -> bool:
        """Whether a pattern came after what was waited for."""
        return re.search(pattern, self.log()[self._seen :]) is not None

    def run(self, command: str, seconds: float = WAIT_S) -> Done:
        """Run a shell command in the guest, by the agent of the test images.

        Raises:
            GuestFailed: The agent did not answer in time.
        """
        asked = json.dumps({"id": time.monotonic_ns(), "command": command}).encode() + b"\n"
        deadline = time.monotonic() + seconds
        with _connected(self._work / "agent.sock") as agent:
            agent.settimeout(5)
            agent.sendall(asked)
            answer = b""
            while time.monotonic() < deadline:
                with contextlib.suppress(TimeoutError):
                    answer += agent.recv(65536)
                for line in answer.split(b"\n")[:-1]:
                    with contextlib.suppress(ValueError):
                        said = json.loads(line)
                        if said["id"] == json.loads(asked)["id"]:
                            return Done(
                                said["code"],
                                base64.b64decode(said["output"]).decode(errors="replace"),
                            )
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


@contextlib.contextmanager
def _connected(path: Path) -> Iterator[socket.socket]:
    """A connection to a socket of the emulator, which may just have been started."""
    with socket.socket(socket.AF_UNIX) as end:
        deadline = time.monotonic() + 10
        while True:
            try:
                end.connect(str(path))
                break
            except (FileNotFoundError, ConnectionRefusedError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        yield end
