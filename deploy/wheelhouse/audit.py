"""Reads every file of every wheel and says what the target cannot load.

A wheel's name promises a processor and a version of glibc. What counts is the code inside: each
shared library says in its ELF header for which processor it is, and in its table of needed versions
which symbols the system must have.
"""

import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from io import BytesIO
from pathlib import Path
from typing import Final

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection
from packaging.requirements import Requirement
from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from deploy.wheelhouse.target import Target
from edge.errors import ConfigError

_MACHINES: Final = {"aarch64": "EM_AARCH64", "x86_64": "EM_X86_64"}
# First bytes of code for other systems: Windows, macOS in both byte orders and for two machines.
_FOREIGN: Final = (b"MZ", b"\xfe\xed\xfa", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")
_ELF: Final = b"\x7fELF"
_METADATA: Final = re.compile(r"[^/]+\.dist-info/METADATA")
# Sets of symbols with a version: GLIBC_2.28, GLIBCXX_3.4.30.
_VERSION: Final = re.compile(r"([A-Z]+)_([0-9]+(?:\.[0-9]+)*)")


@dataclass(frozen=True, slots=True)
class Audit:
    """What a folder of wheels needs.

    Attributes:
        wheels: Number of wheels.
        libraries: Number of files with code for the target.
        needed: Newest version of each set of symbols that any of them needs.
        faults: What the target cannot load, in words; empty where all is well.
    """

    wheels: int
    libraries: int
    needed: Mapping[str, tuple[int, ...]]
    faults: tuple[str, ...]


def audit(folder: Path, target: Target) -> Audit:
    """Check a folder of wheels.

    Raises:
        ConfigError: The folder has no wheel, or one that is damaged.
    """
    files = sorted(path for path in folder.iterdir() if path.is_file())
    wheels = [path for path in files if path.suffix == ".whl"]
    if not wheels:
        raise ConfigError(f"{folder}: expected wheels, found none")
    faults = [f"{path.name}: expected a wheel" for path in files if path.suffix != ".whl"]
    needed: dict[str, tuple[int, ...]] = {}
    libraries = 0
    for wheel in wheels:
        faults += _misnamed(wheel, target)
        for name, code in _code(wheel):
            where = f"{wheel.name}: {name}"
            if not code.startswith(_ELF):
                faults.append(f"{where}: expected no code of another system")
                continue
            libraries += 1
            faults += [f"{where}: {fault}" for fault in _unloadable(code, target, needed)]
    return Audit(len(wheels), libraries, needed, (*faults, *unmet(wheels, target)))


def unmet(wheels: Iterable[Path], target: Target) -> Iterator[str]:
    """Say which requirements of the wheels no wheel fulfils, by the target's own markers.

    ``pip download`` evaluates markers for the machine that it runs on.
    """
    headers = {wheel: _headers(wheel) for wheel in wheels}
    there = {canonicalize_name(fields["Name"]): fields["Version"] for fields in headers.values()}
    for wheel, fields in headers.items():
        for text in fields.get_all("Requires-Dist", []):
            wanted = Requirement(text)
            if wanted.marker and not wanted.marker.evaluate({**target.environment, "extra": ""}):
                continue
            found = there.get(canonicalize_name(wanted.name))
            if found is None or not wanted.specifier.contains(found, prereleases=True):
                yield f"{wheel.name}: expected {wanted.name}{wanted.specifier}, found {found}"


def _misnamed(wheel: Path, target: Target) -> list[str]:
    try:
        *_, tags = parse_wheel_filename(wheel.name)
    except InvalidWheelFilename:
        return [f"{wheel.name}: expected the name of a wheel"]
    if any(_fits(tag, target) for tag in tags):
        return []
    wanted = f"cp{target.python[0]}{target.python[1]} on {target.platforms[0]} or older"
    return [f"{wheel.name}: expected a wheel for {wanted}"]


def _fits(tag: Tag, target: Target) -> bool:
    major, minor = target.python
    pure = tag.abi == "none" and tag.interpreter in {f"py{major}", f"cp{major}{minor}"}
    own = tag.abi == tag.interpreter == f"cp{major}{minor}"
    stable = tag.abi == "abi3" and _minor(tag.interpreter) <= minor
    return (pure or own or stable) and tag.platform in {"any", *target.platforms}


def _minor(interpreter: str) -> int:
    digits = interpreter.removeprefix("cp3")
    return int(digits) if digits.isdecimal() else 99


def _code(wheel: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the files with machine code, whatever their names are."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                with archive.open(name) as file:
                    head = file.read(4)
                    if head == _ELF or head.startswith(_FOREIGN):
                        yield name, head + file.read()
    except (zipfile.BadZipFile, OSError) as exc:
        raise ConfigError(f"{wheel}: expected a whole wheel, found {exc}; fetch it again") from exc


def _unloadable(code: bytes, target: Target, needed: dict[str, tuple[int, ...]]) -> Iterator[str]:
    """Say why the target cannot load a library; note the versions that it needs in ``needed``."""
    try:
        elf = ELFFile(BytesIO(code))
        machine = elf["e_machine"]
        if machine != _MACHINES[target.machine]:
            yield f"expected {_MACHINES[target.machine]}, found {machine}"
            return
        if not elf.num_sections():
            yield "expected a table of the versions that it needs, found it stripped"
            return
        names = _versions(elf)
    except (ELFError, ValueError, KeyError) as exc:
        yield f"expected a shared library, found {exc}"
        return
    for name in sorted(names):
        match = _VERSION.fullmatch(name)
        if match is None or match[1] not in target.symbols:
            continue  # of a library that the wheel brings itself
        version = tuple(map(int, match[2].split(".")))
        needed[match[1]] = max(version, needed.get(match[1], ()))
        if version > target.symbols[match[1]]:
            found = ".".join(map(str, target.symbols[match[1]]))
            yield f"expected {match[1]} up to {found}, as {target.name} has it, found {name}"


def _versions(elf: ELFFile) -> set[str]:
    return {
        version.name
        for section in elf.iter_sections()
        if isinstance(section, GNUVerNeedSection)
        for _, versions in section.iter_versions()
        for version in versions
    }


def _headers(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        name = next((one for one in archive.namelist() if _METADATA.fullmatch(one)), None)
        if name is None:
            raise ConfigError(f"{wheel}: expected a wheel with METADATA; fetch it again")
        return HeaderParser().parsestr(archive.read(name).decode())
