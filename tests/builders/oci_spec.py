"""From an image and its service in compose.yaml to what an OCI runtime runs. Pure functions."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_QUIET = ["nosuid", "nodev", "noexec"]


def size(text: str) -> int:
    """Bytes of ``4g`` or ``64m``."""
    return int(text[:-1]) * _UNITS[text[-1]]


def spec(
    root: Path, image: Mapping[str, Any], service: Mapping[str, Any], folders: Mapping[str, Path]
) -> dict[str, Any]:
    """Configuration of a container, as an engine would make it.

    Args:
        root: Root file system of the image.
        image: ``config`` of the image: user, environment, command.
        service: The service; what it does not take away, a container has.
        folders: Path here for each path in the container that the service mounts.
    """
    user, group = map(int, image["User"].split(":"))
    kept = [] if service.get("cap_drop") == ["ALL"] else ["CAP_CHOWN", "CAP_DAC_OVERRIDE"]
    mounts = [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
        *(tmpfs(one) for one in service.get("tmpfs", [])),
        *(bind(one, folders) for one in service["volumes"]),
    ]
    return {
        "ociVersion": "1.0.2",
        "root": {"path": str(root), "readonly": service.get("read_only", False)},
        "process": {
            "user": {"uid": user, "gid": group},
            "args": [*image["Entrypoint"], *image["Cmd"]],
            "env": image["Env"],
            "cwd": image["WorkingDir"],
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), kept),
            "noNewPrivileges": "no-new-privileges:true" in service.get("security_opt", []),
        },
        "mounts": mounts,
        "linux": {
            # The network stays the host's: the camera and the broker of the test are there.
            "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")],
            "resources": {
                "memory": {"limit": size(service["mem_limit"])},
                "pids": {"limit": service["pids_limit"]},
            },
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list"],
            "readonlyPaths": ["/proc/sys", "/proc/sysrq-trigger"],
        },
    }


def tmpfs(text: str) -> dict[str, Any]:
    path, _, options = text.partition(":")
    return {
        "destination": path,
        "type": "tmpfs",
        "source": "tmpfs",
        "options": [*_QUIET, *options.split(",")],
    }


def bind(text: str, folders: Mapping[str, Path]) -> dict[str, Any]:
    path, *mode = text.split(":")[1:]
    options = ["rbind", *_QUIET[:2], mode[0] if mode else "rw"]
    return {"destination": path, "type": "bind", "source": str(folders[path]), "options": options}
