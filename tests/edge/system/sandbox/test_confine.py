"""Real processes in the sandbox: what they cannot do, and what they still can.

Each forbidden act is also tried by a process that is free: a refusal proves nothing where the act
would not have worked anyway.
"""

import json
import mmap
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from in_sandbox import Job, forbidden, needed, outcomes
from udp_relay import UdpRelay

from edge.system.sandbox import landlock
from edge.system.sandbox.confine import known_machine
from edge.system.sandbox.experiment import ACTS, try_sandbox
from edge.testing import TestCamera
from edge.testing.synthetic import write_clip

pytestmark = pytest.mark.skipif(known_machine() is None, reason="no filter for this processor")

REFUSALS = {"EPERM", "EACCES"}
# Acts that end in another way than a refusal.
IN_OTHER_WORDS = {
    "write to a file that is open": "EFBIG",
    "open many files": "EMFILE",
    "take much memory": "MemoryError: ",
    "clone3": "ENOSYS",
    "openat2": "ENOSYS",
}
# Acts that root alone could do, and what this kernel was not built with.
NEEDS_ROOT = {"mount", "open_by_handle_at", "init_module", "kexec_load", "setns"}
WATCHED = {"over TCP", "over UDP", "over TLS", "H.265", "a clip"}
NEEDED = list(needed(Job(confined=False), mmap.mmap(-1, 1)))
FORBIDDEN = list(forbidden(Job(confined=False), -1))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-keyout", str(key), "-out", str(cert), "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(command, check=True, capture_output=True)
    return cert, key


def serve_tls(listener: socket.socket, context: ssl.SSLContext, camera: int | None) -> None:
    """Say hello to who comes, or hand him on to a camera."""
    with suppress(OSError):
        while True:
            plain, _ = listener.accept()
            with suppress(OSError):
                hello(context.wrap_socket(plain, server_side=True), camera)


def hello(client: ssl.SSLSocket, camera: int | None) -> None:
    with client:
        if camera is None:
            client.sendall(b"hello")
            return
        with socket.create_connection(("127.0.0.1", camera)) as behind:
            back = threading.Thread(target=copy, args=(behind, client), daemon=True)
            back.start()
            copy(client, behind)
            back.join(5)


def copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory, certificate: tuple[Path, Path]) -> Iterator[Job]:
    """All acts, with what they need; the folder for the clip is the readable one."""
    clips = tmp_path_factory.mktemp("clips")
    folder = tmp_path_factory.mktemp("closed")
    h264 = write_clip(clips / "h264.mp4", fps=10, seconds=2)
    h265 = write_clip(clips / "h265.mp4", codec="hevc", fps=10, seconds=2)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with (
        TestCamera({"h264": h264, "h265": h265}) as camera,
        UdpRelay(camera.port) as relay,
        socket.create_server(("127.0.0.1", 0)) as open_port,
        socket.create_server(("127.0.0.1", 0)) as tls_port,
        socket.create_server(("127.0.0.1", 0)) as rtsps_port,
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as victim,
    ):
        for listener, behind in ((tls_port, None), (rtsps_port, camera.port)):
            threading.Thread(
                target=serve_tls, args=(listener, context, behind), daemon=True
            ).start()
        yield Job(
            confined=True,
            folder=str(folder),
            readable=[str(clips), str(certificate[0])],
            victim=victim.pid,
            port=open_port.getsockname()[1],
            tls_port=tls_port.getsockname()[1],
            authority=str(certificate[0]),
            streams={
                "over TCP": [camera.url("h264"), "tcp"],
                "over UDP": [f"rtsp://127.0.0.1:{relay.port}/h264", "udp"],
                "over TLS": [f"rtsps://127.0.0.1:{rtsps_port.getsockname()[1]}/h264", "tcp"],
                "H.265": [camera.url("h265"), "tcp"],
                "a clip": [str(h264), "tcp"],
            },
        )
        assert relay.sent
        victim.kill()


def prepare(folder: Path) -> None:
    for name in ("kept", "own", "gone"):
        (folder / name).write_bytes(b"kept")
    for name in ("new", "link", "symbolic", "pipe"):
        (folder / name).unlink(missing_ok=True)
    with suppress(FileNotFoundError):
        (folder / "folder").rmdir()


@pytest.fixture(scope="module")
def free(job: Job) -> dict[str, str]:
    prepare(Path(job.folder))
    return outcomes(replace(job, confined=False, streams={}))


@pytest.fixture(scope="module")
def confined(job: Job, free: dict[str, str]) -> dict[str, str]:
    prepare(Path(job.folder))
    return outcomes(job)


@pytest.mark.parametrize("act", FORBIDDEN)
def test_the_sandbox_refuses_what_a_free_process_can(
    act: str, confined: dict[str, str], free: dict[str, str]
) -> None:
    if act in NEEDS_ROOT and os.geteuid() != 0:
        pytest.skip("only root could do it")
    expected = {IN_OTHER_WORDS[act]} if act in IN_OTHER_WORDS else REFUSALS
    assert confined[act] in expected
    assert free[act] not in expected


def test_nothing_was_changed_by_the_process_in_the_sandbox(
    job: Job, confined: dict[str, str]
) -> None:
    left = {path.name: path.read_bytes() for path in Path(job.folder).iterdir()}
    assert left == {"kept": b"kept", "own": b"kept", "gone": b"kept", "log": b"x"}


@pytest.mark.parametrize("act", [*NEEDED, *(f"watch {name}" for name in sorted(WATCHED))])
def test_what_a_camera_needs_works_in_the_sandbox(act: str, confined: dict[str, str]) -> None:
    assert confined[act] == "done"


def test_all_barriers_hold_on_this_kernel(confined: dict[str, str]) -> None:
    version = landlock.version()
    assert confined["barrier limits"] == "holds"
    assert confined["barrier no new privileges"] == "holds"
    assert confined["barrier system calls"] == "holds"
    assert (confined["barrier Landlock"] == "holds") == (version >= 6)


def test_a_trial_says_that_nothing_of_it_is_possible_here() -> None:
    experiment = try_sandbox()
    assert experiment is not None
    assert experiment.possible == ()
    assert [one.lacking for one in experiment.barriers] == [""] * 4


# Closes some calls to itself, as an old kernel or a service manager does, and enters the sandbox.
CLOSED_BEFORE = """
import ctypes, errno, json, struct, sys
from dataclasses import asdict
from edge.system.sandbox import landlock
from edge.system.sandbox.calls import SECCOMP, AUDIT
from edge.system.sandbox.confine import Bounds, confine, known_machine, _Filter
from edge.system.sandbox.kernel import call, control
from edge.system.sandbox.program import Step
from edge.system.sandbox.experiment import possible
error, oldest, *closed = json.loads(sys.argv[1])
machine = known_machine()
closed = [SECCOMP[machine] if number == "seccomp" else number for number in closed]
steps = [Step(0x20, 0)]
for number in closed:
    steps += [Step(0x15, number, false=1), Step(0x06, 0x50000 | error)]
steps.append(Step(0x06, 0x7FFF0000))
packed = ctypes.create_string_buffer(b"".join(step.packed() for step in steps))
control(38, 1)
if oldest:
    landlock.version = lambda: oldest
call(SECCOMP[machine], 1, 0, ctypes.byref(_Filter(len(steps), ctypes.addressof(packed))))
barriers = confine(Bounds(256 << 20, 64))
print(json.dumps([{one.name: one.lacking for one in barriers}, possible()]))
"""


def on_a_kernel(error: int, version: int, *closed: object) -> tuple[dict[str, str], list[str]]:
    """What holds on a kernel whose Landlock has a version, and which answers calls with an error."""
    words = [sys.executable, "-c", CLOSED_BEFORE, json.dumps([error, version, *closed])]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    barriers, could = json.loads(done.stdout)
    return barriers, could


def test_a_kernel_without_landlock_is_said_and_the_rest_holds() -> None:
    barriers, could = on_a_kernel(38, 0, 444)  # ENOSYS
    assert barriers.pop("Landlock") == "this kernel has it not, or not switched on"
    assert set(barriers.values()) == {""}
    assert could == ["read a file that it does not need"]


def test_a_service_manager_that_refuses_both_is_said_and_ends_nothing() -> None:
    barriers, could = on_a_kernel(1, 0, 444, "seccomp")  # EPERM
    for name in ("Landlock", "system calls"):
        assert barriers[name].startswith("refused by the kernel or a filter")
    assert barriers["limits"] == barriers["no new privileges"] == ""
    assert set(could) == set(ACTS) - {"write a file"}  # a file of a length is against the limits


@pytest.mark.parametrize(
    ("version", "missing"),
    [
        (1, "not closed: truncating files, TCP ports, commands to devices, signals to other"),
        (2, "not closed: truncating files, TCP ports"),
        (3, "not closed: TCP ports, commands to devices"),
        (4, "not closed: commands to devices, signals"),
        (5, "not closed: signals to other processes"),
        (6, ""),
    ],
)
def test_an_older_landlock_closes_what_it_knows(version: int, missing: str) -> None:
    barriers, could = on_a_kernel(1, version, "seccomp")  # Landlock alone
    assert barriers["Landlock"].startswith(missing)
    closed = {"write a file", "read a file that it does not need", "start a program"}
    closed |= {"wait for connections"} if version >= 4 else set()
    closed |= {"send a signal to another process"} if version >= 6 else set()
    assert set(could) == set(ACTS) - closed


# Reads names of its own in the sandbox, and says whether they can still be read when it is asked.
READS_NAMES = """
import sys
from pathlib import Path
from edge.system.sandbox import reading
from edge.system.sandbox.confine import Bounds, confine
reading._RESOLVER = (Path(sys.argv[1]), Path(sys.argv[1]).with_name("absent"))
confine(Bounds(256 << 20, 64))
for line in sys.stdin:
    print(reading.replaced(), flush=True)
"""


def test_libraries_that_lie_where_a_variable_or_a_user_put_them_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "elsewhere/av").mkdir(parents=True)
    (tmp_path / "elsewhere/av/__init__.py").touch()

    def read(path: str) -> list[str]:
        script = "from edge.system.sandbox.reading import needed; print(*needed(), sep='\\n')"
        environment = os.environ | {"PYTHONPATH": f"{path}:{Path.cwd()}"}
        words = [sys.executable, "-c", script]
        return subprocess.check_output(words, text=True, env=environment).splitlines()

    elsewhere = str(tmp_path / "elsewhere")
    assert elsewhere in read(elsewhere)
    assert elsewhere not in read("")


def test_a_resolver_file_that_is_replaced_is_noticed_as_it_cannot_be_read(tmp_path: Path) -> None:
    names = tmp_path / "resolv.conf"
    names.write_text("nameserver 192.0.2.1\n")
    with subprocess.Popen(
        [sys.executable, "-c", READS_NAMES, names],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
    ) as process:  # fmt: skip

        def asked() -> str:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("\n")
            return process.stdout.readline().strip()

        assert asked() == "False"
        names.write_text("nameserver 192.0.2.2\n")  # the same file
        assert asked() == "False"
        (tmp_path / "new").write_text("nameserver 192.0.2.3\n")
        (tmp_path / "new").rename(names)
        assert asked() == "True"
        process.communicate()


STUBBORN = """
import ctypes, platform, threading
from edge.system.sandbox.calls import SECCOMP
from edge.system.sandbox.confine import Bounds, confine
from edge.system.sandbox.kernel import call, control
from edge.system.sandbox.program import ALLOW, Step

class Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_void_p))

ready, done = threading.Event(), threading.Event()

def filtered():
    control(38, 1)
    step = ctypes.create_string_buffer(Step(0x06, ALLOW).packed())
    own = Filter(1, ctypes.addressof(step))
    call(SECCOMP[platform.machine()], 1, 0, ctypes.byref(own))
    ready.set()
    done.wait()

threading.Thread(target=filtered).start()
ready.wait()
found = {one.name: one for one in confine(Bounds(1 << 30, 64))}["system calls"]
print(found.found, found.lacking, sep="|")
done.set()
"""


def test_a_thread_that_cannot_take_the_filter_is_said() -> None:
    answer = subprocess.run(
        [sys.executable, "-c", STUBBORN], capture_output=True, text=True, timeout=60, check=True
    )
    assert answer.stdout.startswith("|refused by thread ")
