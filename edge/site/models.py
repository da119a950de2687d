"""Defines the site file: the configuration of the daemon, and what the box itself must know.

A box that is flashed has no other file. So its keys are those of ``edge.yaml`` (docs/config.md),
with a default for ``bundle``, and two sections more.
"""

from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from edge.config.fields import ConfigSection, Host, LocalPath, one_or_more
from edge.config.models import Config

STATE: Final = Path("/var/lib/edge")
BUNDLE: Final = Path("/usr/share/edge/bundle")


def _state_of_the_box(value: Path) -> Path:
    if value != STATE:
        raise ValueError(f"expected {STATE}, where a flashed box keeps its data: remove the key")
    return value


def _address(value: Any) -> Any:
    """Check an address with the length of its network, such as 192.168.1.20/24."""
    if not isinstance(value, str) or "/" not in value:
        raise ValueError("expected an address with its network, such as 192.168.1.20/24")
    try:
        found = ip_interface(value)
    except ValueError:
        raise ValueError("expected an address with its network, such as 192.168.1.20/24") from None
    _refuse_network(found)
    return str(found)


def _refuse_network(found: IPv4Interface | IPv6Interface) -> None:
    net = found.network
    if net.num_addresses > 2 and found.ip in {net.network_address, net.broadcast_address}:
        raise ValueError("expected the address of one device, not that of the whole network")


def _plain_address(value: Any) -> Any:
    try:
        return str(ip_address(value if isinstance(value, str) else ""))
    except ValueError:
        raise ValueError("expected an IP address, such as 192.168.1.1") from None


IpAddress = Annotated[str, BeforeValidator(_plain_address)]
# What systemd-networkd matches: a name, or a pattern of names.
PortName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9.*?_-]{0,14}$")]


class PortConfig(ConfigSection):
    """One network port of the box.

    Attributes:
        address: Address with the length of its network; default by DHCP.
        gateway: Router; without one, only this network is reached through the port.
        dns: Name servers; default those of DHCP.
    """

    address: Annotated[str, BeforeValidator(_address)] | None = None
    gateway: IpAddress | None = None
    dns: Annotated[tuple[IpAddress, ...], BeforeValidator(one_or_more)] = ()

    @model_validator(mode="after")
    def _gateway_is_near(self) -> Self:
        if self.gateway is None:
            return self
        if self.address is None:
            raise ValueError("expected an address beside the gateway: DHCP has its own")
        if ip_address(self.gateway) not in ip_interface(self.address).network:
            raise ValueError(f"expected a gateway in the network of {self.address}")
        return self


class TimeConfig(ConfigSection):
    """Where the box gets the time.

    Attributes:
        nts: Servers that prove who they are (NTS, port 4460); default public ones.
        ntp: Servers without proof, such as the router of a closed network.
    """

    nts: Annotated[tuple[Host, ...], BeforeValidator(one_or_more)] = ()
    ntp: Annotated[tuple[Host, ...], BeforeValidator(one_or_more)] = ()


class SiteConfig(Config):
    """The site file ``edge-config.yaml``.

    Attributes:
        bundle: Folder of the model bundle on the box; default the one of the image.
        state_dir: Folder of the box's data; a flashed box has no choice.
        network: Network ports by name or pattern (``enp1s0``, ``en*``); default DHCP on every one.
        time: Where the box gets the time.
    """

    bundle: LocalPath = BUNDLE
    state_dir: Annotated[LocalPath, AfterValidator(_state_of_the_box)] = STATE
    network: dict[PortName, PortConfig] = Field(default_factory=dict)
    time: TimeConfig = TimeConfig()
