"""A process that acts, in the sandbox or free, and says what came of each act.

``python in_sandbox.py`` reads a ``Job`` from its input and writes an outcome for each act to its
output: ``done``, the name of an error such as ``EPERM``, or that of another exception.
"""

import ctypes
import errno
import fcntl
import json
import mmap
import os
import resource
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from edge.system.sandbox.calls import ABSENT, CLOSED, JUDGED, number
from edge.system.sandbox.confine import Bounds, confine, known_machine
from edge.system.sandbox.kernel import call, control
from edge.video.decode import Decoder, kept_frames
from edge.video.sampler import Sampler
from edge.video.sources import SourceSettings, open_source

MORE_MEMORY, FILES = 400 << 20, 64


@dataclass
class Job:
    """What the process is to do.

    Attributes:
        confined: Whether it goes into the sandbox first.
        folder: A folder with the files ``kept`` and ``own``, which it may not read.
        readable: Folders that it may read.
        victim: Number of another process, of the same user.
        port: Port that accepts connections.
        tls_port: Port that accepts them over TLS, as localhost.
        authority: File of the authority that vouches for it, in a readable folder.
        streams: Streams to watch, with their transport.
    """

    confined: bool
    folder: str = ""
    readable: list[str] = field(default_factory=list)
    victim: int = 0
    port: int = 0
    tls_port: int = 0
    authority: str = ""
    streams: dict[str, list[str]] = field(default_factory=dict)


def outcomes(job: Job) -> dict[str, str]:
    """Run a job in a process of its own; its report of the sandbox is under ``barriers``."""
    done = subprocess.run(
        [sys.executable, __file__],
        input=json.dumps(asdict(job)), capture_output=True, text=True, timeout=120, check=False,
        # Its own threads would start before it goes into the sandbox.
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, str] = json.loads(done.stdout)
    return found


def raw(name: str, *arguments: object) -> int:
    """Make a system call by its number."""
    machine = known_machine()
    assert machine is not None
    wanted = number({**CLOSED, **ABSENT, **JUDGED}[name], machine)
    assert wanted is not None
    return call(wanted, *arguments)


def spawn() -> None:
    child = os.posix_spawn("/bin/true", ["true"], os.environ)
    os.waitpid(child, 0)


def fork() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def clone() -> None:
    child = raw("clone", signal.SIGCHLD, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def listen(*, bind: bool) -> None:
    with socket.socket() as waiting:
        if bind:
            waiting.bind(("127.0.0.1", 0))
        waiting.listen()


def bind_tcp() -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))


def write(path: Path, flags: int) -> None:
    os.close(os.open(path, flags, 0o600))


def many_files() -> None:
    held: list[int] = []
    try:
        held.extend(os.dup(0) for _ in range(FILES + 1))
    finally:
        for one in held:
            os.close(one)


def signal_by_socket(victim: int) -> None:
    one, other = socket.socketpair()
    with one, other:
        fcntl.fcntl(one, 8, victim)  # F_SETOWN


def forbidden(job: Job, log: int) -> dict[str, Callable[[], object]]:
    folder = Path(job.folder)
    kept, own_file = folder / "kept", folder / "own"
    memory = ctypes.create_string_buffer(256)
    rest = {
        name: lambda name=name: raw(name, *[0] * 6)
        for name in (
            "bpf", "io_uring_setup", "keyctl", "perf_event_open", "userfaultfd", "mount",
            "open_by_handle_at", "process_vm_writev", "ptrace", "unshare", "setns", "init_module",
            "kexec_load", "pidfd_getfd", "semop", "mq_open", "shmat", "accept", "accept4", "splice",
            "fallocate", "tkill", "execveat", "clone3", "openat2",
        )
    }  # fmt: skip
    return {
        "write a new file": lambda: (folder / "new").write_bytes(b""),
        "write an old file": lambda: write(kept, os.O_WRONLY),
        "read and write an old file": lambda: write(kept, os.O_RDWR),
        "truncate by opening": lambda: write(own_file, os.O_TRUNC),
        "write a file without a name": lambda: write(folder, os.O_TMPFILE | os.O_WRONLY),
        "write to a file that is open": lambda: os.write(log, b"x"),
        "truncate": lambda: os.truncate(own_file, 0),
        "remove": (folder / "gone").unlink,
        "rename": lambda: kept.rename(folder / "kept"),
        "make a folder": (folder / "folder").mkdir,
        "make a link": lambda: os.link(kept, folder / "link"),
        "make a symbolic link": lambda: (folder / "symbolic").symlink_to(kept),
        "make a pipe with a name": lambda: os.mkfifo(folder / "pipe"),
        "change the mode": lambda: kept.chmod(0o600),
        "change the owner": lambda: os.chown(kept, os.geteuid(), os.getegid()),
        "change the time": lambda: os.utime(kept),
        "change an attribute": lambda: os.setxattr(kept, "user.a", b"b"),
        "read a file": kept.read_bytes,
        "read a folder": lambda: list(folder.iterdir()),
        "read the environment of the parent": Path(f"/proc/{os.getppid()}/environ").read_bytes,
        "write the memory of the parent": lambda: write(Path("/proc/self/mem"), os.O_RDWR),
        "start a program": spawn,
        "become a program": lambda: os.execve("/no/such/program", ["x"], {}),
        "fork": fork,
        "clone": clone,
        "wait for connections": lambda: listen(bind=True),
        "wait for connections at any port": lambda: listen(bind=False),
        "take a TCP port": bind_tcp,
        "ask the kernel by netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM),
        "send a signal": lambda: os.kill(job.victim, 0),
        "send a signal to a thread": lambda: raw("tgkill", job.victim, job.victim, 0),
        "send a signal to all": lambda: os.kill(0, 0),
        "send a signal by a socket": lambda: signal_by_socket(job.victim),
        "open a process": lambda: os.close(os.pidfd_open(job.victim)),
        "read the memory of a process": lambda: raw(
            "process_vm_readv", job.victim, ctypes.byref(memory), 0, 0, 0, 0
        ),
        "limit a process": lambda: resource.prlimit(
            job.victim, resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1])
        ),
        "change a limit": lambda: raw(
            "prlimit64", 0, resource.RLIMIT_CORE, ctypes.byref(memory), 0
        ),
        "outlive the parent": lambda: control(1, 0),
        "type into the terminal": lambda: raw("ioctl", 0, 0x5412, ctypes.byref(memory)),
        "leave memory behind": leave_memory,
        "open many files": many_files,
        "take much memory": lambda: bytes(2 * MORE_MEMORY),
        **rest,
    }


def leave_memory() -> None:
    name = raw("shmget", 0, 4096, 0o1600)
    raw("shmctl", name, 0, 0)


def watch(url: str, transport: str) -> None:
    settings = SourceSettings(transport=transport, timeout_s=10.0)  # type: ignore[arg-type]
    with open_source(url, settings) as source:
        frames = kept_frames(source.packets(), Decoder(source.stream), Sampler(10))
        next(frames)


def thread() -> None:
    ran = threading.Event()
    one = threading.Thread(target=ran.set)
    one.start()
    one.join()
    assert ran.is_set()


def datagram() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        one.sendto(b"x", one.getsockname())
        assert one.recv(1) == b"x"


def tls(job: Job) -> None:
    context = ssl.create_default_context(cafile=job.authority)
    with (
        socket.create_connection(("127.0.0.1", job.tls_port)) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        assert secure.recv(5) == b"hello"


def talk() -> None:
    one, other = socket.socketpair()
    with one, other:
        one.send(b"x")
        assert other.recv(1) == b"x"


def own_signal() -> None:
    heard: list[int] = []
    signal.signal(signal.SIGUSR1, lambda number, frame: heard.append(number))
    signal.raise_signal(signal.SIGUSR1)
    assert heard


def shared(memory: mmap.mmap) -> None:
    memory[:5] = b"hello"


def lazily() -> None:
    import wave  # noqa: F401, PLC0415  a module of the library that nothing has loaded


def needed(job: Job, memory: mmap.mmap) -> dict[str, Callable[[], object]]:
    streams = {
        f"watch {name}": lambda words=words: watch(*words) for name, words in job.streams.items()
    }
    return {
        "write to memory that was mapped": lambda: shared(memory),
        "start a thread": thread,
        "connect": lambda: socket.create_connection(("127.0.0.1", job.port)).close(),
        "send and hear datagrams": datagram,
        "find an address by its name": lambda: socket.getaddrinfo("localhost", job.port),
        "speak TLS with an authority": lambda: tls(job),
        "know the usual authorities": lambda: ssl.create_default_context().load_verify_locations(
            capath="/etc/ssl/certs"
        ),
        "signal itself": own_signal,
        "write to a pipe": lambda: os.write(2, b"a word for the log\n"),
        "write to a socket": talk,
        "load a module": lazily,
        **streams,
    }


def outcome(act: Callable[[], object]) -> str:
    try:
        act()
    except OSError as exc:
        return errno.errorcode.get(exc.errno or 0, repr(exc))
    except Exception as exc:  # noqa: BLE001
        return f"{type(exc).__name__}: {exc}"
    return "done"


def main() -> None:
    job = Job(**json.load(sys.stdin))
    log = os.open(Path(job.folder) / "log", os.O_WRONLY | os.O_CREAT) if job.folder else -1
    shared_file = os.memfd_create("pixels")
    os.truncate(shared_file, 4096)
    memory = mmap.mmap(shared_file, 4096)
    found = {}
    if job.confined:
        barriers = confine(Bounds(MORE_MEMORY, FILES), map(Path, job.readable))
        found = {f"barrier {one.name}": one.lacking or "holds" for one in barriers}
    acts = needed(job, memory) | (forbidden(job, log) if job.folder else {})
    found |= {name: outcome(act) for name, act in acts.items()}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
