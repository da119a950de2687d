"""Looks at the files beside a configuration: can the daemon read them, and who else can?"""

import os
import stat
from pathlib import Path

from edge.config.document import SECRETS, read_document
from edge.config.models import Config
from edge.errors import ConfigError


def require_files(path: Path, config: Config) -> None:
    """Check, before long work starts, that the files of ``mqtt.tls`` can be read.

    Args:
        path: File that the configuration was loaded from.
        config: The configuration.

    Raises:
        ConfigError: One cannot be read; the message has one line for each.
    """
    tls = config.mqtt.tls
    files = {} if tls is None else {"ca": tls.ca, "cert": tls.cert, "key": tls.key}
    found = {name: pem_problem(file) for name, file in files.items() if file is not None}
    problems = {name: problem for name, problem in found.items() if problem is not None}
    if not problems:
        return
    document = read_document(path, os.environ)  # once more, for the lines
    for name, problem in problems.items():
        document.report(("mqtt", "tls", name), problem)
    raise ConfigError("\n".join(f"{path}:{line}: {text}" for line, text in document.problems))


def open_secrets(path: Path) -> str | None:
    """Return what to do where every user can read the secrets of a configuration; else None.

    Args:
        path: The configuration; its secrets are beside it.
    """
    secrets = path.with_name(SECRETS)
    try:
        mode, folder = secrets.stat().st_mode, secrets.parent.stat().st_mode
    except OSError:
        return None  # whoever needs it has said so
    if not (mode & stat.S_IROTH and folder & stat.S_IXOTH):
        return None
    return f"every user of this machine can read {secrets}: chmod 600 it"


def pem_problem(path: Path) -> str | None:
    """Return why a file of keys or certificates cannot be read; None where it can be."""
    try:
        path.open("rb").close()
    except FileNotFoundError:
        return f"expected a PEM file, found nothing at {path}"
    except OSError as exc:
        return (
            "expected a PEM file that the user of the daemon can read, "
            f"found at {path}: {exc.strerror}"
        )
    return None
