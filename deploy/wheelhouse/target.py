"""What a box runs: its processor, its Python, and the C libraries that wheels are linked with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from edge.errors import ConfigError

Arch = Literal["amd64", "arm64"]

# Debian's word for a processor, and that of wheels and of the kernel.
MACHINES: Final[Mapping[Arch, str]] = {"amd64": "x86_64", "arm64": "aarch64"}
# The first manylinux tag that says its version of glibc (PEP 600).
_OLDEST_GLIBC: Final = (2, 17)


@dataclass(frozen=True, slots=True)
class Target:
    """A system that wheels are for.

    Attributes:
        name: Name on the command line.
        arch: Processor, in Debian's words.
        python: Version of the Python that runs the daemon, such as ``(3, 11)``.
        symbols: Newest version of each set of symbols that the C libraries of the system have.
    """

    name: str
    arch: Arch
    python: tuple[int, int]
    symbols: Mapping[str, tuple[int, ...]]

    @property
    def machine(self) -> str:
        return MACHINES[self.arch]

    @property
    def version(self) -> str:
        """Version of Python, such as ``3.11``."""
        return ".".join(map(str, self.python))

    @property
    def platforms(self) -> tuple[str, ...]:
        """Platform tags of wheels that the system loads, the newest first."""
        glibc = self.symbols["GLIBC"][1]
        tags = [f"manylinux_2_{minor}" for minor in range(glibc, _OLDEST_GLIBC[1] - 1, -1)]
        return tuple(f"{tag}_{self.machine}" for tag in [*tags, "manylinux2014"])

    @property
    def environment(self) -> Mapping[str, str]:
        """Environment in which the markers of requirements are evaluated (PEP 508)."""
        return {
            "implementation_name": "cpython",
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_system": "Linux",
            "python_full_version": f"{self.version}.0",
            "python_version": self.version,
            "sys_platform": "linux",
        }


# glibc and GCC's C++ library of Debian 12, Ubuntu 22.04 and Ubuntu 24.04.
_BOOKWORM: Final = {"GLIBC": (2, 36), "GLIBCXX": (3, 4, 30), "CXXABI": (1, 3, 13), "GCC": (12,)}
_JAMMY: Final = {"GLIBC": (2, 35), "GLIBCXX": (3, 4, 30), "CXXABI": (1, 3, 13), "GCC": (12,)}
_NOBLE: Final = {"GLIBC": (2, 39), "GLIBCXX": (3, 4, 33), "CXXABI": (1, 3, 15), "GCC": (14,)}

_TARGETS: Final = (
    Target("debian-12", "amd64", (3, 11), _BOOKWORM),
    Target("debian-12", "arm64", (3, 11), _BOOKWORM),
    # JetPack 6 is Ubuntu 22.04; its Python is 3.10, so python3.11 of `universe` runs the daemon
    # (docs/adr/0023-jetson-python.md).
    Target("jetpack-6", "arm64", (3, 11), _JAMMY),
    Target("jetpack-7", "arm64", (3, 12), _NOBLE),
)


def target_of(name: str, arch: str) -> Target:
    """Return a known target.

    Raises:
        ConfigError: There is no such system.
    """
    for target in _TARGETS:
        if (target.name, target.arch) == (name, arch):
            return target
    known = ", ".join(f"{target.name} {target.arch}" for target in _TARGETS)
    raise ConfigError(f"--for {name} --arch {arch}: expected one of {known}")
