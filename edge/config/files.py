"""Looks for the files that a configuration names and the daemon cannot begin without."""

import os
from pathlib import Path

from edge.config.document import read_document
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
