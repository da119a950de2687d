"""Turns a site file into the files that the box reads. Reads the site's folder, writes nothing."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edge.config.document import Document, Place
from edge.config.load import load_document
from edge.config.nodes import yaml_text
from edge.errors import ConfigError
from edge.site.models import PortConfig, SiteConfig, TimeConfig

QR_BYTES: Final = 2331
"""Bytes that a QR code holds: version 40, error correction M (ISO/IEC 18004, table 7)."""

# Public servers with NTS of three operators, so that one that errs is outvoted.
NTS_SERVERS: Final = ("time.cloudflare.com", "nts.netnod.se", "ptbtime1.ptb.de")
SITE_FILE: Final = "edge-config.yaml"
_SECRETS: Final = "secrets.yaml"
_PEM: Final = "-----BEGIN "
_LONGEST_FILE: Final = 64 * 1024
_OWN: Final = ("network", "time")
_HEAD: Final = "# Made from edge-config.yaml at the start of the box, which replaces this file.\n"


@dataclass(frozen=True, slots=True)
class BoxFile:
    """One file that the box reads.

    Attributes:
        content: What it has.
        secret: Whether only the daemon and root may read it.
    """

    content: bytes
    secret: bool = False


def box_files(path: Path) -> dict[str, BoxFile]:
    """Read a site file and return the files of the box, by name.

    Args:
        path: The site file; what it names (certificates, ``secrets.yaml``) is in its folder.

    Returns:
        ``edge/…`` belongs to ``/etc/edge``, ``network/…`` to ``/etc/systemd/network``,
        ``chrony/…`` to ``/etc/chrony/sources.d``; ``hostname`` is a name for the box.

    Raises:
        ConfigError: The file, or one that it names, cannot be read or has problems.
    """
    site, document = load_document(path, SiteConfig, environment={})
    _refuse_relative(site, document)
    values = {key: value for key, value in document.values.items() if key not in _OWN}
    values.setdefault("bundle", str(site.bundle))
    files = dict(_beside(site, document, values))
    edge_yaml = _HEAD + yaml_text(_escaped(values))
    return {
        "edge/edge.yaml": BoxFile(edge_yaml.encode(), secret=True),
        **files,
        **{
            f"network/10-site-{index:02d}.network": BoxFile(_networkd(name, port).encode())
            for index, (name, port) in enumerate(site.network.items())
        },
        "network/90-any.network": BoxFile(_networkd("en* eth*", PortConfig()).encode()),
        "chrony/site.sources": BoxFile(_chrony(site.time).encode()),
        "hostname": BoxFile(f"{_hostname(site.device.id)}\n".encode()),
    }


def card_files(path: Path) -> dict[str, bytes]:
    """Return what belongs on the partition of a box from which the site file is read, by name.

    Args:
        path: The site file. It gets the name that the box looks for; the files that it names keep
            theirs.

    Raises:
        ConfigError: As ``box_files``.
    """
    box_files(path)
    site, document = load_document(path, SiteConfig, environment={})
    files = {SITE_FILE: path.read_bytes()}
    for place, source in _named(site, document):
        files[source.name] = _read(document, place, source)
    if any(document.borrowed.values()):
        secrets = path.absolute().with_name(_SECRETS)
        if not secrets.is_file():
            raise ConfigError(
                f"{path}: expected the secrets in {_SECRETS} beside it, found them in a folder,"
                " which the box would not have"
            )
        files[_SECRETS] = _read(document, (), secrets)
    return files


def _named(site: SiteConfig, document: Document) -> Iterator[tuple[Place, Path]]:
    """Find the files beside the site file that it names, and where it does."""
    tls = site.mqtt.tls
    for key in ("ca", "cert", "key") if tls is not None else ():
        source = getattr(tls, key)
        if source is not None and not _is_text(document.values["mqtt"]["tls"][key]):
            yield ("mqtt", "tls", key), source
    for index, source in enumerate(site.bundle_keys):
        yield ("bundle_keys", index), source


def _is_text(written: str) -> bool:
    return written.lstrip().startswith(_PEM)


def _beside(
    site: SiteConfig, document: Document, values: dict[str, Any]
) -> Iterator[tuple[str, BoxFile]]:
    """Find the files that the site file names; ``values`` names them as the box has them."""
    if site.mqtt.tls is not None:
        written = document.values["mqtt"]["tls"]
        named = dict(written)
        for key in ("ca", "cert", "key"):
            if (source := getattr(site.mqtt.tls, key)) is not None:
                named[key] = f"{key}.pem"
                content = _pem(document, ("mqtt", "tls", key), written[key], source)
                yield f"edge/{key}.pem", BoxFile(content, secret=key == "key")
        values["mqtt"] = {**document.values["mqtt"], "tls": named}
    if site.bundle_keys:
        values["bundle_keys"] = []
        for index, source in enumerate(site.bundle_keys):
            name = f"bundle-{index}.pub"
            values["bundle_keys"].append(name)
            content = _read(document, ("bundle_keys", index), source)
            yield f"edge/{name}", BoxFile(content)


def _pem(document: Document, place: Place, written: str, source: Path) -> bytes:
    if _is_text(written):
        return written.strip().encode() + b"\n"
    content = _read(document, place, source)
    if _PEM.encode() not in content:
        raise _problem(document, place, f"expected PEM ('{_PEM}…') in {source.name}")
    return content


def _read(document: Document, place: Place, source: Path) -> bytes:
    if source.parent != document.path.absolute().parent:
        raise _problem(document, place, f"expected a file beside {document.path.name}")
    try:
        with source.open("rb") as file:
            content = file.read(_LONGEST_FILE + 1)
    except OSError as exc:
        raise _problem(document, place, f"cannot read {source.name}: {exc.strerror}") from exc
    if len(content) > _LONGEST_FILE:
        raise _problem(document, place, f"expected at most {_LONGEST_FILE >> 10} KiB")
    return content


def _problem(document: Document, place: Place, text: str) -> ConfigError:
    line = document.lines.get(document.written(place), 1)
    where = ".".join(str(step) for step in place)
    return ConfigError(f"{document.path}:{line}: {where}: {text}")


def _refuse_relative(site: SiteConfig, document: Document) -> None:
    """Refuse folders and videos beside the site file: that folder is not there on the box."""
    values: Mapping[str, Any] = document.values
    places: list[tuple[Place, Any]] = [
        (("bundle",), values.get("bundle")),
        *(
            ((section, "bundle"), (values.get(section) or {}).get("bundle"))
            for section in ("detector", "clip")
        ),
        *((("cameras", name, "url"), values["cameras"][name]["url"]) for name in site.cameras),
    ]
    for place, value in places:
        if value is not None and not re.match(r"/|file:/|(?!file:)[a-zA-Z][a-zA-Z0-9+.-]+:", value):
            raise _problem(document, place, "expected an absolute path, as it is on the box")


def _escaped(value: Any) -> Any:
    """Keep ``${`` as it is: variables and secrets are already filled in."""
    if isinstance(value, str):
        return value.replace("${", "$${")
    if isinstance(value, dict):
        return {key: _escaped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    return value


def _networkd(name: str, port: PortConfig) -> str:
    lines = ["[Match]", f"Name={name}", "", "[Network]"]
    lines += [f"Address={port.address}"] if port.address else ["DHCP=yes"]
    if port.gateway:
        lines.append(f"Gateway={port.gateway}")
    lines += [f"DNS={server}" for server in port.dns]
    return _HEAD + "\n".join(lines) + "\n"


def _chrony(time: TimeConfig) -> str:
    nts = time.nts if time.nts or time.ntp else NTS_SERVERS
    lines = [f"server {name} iburst nts" for name in nts]
    lines += [f"server {name} iburst" for name in time.ntp]
    return _HEAD + "\n".join(lines) + "\n"


def _hostname(device: str) -> str:
    """Return the device's name as DNS allows it (RFC 1123)."""
    return re.sub(r"[^a-z0-9-]+", "-", device.lower()).strip("-")[:63].rstrip("-")
