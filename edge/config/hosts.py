"""Checks the name or address of the broker, and the texts that name us there. Asks no network."""

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final
from urllib.parse import urlsplit

_LONGEST_NAME: Final = 253
_LONGEST_TEXT: Final = 65_535
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_SECURE: Final = ("mqtts", "ssl", "tls", "wss")


def host(value: str) -> str:
    """Check the name or address of a host.

    Raises:
        ValueError: It is none, such as a URL, or a host together with its port.
    """
    if "://" in value:
        raise ValueError(f"expected a host, not a URL: {_as_keys(value)}")
    if "@" in value:
        raise ValueError("expected a host alone: write user and password as username and password")
    if match := re.fullmatch(r"(\[[^\]]*\]|[^:]*):(\d+)", value):
        raise ValueError(f"expected a host alone: write host: {_bare(match[1])}, port: {match[2]}")
    if value.startswith("[") and value.endswith("]"):
        raise ValueError(f"expected an address without brackets: write host: {_bare(value)!r}")
    if ":" in value:
        return _ipv6(value)
    _check_name(value)
    return value


def mqtt_text(value: str) -> str:
    """Check a text that travels in a CONNECT packet.

    Raises:
        ValueError: MQTT cannot carry it.
    """
    if "\0" in value:
        raise ValueError("expected a text without the character U+0000")
    if _CONTROL.search(value):
        raise ValueError(
            "expected a text without line breaks; a file of variables or secrets may add one"
        )
    if len(value.encode()) > _LONGEST_TEXT:
        raise ValueError(f"expected at most {_LONGEST_TEXT} bytes, which is the limit of MQTT")
    return value


def _as_keys(url: str) -> str:
    """Return the keys that say the same as a URL, without its user and password."""
    try:
        parts = urlsplit(url)
        name, port = parts.hostname, parts.port
    except ValueError:
        name, port = None, None
    scheme = url.partition(":")[0].lower()
    keys = f"write host: {name or 'broker.example'}"
    if port is not None:
        keys += f", port: {port}"
    if scheme in _SECURE:
        keys += ", tls: {}"
    return keys + (" (websockets are not spoken)" if scheme in {"ws", "wss"} else "")


def _bare(name: str) -> str:
    return name.strip("[]") or "broker.example"


def _ipv6(value: str) -> str:
    try:
        IPv6Address(value)
    except AddressValueError:
        raise ValueError("expected a host name, an IPv4 or an IPv6 address") from None
    return value


def _check_name(value: str) -> None:
    name = value.removesuffix(".")
    if re.fullmatch(r"\d+(\.\d+){3}", name):
        try:
            IPv4Address(name)
        except AddressValueError:
            raise ValueError("expected four numbers up to 255 in an IPv4 address") from None
    if not all(name.split(".")):
        raise ValueError("expected a host name without an empty part between its dots")
    if not re.fullmatch(r"[\w.-]+", name):
        raise ValueError("expected a host name of letters, digits, '-' and '.'")
    try:
        length = len(name.encode("idna"))
    except UnicodeError:
        raise ValueError("expected parts of at most 63 characters between the dots") from None
    if length > _LONGEST_NAME:
        raise ValueError(f"expected a host name of at most {_LONGEST_NAME} characters")
