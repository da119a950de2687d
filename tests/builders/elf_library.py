"""Makes ELF files by hand: enough of one to say its processor and the versions that it needs."""

import struct
from collections.abc import Sequence

MACHINES = {"arm": 40, "x86_64": 62, "aarch64": 183}
_HEADER, _SECTION = 64, 64
_STRTAB, _VERNEED = 3, 0x6FFFFFFE


def stripped(code: bytes) -> bytes:
    """The library without its section headers."""
    return code[:40] + bytes(8) + code[48:60] + bytes(4) + code[64:]


def library(machine: str, versions: Sequence[str] = ("GLIBC_2.17",)) -> bytes:
    """A shared library of 64 bits, little-endian, whose only content is a table of needed versions."""
    names = b"\0libc.so.6\0" + b"".join(name.encode() + b"\0" for name in versions)
    offsets = [names.index(b"\0" + name.encode() + b"\0") + 1 for name in versions]
    need = struct.pack("<HHIII", 1, len(versions), 1, 16, 0)
    for index, offset in enumerate(offsets):
        after = 16 if index + 1 < len(offsets) else 0
        need += struct.pack("<IHHII", 0, 0, index + 2, offset, after)
    titles = b"\0.dynstr\0.gnu.version_r\0.shstrtab\0"
    at = _HEADER
    tables = []
    for content in (names, need, titles):
        tables.append((at, len(content)))
        at += len(content)
    kinds = [(1, _STRTAB, 0, 0), (9, _VERNEED, 1, 1), (24, _STRTAB, 0, 0)]
    sections = bytes(_SECTION)
    for (offset, size), (title, kind, link, info) in zip(tables, kinds, strict=True):
        sections += struct.pack("<IIQQQQIIQQ", title, kind, 0, 0, offset, size, link, info, 1, 0)
    head = b"\x7fELF" + bytes([2, 1, 1, 0]) + bytes(8)
    head += struct.pack(
        "<HHIQQQIHHHHHH", 3, MACHINES[machine], 1, 0, 0, at, 0, _HEADER, 0, 0, _SECTION, 4, 3
    )
    return head + names + need + titles + sections
