"""Partition layouts of NVIDIA's tools: adds a partition for what a box keeps, and checks the rest.

NVIDIA's layouts for two root file systems (``*_rootfs_ab.xml``) have no place that outlives an
update: state in the root file system would stay behind in the other slot. Their ``UDA`` is reserved
for NVIDIA's own updates. So a partition of ours goes before the root file systems, which stay last.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree as ET

from edge.errors import ConfigError

DATA: Final = "edge_data"
"""Name of the partition, which is its PARTLABEL on the box."""

_ROOT, _ROOT_B = "APP", "APP_b"
_SECTOR: Final = 512
# The size of the second GPT in these files: what is left.
_REST: Final = "0xFFFFFFFFFFFFFFFF"
_PARTITION: Final = """\
        <partition name="{name}" type="data">
            <allocation_policy> sequential </allocation_policy>
            <filesystem_type> basic </filesystem_type>
            <size> {size} </size>
            <file_system_attribute> 0 </file_system_attribute>
            <allocation_attribute> 8 </allocation_attribute>
            <percent_reserved> 0 </percent_reserved>
            <align_boundary> 16384 </align_boundary>
            <description> What the box keeps over updates. </description>
        </partition>
"""
_FIRST_ROOT: Final = re.compile(r'^[ \t]*<partition name="APP"', re.MULTILINE)
# What NVIDIA's tools put in: the root file system's size is an option of theirs, the recovery
# kernel's is at most this (p3767.conf.common of release 36 and 39: less than 80 MiB).
_RECOVERY: Final = 80 << 20


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes in bytes.

    Attributes:
        disk: The disk.
        slot: Each of the two root file systems.
        data: The partition for what the box keeps.
    """

    disk: int
    slot: int
    data: int


def with_data(text: str, data: int) -> str:
    """Return a layout with the partition for what the box keeps, before the root file systems.

    Raises:
        ConfigError: This is no layout with two root file systems.
    """
    if DATA in {partition.get("name") for partition in _partitions(text)}:
        raise ConfigError(f"expected a layout of NVIDIA's, found one that has {DATA} already")
    places = list(_FIRST_ROOT.finditer(text))
    if len(places) != 1:
        raise ConfigError(
            f"expected one line that begins the partition {_ROOT}, found {len(places)}"
        )
    before, after = text[: places[0].start()], text[places[0].start() :]
    return before + _PARTITION.format(name=DATA, size=data) + after


def faults(text: str, sizes: Sizes) -> list[str]:
    """Say what is wrong with a layout for two root file systems; empty where all is well.

    Raises:
        ConfigError: It is no layout at all.
    """
    listed = _partitions(text)
    partitions = {str(one.get("name")): one for one in listed}
    found = [
        f"{name}: expected the id {wanted}, found {partitions[name].get('id')}"
        for name, wanted in ((_ROOT, "1"), (_ROOT_B, "2"))
        if partitions[name].get("id") != wanted
    ]
    if len(partitions) != len(listed):
        found.append("expected each name once")
    of_tool = {"APPSIZE": sizes.slot, "RECSIZE": _RECOVERY, _REST: 0}
    bytes_of = {name: _bytes(one, of_tool) for name, one in partitions.items()}
    for name, other in _pairs(partitions):
        if other not in partitions:
            found.append(f"{name}: expected its pair {other}, found none")
        elif bytes_of[name] != bytes_of[other]:
            found.append(
                f"{name}, {other}: expected one size, found {bytes_of[name]} and {bytes_of[other]}"
            )
    if bytes_of.get(DATA) != sizes.data:
        found.append(f"{DATA}: expected {sizes.data} bytes, found {bytes_of.get(DATA)}")
    odd = [name for name, size in bytes_of.items() if size % _SECTOR]
    found += [f"{name}: expected a multiple of {_SECTOR} bytes" for name in odd]
    total = sum(bytes_of.values())
    if total > sizes.disk:
        found.append(f"expected {sizes.disk} bytes at most in all partitions, found {total}")
    return found


def _pairs(partitions: Mapping[str, object]) -> list[tuple[str, str]]:
    """Partitions that exist once for each slot."""
    first = [name for name in partitions if name.startswith("A_")]
    second = [name for name in partitions if name.startswith("B_")]
    return [
        (_ROOT, _ROOT_B),
        *((name, f"B_{name[2:]}") for name in first),
        *((name, f"A_{name[2:]}") for name in second if f"A_{name[2:]}" not in partitions),
    ]


def _bytes(partition: ET.Element, of_tool: Mapping[str, int]) -> int:
    text = (partition.findtext("size") or "").strip()
    if text in of_tool:
        return of_tool[text]
    if not re.fullmatch(r"[0-9]+|0x[0-9a-fA-F]+", text):
        raise ConfigError(f"{partition.get('name')}: expected a size in bytes, found {text!r}")
    return int(text, 0)


def _partitions(text: str) -> list[ET.Element]:
    """Partitions of the device with the root file systems; a layout may have others beside it."""
    try:
        tree = ET.fromstring(text)  # noqa: S314  NVIDIA's own file, on the workstation
    except ET.ParseError as exc:
        raise ConfigError(f"expected a partition layout in XML, found {exc}") from exc
    for device in tree.iter("device"):
        found = device.findall("partition")
        if {_ROOT, _ROOT_B} <= {partition.get("name") for partition in found}:
            return found
    raise ConfigError(
        f"expected a layout with two root file systems, {_ROOT} and {_ROOT_B}; take one whose name "
        "ends in _rootfs_ab.xml"
    )
