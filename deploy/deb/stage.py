"""Lays out the files of the packages in folders, as they will be on a box."""

import gzip
import os
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import typer
from typer.completion import get_completion_script  # type: ignore[attr-defined]  # no __all__
from typer.main import get_command

import deploy
from deploy.deb.control import DebPackage, changelog, copyright_file, licence_of
from deploy.deb.manual import pages
from deploy.deb.settings_file import settings_file
from deploy.wheelhouse.target import Target
from edge.cli.main import app

HOME: Final = "opt/edge"

_UNITS: Final = Path(deploy.__file__).parent / "units"
# ``home`` and this file make the link to the system's Python a place of its own: it sees the
# packages of this folder first, and the system's only on a Jetson, where TensorRT's is one of them.
_PYVENV: Final = "home = /usr/bin\ninclude-system-site-packages = {}\n"
_SEE_ALL: Final = {"jetpack-7"}
_LAUNCHER: Final = f"""\
#!/{HOME}/bin/python3 -I
import sys

from edge.__main__ import main

sys.argv[0] = "edge"
main()
"""
# Where it is not 0644, 0755 for a folder.
_MODES: Final = {
    f"{HOME}/bin/edge": 0o755,
    "etc/edge/edge.yaml": 0o640,
    "etc/edge/credentials": 0o700,
}
_COMPLETIONS: Final = {
    "bash": "usr/share/bash-completion/completions/edge",
    "zsh": "usr/share/zsh/vendor-completions/_edge",
    "fish": "usr/share/fish/vendor_completions.d/edge.fish",
}


def libraries_of(root: Path, target: Target) -> Path:
    """Return the folder of the libraries of a package that is laid out in ``root``."""
    return root / HOME / f"lib/python{target.version}/site-packages"


def stage_runtime(
    root: Path, project: Path, package: DebPackage, made_at: int, target: Target
) -> None:
    """Put everything but the libraries of others into ``root``."""
    shutil.copytree(
        project / "edge",
        libraries_of(root, target) / "edge",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    sees_all = str(target.name in _SEE_ALL).lower()
    _write(root / HOME / "pyvenv.cfg", _PYVENV.format(sees_all))
    _write(root / HOME / "bin/edge", _LAUNCHER)
    (root / HOME / "bin/python3").symlink_to(f"/usr/bin/python{target.version}")
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/edge").symlink_to(f"/{HOME}/bin/edge")
    for source, place in (
        ("edge.service", "lib/systemd/system/edge.service"),
        ("sysusers.conf", "usr/lib/sysusers.d/edge-runtime.conf"),
        ("tmpfiles.conf", "usr/lib/tmpfiles.d/edge-runtime.conf"),
    ):
        _write(root / place, (_UNITS / source).read_text())
    _write(root / "etc/edge/edge.yaml", settings_file())
    (root / "etc/edge/credentials").mkdir()
    date = datetime.fromtimestamp(made_at, UTC).date().isoformat()
    for name, text in pages("edge", get_command(app), typer.Context, date):
        _write_gz(root / f"usr/share/man/man1/{name}.1.gz", text)
    for shell, place in _COMPLETIONS.items():
        script = get_completion_script(prog_name="edge", complete_var="_EDGE_COMPLETE", shell=shell)
        _write(root / place, script + "\n")
    examples = root / "usr/share/doc" / package.name / "examples"
    _write(examples / "jetson.conf", (_UNITS / "jetson.conf").read_text())
    _write(examples / "mosquitto.acl", (_UNITS.parent / "mosquitto.acl").read_text())


def stage_openvino(root: Path) -> None:
    """Put what OpenVINO needs besides its libraries into ``root``."""
    place = root / "lib/systemd/system/edge.service.d/openvino.conf"
    _write(place, (_UNITS / "openvino.conf").read_text())


def document(root: Path, package: DebPackage, made_at: int, target: Target) -> None:
    """Write copyright, changelog and the overrides of lintian into ``root``."""
    folder = root / "usr/share/doc" / package.name
    _write(folder / "copyright", copyright_file(licences(libraries_of(root, target)), made_at))
    _write_gz(folder / "changelog.gz", changelog(package, made_at))
    text = (Path(__file__).parent / "lintian-overrides").read_text()
    own = [line for line in text.splitlines() if line.startswith(("#", f"{package.name}:"))]
    _write(root / "usr/share/lintian/overrides" / package.name, "\n".join(own) + "\n")


def licences(packages: Path) -> Mapping[str, str]:
    """Return what each library says of its licence, by its name and version."""
    return {
        folder.name.removesuffix(".dist-info").replace("-", " "): licence_of(
            (folder / "METADATA").read_text("utf-8")
        )
        for folder in sorted(packages.glob("*.dist-info"))
    }


def same_for_all(root: Path, made_at: int) -> None:
    """Give each file a mode and a time that do not depend on who builds, and when."""
    for path in sorted(root.rglob("*")):
        if path.is_symlink():
            continue
        place = path.relative_to(root).as_posix()
        path.chmod(_MODES.get(place, 0o755 if path.is_dir() else 0o644))
    for path in [*sorted(root.rglob("*")), root]:
        os.utime(path, (made_at, made_at), follow_symlinks=False)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _write_gz(path: Path, text: str) -> None:
    """Write a compressed file without the name and the time of its making."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))
