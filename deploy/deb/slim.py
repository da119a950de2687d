"""Removes from a runtime what no box uses, and looks at what its libraries need. Linux only."""

import re
import shutil
import struct
import subprocess
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

from deploy.wheelhouse.target import Target
from edge.errors import ConfigError

# By path below site-packages. A folder goes with all that is in it.
UNUSED: Final = (
    "bin", "include", "share", "*/__pycache__", "__pycache__",
    # What compilers, type checkers and test runners read.
    "*.pyi", "*.pxd", "*.pyx", "*.h", "*.hpp", "*.a", "*.cmake", "*/cmake", "*/include",
    "numpy/tests", "numpy/*/tests", "numpy/*/*/tests", "numpy/f2py", "numpy/distutils",
    "numpy/_core/*_tests.*.so", "numpy/testing/print_coercion_tables.py",
    # Paths of the machine that built this.
    "*.dist-info/direct_url.json", "*.dist-info/RECORD", "*.dist-info/REQUESTED",
    "*.dist-info/INSTALLER",
    # ONNX Runtime: tools of the workstation, and the library for C, which Python's has inside.
    "onnxruntime/transformers", "onnxruntime/quantization", "onnxruntime/tools",
    "onnxruntime/datasets", "onnxruntime/backend", "onnxruntime/capi/libonnxruntime.so.*",
    # OpenVINO: frontends of formats that no bundle has, plugins of devices other than the CPU, and
    # what reports the use of its tools to its maker.
    "openvino/libs/libopenvino_jax_frontend.*", "openvino/libs/libopenvino_pytorch_frontend.*",
    "openvino/libs/libopenvino_tensorflow*_frontend.*", "openvino/libs/libopenvino_c.*",
    "openvino/libs/libopenvino_paddle_frontend.*", "openvino/libs/libopenvino_gguf_frontend.*",
    "openvino/libs/libopenvino_intel_gpu_plugin.*", "openvino/libs/cache.json",
    "openvino/libs/libopenvino_intel_npu*", "openvino/torch", "openvino/frontend/pytorch",
    "openvino/frontend/jax", "openvino/frontend/tensorflow", "openvino/frontend/paddle",
    "openvino/frontend/gguf", "openvino/tools", "openvino_telemetry*",
)  # fmt: skip

# Libraries of Debian, by the name that a wheel's library asks for. All else is in the wheels.
_OF_DEBIAN: Final = {
    "libc.so.6": "libc6", "libm.so.6": "libc6", "libmvec.so.1": "libc6", "libdl.so.2": "libc6",
    "libpthread.so.0": "libc6", "librt.so.1": "libc6", "ld-linux-x86-64.so.2": "libc6",
    "ld-linux-aarch64.so.1": "libc6", "libgcc_s.so.1": "libgcc-s1", "libstdc++.so.6": "libstdc++6",
    "libz.so.1": "zlib1g",
}  # fmt: skip
_NEEDED: Final = re.compile(r"\(NEEDED\).*\[(.+)\]")
_LOAD: Final = 1  # PT_LOAD
_E_MACHINE: Final = {"x86_64": 62, "aarch64": 183}


def unused(path: str) -> bool:
    """Whether no box needs a file or folder of site-packages."""
    return any(fnmatch(path, pattern) for pattern in UNUSED)


def slim(packages: Path) -> None:
    """Remove what no box needs from a folder of packages."""
    for path in sorted(packages.rglob("*")):
        if path.exists() and unused(path.relative_to(packages).as_posix()):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def stripper(target: Target) -> str:
    """Return the command that removes symbols from libraries of a processor."""
    return f"{target.machine}-linux-gnu-strip"


def strip(folder: Path, target: Target) -> None:
    """Remove from the libraries of a folder the symbols that only a debugger reads.

    A library that could not be loaded without them stays as it is: those whose tables were moved to
    another place before (patchelf) are cut wrongly.
    """
    for path in libraries(folder):
        less = path.with_name(f"{path.name}.stripped")
        subprocess.run(  # noqa: S603  no input of others
            [stripper(target), "--strip-unneeded", "-o", less, path],
            check=True,
            capture_output=True,
        )
        if loadable(less.read_bytes()):
            less.replace(path)
        else:
            less.unlink()


def loadable(elf: bytes) -> bool:
    """Whether all that is loaded of a 64-bit library lies in its file as it will in memory."""
    table, size, count = (*struct.unpack_from("<Q", elf, 32), *struct.unpack_from("<HH", elf, 54))
    parts = (struct.unpack_from("<IIQQQQQQ", elf, table + size * n) for n in range(count))
    return not any(
        kind == _LOAD and (offset - address) % max(alignment, 1)
        for kind, _, offset, address, *_, alignment in parts
    )


def libraries(folder: Path) -> Iterator[Path]:
    """Yield the shared libraries in a folder, in order of their names."""
    for path in sorted(folder.rglob("*.so*")):
        if path.is_file() and not path.is_symlink() and path.read_bytes()[:4] == b"\x7fELF":
            yield path


def foreign(folder: Path, target: Target) -> list[Path]:
    """Return the libraries that are for another processor than the target's."""
    wanted = _E_MACHINE[target.machine]
    return [
        path
        for path in libraries(folder)
        if int.from_bytes(path.read_bytes()[18:20], "little") != wanted
    ]


def depends(folder: Path) -> list[str]:
    """Return the packages of Debian that the libraries of a folder need.

    Raises:
        ConfigError: A library needs one that is neither in the folder nor known to be Debian's.
    """
    found = list(libraries(folder))
    if not found:
        return []
    listing = subprocess.run(  # noqa: S603  no input of others
        ["readelf", "--dynamic", "--wide", *map(str, found)],  # noqa: S607  of binutils, by PATH
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return sorted(packages_of(set(_NEEDED.findall(listing)), {path.name for path in found}))


def packages_of(needed: set[str], own: set[str], known: Mapping[str, str] = _OF_DEBIAN) -> set[str]:
    """Return the packages that have the libraries ``needed`` and not among our ``own``.

    Raises:
        ConfigError: A library is nowhere.
    """
    missing = sorted(needed - own - known.keys())
    if missing:
        raise ConfigError(
            f"expected each library in the runtime or in Debian, found none for {missing}"
        )
    return {known[name] for name in needed - own}
