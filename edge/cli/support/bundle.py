"""Writes the support bundle: texts about the box, each without the secrets of the box."""

import gzip
import io
import os
import secrets
import tarfile
from pathlib import Path

from edge.backup.archive import disk_error
from edge.cli.support.facts import UNIT, facts, run
from edge.cli.support.secrets import Masker, environment_of, secrets_of
from edge.config.load import read_state_dir
from edge.errors import ConfigError
from edge.system.health import SOCKET, ask


def write_bundle(target: Path, config: Path, logs: list[Path], *, check: bool) -> list[str]:
    """Write a support bundle; return the names of its files.

    Args:
        target: File to write, a tar compressed by gzip; a former one is replaced.
        config: Configuration file of the daemon; it may be broken.
        logs: Further logs.
        check: Whether to run `edge check`.

    Raises:
        SideFileError: The disk refuses it.
    """
    try:
        state: Path | None = read_state_dir(config)
    except ConfigError:
        state = None
    texts: dict[str, str] = {}
    pid = None
    if state is not None:
        health = ask(state / SOCKET)
        pid = health.pid
        texts["health.json"] = health.model_dump_json(indent=1) + "\n"
    texts |= facts(config, state, logs, check=check)
    known = secrets_of(config, [dict(os.environ), environment_of(pid), _unit_environment()])
    mask = Masker(known)
    try:
        _write(target, {mask(name): mask(text) for name, text in texts.items()})
    except OSError as exc:
        raise disk_error(target, exc) from exc
    return sorted(texts)


def _unit_environment() -> dict[str, str]:
    """Variables that the unit sets, by whatever file."""
    told = run(["systemctl", "show", UNIT, "--property", "Environment", "--value", "--no-pager"])
    pairs = (word.strip("\"'").partition("=") for word in told.split())
    return {name: value for name, equals, value in pairs if equals}


def _write(target: Path, texts: dict[str, str]) -> None:
    new = target.with_name(f"{target.name}.{secrets.token_hex(4)}.new")
    try:
        opened = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with (
            os.fdopen(opened, "wb") as file,
            # Without the name and the time of the file in its header.
            gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w") as tar,
        ):
            for name, text in sorted(texts.items()):
                content = text.encode("utf-8", "replace")
                info = tarfile.TarInfo(f"edge-support/{name}")
                info.size, info.mode = len(content), 0o600
                tar.addfile(info, io.BytesIO(content))
        new.replace(target)
    finally:
        new.unlink(missing_ok=True)
