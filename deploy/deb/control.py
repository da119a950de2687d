"""Writes what dpkg reads of a package: control, changelog, copyright, checksums. Pure."""

import hashlib
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

MAINTAINER: Final = "Camera edge runtime <edge-runtime@packages.invalid>"
RUNTIME: Final = "edge-runtime"
OPENVINO: Final = "edge-runtime-openvino"

_SUMMARIES: Final = {
    RUNTIME: (
        "camera video in, zero-shot alerts over MQTT out",
        (
            "A daemon that watches cameras (RTSP) for what sentences say, and publishes alerts"
            " to an MQTT broker. It computes here, with ONNX Runtime. The model is not in the"
            " package: build or copy a bundle, and name it in /etc/edge/edge.yaml."
        ),
    ),
    OPENVINO: (
        "camera edge runtime: OpenVINO, a faster engine on many x86 processors",
        (
            "With this package the daemon measures OpenVINO against ONNX Runtime at its next start,"
            " and takes the faster one. OpenVINO compiles kernels while it runs, so the unit's rule"
            " against memory that is written and then executed is lifted."
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class DebPackage:
    """A binary package.

    Attributes:
        name: Name of the package.
        version: Version, as dpkg compares it.
        arch: Name of the processor, Debian's.
        depends: Packages that it needs.
        recommends: Packages that nearly every box wants.
    """

    name: str
    version: str
    arch: str
    depends: Sequence[str]
    recommends: Sequence[str] = ()


def control(package: DebPackage, installed_kib: int) -> str:
    """Return the file ``control``.

    Args:
        package: The package.
        installed_kib: Size of its files in KiB.
    """
    summary, description = _SUMMARIES[package.name]
    fields = {
        "Package": package.name,
        "Version": package.version,
        "Architecture": package.arch,
        "Maintainer": MAINTAINER,
        "Installed-Size": str(installed_kib),
        "Depends": ", ".join(package.depends),
        "Recommends": ", ".join(package.recommends),
        "Section": "video",
        "Priority": "optional",
        "Description": summary,
    }
    lines = [f"{key}: {value}" for key, value in fields.items() if value]
    return "\n".join([*lines, *(f" {line}" for line in textwrap.wrap(description, 78))]) + "\n"


def changelog(package: DebPackage, made_at: int) -> str:
    """Return the changelog of Debian: one entry, made at ``made_at`` (UTC seconds)."""
    date = datetime.fromtimestamp(made_at, UTC).strftime("%a, %d %b %Y %H:%M:%S +0000")
    return (
        f"{package.name} ({package.version}) unstable; urgency=medium\n\n"
        "  * What changed: CHANGELOG.md of the project.\n\n"
        f" -- {MAINTAINER}  {date}\n"
    )


def debian_version(version: str, made_at: int) -> str:
    """Return the version of a package: that of the program, and when its source was changed."""
    return f"{version}+{datetime.fromtimestamp(made_at, UTC):%Y%m%d%H%M%S}"


def copyright_file(licences: Mapping[str, str], made_at: int) -> str:
    """Return the file ``copyright``.

    Args:
        licences: Name of a library and its version, and what its wheel says of its licence.
        made_at: UTC seconds of the last change.
    """
    year = datetime.fromtimestamp(made_at, UTC).year
    rows = [f"  {name}: {licence}" for name, licence in sorted(licences.items())]
    return "\n".join([
        f"Copyright (C) {year} the authors of the camera edge runtime.",
        "Licensed under the Apache License, Version 2.0: /usr/share/common-licenses/Apache-2.0.",
        "",
        "In the package there are libraries of others, unchanged, as their makers build them. What",
        "each says of its licence is below; the texts, as far as the wheels have them, are in the",
        "folders *.dist-info below /opt/edge/lib.",
        "",
        *rows,
        "",
        "The wheel of av has libraries of its own (av.libs). Among them are x264 and x265, under",
        "the GNU General Public License, version 2 or later: /usr/share/common-licenses/GPL-2.",
        "",
    ])  # fmt: skip


def licence_of(metadata: str) -> str:
    """Return what the metadata of a wheel says of its licence."""
    for pattern in (
        r"^License-Expression: (.+)$",
        r"^Classifier: License :: (?:OSI Approved :: )?(.+)$",
        r"^License: (.+)$",
    ):
        found = re.search(pattern, metadata, re.MULTILINE)
        if found:
            return found[1]
    return "see its folder"


def md5sums(files: Mapping[str, bytes]) -> str:
    """Return the file ``md5sums``, by which dpkg finds damage. Paths are relative to the root."""
    return "".join(
        f"{hashlib.md5(content, usedforsecurity=False).hexdigest()}  {path}\n"
        for path, content in sorted(files.items())
    )
