"""Names what a process that watches a camera reads: its libraries, and what resolves names."""

import os
import sysconfig
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import edge

_WHEELS: Final = ("av", "numpy")
_LIBRARIES: Final = ("/usr", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache")
# Of /etc single files: the folder of the configuration, with its passwords, is beside them.
_RESOLVER: Final = tuple(
    Path("/etc", name)
    for name in (
        "gai.conf", "host.conf", "hosts", "nsswitch.conf", "protocols", "resolv.conf", "services",
    )
)  # fmt: skip
# Where resolv.conf may lead to. These are folders, as their files are replaced again and again.
_LED_TO: Final = (
    "/run/systemd/resolve",
    "/run/NetworkManager",
    "/run/resolvconf",
    "/run/connman",
)
_CERTIFICATES: Final = (
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/pki/tls",
    "/etc/pki/ca-trust",
    "/etc/ca-certificates",
    "/etc/crypto-policies",
    "/etc/gnutls",
)
_OTHERS: Final = ("/etc/localtime", "/sys/devices/system/cpu")


def needed() -> list[Path]:
    """Return what each process of ours reads: folders and files, also such as are not there."""
    python = (sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib"))
    package = str(Path(edge.__file__).parent)
    # Some lie elsewhere: where pip put them for one user, or where PYTHONPATH says.
    specs = (find_spec(name) for name in _WHEELS)
    found = (str(Path(spec.origin).parents[1]) for spec in specs if spec and spec.origin)
    words = {*python, *found, package, *_LIBRARIES, *_LED_TO, *_CERTIFICATES, *_OTHERS}
    return [*map(Path, sorted(words)), *_RESOLVER]


def replaced() -> bool:
    """Whether a file that resolves names is closed to this process, as it is a new one.

    Landlock opens a file, not its name. Who renames a new ``/etc/resolv.conf`` over the old one, as
    some DHCP clients do, takes the names of cameras from a process that is in the sandbox: a new
    process reads the new file.
    """
    return any(_closed(path) for path in _RESOLVER)


def _closed(path: Path) -> bool:
    """Whether Landlock closes a file that its mode opens; ``access`` knows the mode alone."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    except PermissionError:
        return os.access(path, os.R_OK)
    except OSError:
        return False
    return False
