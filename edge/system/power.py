"""Reads the power mode and the clocks of a Jetson. Nothing here changes them.

They decide how fast a box is, and whoever installs it sets them (``nvpmodel``, ``jetson_clocks``):
a report of slow pictures says little without them.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# Files of NVIDIA's tools: the modes, and the number of the one in force.
_MODES: Final = "etc/nvpmodel.conf"
_STATUS: Final = "var/lib/nvpmodel/status"
_MODE: Final = re.compile(r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+?)\s*>")
_NUMBER: Final = re.compile(r"pmode:(\d+)")
_HZ_OF_MHZ: Final = 1_000_000
_KHZ_OF_MHZ: Final = 1_000


@dataclass(frozen=True, slots=True)
class Power:
    """Power mode and clocks of a Jetson; what cannot be read is None.

    Attributes:
        mode: Name of the power mode, such as ``MAXN`` or ``15W``.
        cpu_mhz: Clock of the first processor core, MHz.
        cpu_most_mhz: Its highest clock in this mode, MHz.
        gpu_mhz: Clock of the GPU, MHz.
        gpu_most_mhz: Its highest clock in this mode, MHz.
    """

    mode: str | None
    cpu_mhz: int | None
    cpu_most_mhz: int | None
    gpu_mhz: int | None
    gpu_most_mhz: int | None


def power(root: Path = Path("/")) -> Power | None:
    """Read the power mode and the clocks; None where this is no Jetson.

    Args:
        root: Root of the file system.
    """
    modes = _text(root / _MODES)
    if modes is None:
        return None
    cpu = root / "sys/devices/system/cpu/cpu0/cpufreq"
    gpu = next(iter(sorted(root.glob("sys/class/devfreq/*gpu*"))), root / "no-gpu")
    return Power(
        _mode(modes, _text(root / _STATUS) or ""),
        _mhz(cpu / "scaling_cur_freq", _KHZ_OF_MHZ),
        _mhz(cpu / "scaling_max_freq", _KHZ_OF_MHZ),
        _mhz(gpu / "cur_freq", _HZ_OF_MHZ),
        _mhz(gpu / "max_freq", _HZ_OF_MHZ),
    )


def _mode(modes: str, status: str) -> str | None:
    number = _NUMBER.search(status)
    names = {int(found[1]): found[2] for found in _MODE.finditer(modes)}
    return None if number is None else names.get(int(number[1]))


def _mhz(path: Path, unit: int) -> int | None:
    text = (_text(path) or "").strip()
    return int(text) // unit if text.isdecimal() else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return None
