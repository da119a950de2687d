"""Describes where a measurement was taken: machine, software, commit, memory."""

import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import av

import edge

# Packages that can change a result.
_PACKAGES = ("numpy", "av", "openvino", "onnxruntime", "paho-mqtt", "tokenizers")
_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
_REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Machine:
    """Machine of a measurement.

    Attributes:
        cpu: Model name of the CPU, or of the board.
        cores: Number of cores that this process may use.
        memory_mb: Memory of the whole machine, in 10^6 bytes.
        kernel: Name and release of the operating system's kernel.
        architecture: Architecture of the CPU, such as ``x86_64``.
        governor: Power mode of the CPU; None if the kernel does not report it.
    """

    cpu: str
    cores: int
    memory_mb: int
    kernel: str
    architecture: str
    governor: str | None


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory of this process, in 10^6 bytes.

    Attributes:
        now_mb: Memory at the moment.
        peak_mb: Largest memory since the start of the process.
    """

    now_mb: float
    peak_mb: float


def this_machine() -> Machine:
    """Describe the machine that this process runs on."""
    return Machine(
        cpu=_cpu_model(),
        cores=len(os.sched_getaffinity(0)),
        memory_mb=round(_kilobytes("/proc/meminfo", "MemTotal") * 1024 / 1e6),
        kernel=f"{platform.system()} {platform.release()}",
        architecture=platform.machine(),
        governor=_text(_GOVERNOR) or None,
    )


def load_average() -> tuple[float, float, float]:
    """Return the load of the last 1, 5 and 15 minutes, which shows other work on the machine."""
    one, five, fifteen = os.getloadavg()
    return round(one, 2), round(five, 2), round(fifteen, 2)


def versions() -> dict[str, str]:
    """Return versions by package, without packages that are not installed."""
    found = {"edge": edge.__version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found | {"ffmpeg": str(av.ffmpeg_version_info)}


def commit() -> str | None:
    """Return the checkout's commit, with ``+`` if files differ; None outside a checkout."""
    git = shutil.which("git")
    if git is None or not (_REPOSITORY / ".git").exists():
        return None
    head = [git, "-C", str(_REPOSITORY), "describe", "--always", "--abbrev=40", "--dirty=+"]
    done = subprocess.run(head, capture_output=True, text=True, check=False)  # noqa: S603 (no input)
    return done.stdout.strip() or None


def memory() -> Memory:
    """Return the current and the peak memory of this process."""
    return Memory(
        now_mb=_kilobytes("/proc/self/status", "VmRSS") * 1024 / 1e6,
        peak_mb=_kilobytes("/proc/self/status", "VmHWM") * 1024 / 1e6,
    )


def _cpu_model() -> str:
    named = re.search(r"^model name\s*: (.+)$", _text(Path("/proc/cpuinfo")), re.MULTILINE)
    if named:
        return named[1]
    # ARM kernels name no model; the board's name says more than "aarch64".
    return _text(Path("/proc/device-tree/model")).rstrip("\0") or platform.machine()


def _kilobytes(path: str, key: str) -> int:
    found = re.search(rf"^{key}:\s+(\d+) kB$", _text(Path(path)), re.MULTILINE)
    return int(found[1]) if found else 0


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
