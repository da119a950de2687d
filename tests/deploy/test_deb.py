"""The Debian package: its settings file, its pages and what dpkg reads. ``make deb-test`` builds it."""

import ctypes
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.main import get_command

from deploy.deb.build import build, time_of_source
from deploy.deb.command import deb
from deploy.deb.control import (
    OPENVINO,
    RUNTIME,
    DebPackage,
    changelog,
    control,
    debian_version,
    licence_of,
    md5sums,
)
from deploy.deb.manual import pages
from deploy.deb.settings_file import settings_file
from deploy.deb.slim import foreign, packages_of, strip, stripper, unused
from deploy.deb.stage import same_for_all, stage_runtime
from deploy.deb.wheels import lay_out, tags
from deploy.wheelhouse.target import target_of
from edge.cli.main import app
from edge.config.load import load_config
from edge.config.schema import config_schema
from edge.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
X86, ARM = (target_of("debian-12", arch) for arch in ("amd64", "arm64"))
MADE_AT = 1_796_048_905
PACKAGE = DebPackage(RUNTIME, "0.1.0+1", "amd64", ["python3 (>= 3.11)"])


def uncommented(text: str) -> str:
    """The file with every setting in it switched on."""
    lines = text.splitlines()
    return "\n".join(line[1:] for line in lines if line.startswith("#") and line[1:2] != "#")


def keys(schema: dict[str, Any], part: dict[str, Any]) -> Iterator[str]:
    for choice in (part, *part.get("anyOf", ())):
        if "$ref" in choice:
            yield from keys(schema, schema["$defs"][choice["$ref"].rpartition("/")[2]])
    for below in part.get("patternProperties", {}).values():
        yield from keys(schema, below)
    for key, below in part.get("properties", {}).items():
        yield key
        yield from keys(schema, below)


def test_the_settings_file_sets_nothing_and_explains_every_key() -> None:
    text = settings_file()
    assert [line for line in text.splitlines() if line and not line.startswith("#")] == []
    schema = config_schema()
    known = set(keys(schema, schema))
    assert len(known) > 60
    found = set(re.findall(r"^# *([a-z_]+):", text, re.MULTILINE))
    inside_schedule = {"days", "hours", "except", "timezone"}  # one line stands for all
    assert known - found - inside_schedule == set()


def test_the_settings_file_with_everything_switched_on_is_right(tmp_path: Path) -> None:
    file = tmp_path / "edge.yaml"
    file.write_text(uncommented(settings_file()))
    (tmp_path / "secrets.yaml").write_text("broker_password: sesame\n")
    (tmp_path / "secrets.yaml").chmod(0o600)
    config = load_config(file)
    assert config.mqtt.password is not None
    assert config.state_dir == Path("/var/lib/edge")  # the unit's StateDirectory
    assert config.mqtt.keepalive == 30
    file.write_text(uncommented(settings_file()).replace("keepalive:", "kepalive:"))
    with pytest.raises(ConfigError, match="kepalive"):
        load_config(file)


def test_each_command_has_a_page_that_man_can_read() -> None:
    found = dict(pages("edge", get_command(app), typer.Context, "2026-11-30"))
    assert {"edge", "edge-run", "edge-check", "edge-prompts-set"} <= found.keys()
    assert "Watch the cameras and publish, until SIGTERM" in found["edge-run"]
    assert "\\-\\-tune" in found["edge-check"]
    assert all(".SH SYNOPSIS" in text for text in found.values())
    if shutil.which("groff"):
        done = subprocess.run(
            ["groff", "-man", "-Tutf8", "-ww", "-z"],
            input="".join(found.values()), capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stderr == ""


def test_what_dpkg_reads() -> None:
    text = control(PACKAGE, 7)
    assert "Package: edge-runtime\nVersion: 0.1.0+1\nArchitecture: amd64\n" in text
    assert "Installed-Size: 7\n" in text
    assert all(len(line) < 100 and line.strip() for line in text.splitlines())
    assert "Recommends" not in text  # an empty field is an error
    assert OPENVINO in control(DebPackage(OPENVINO, "1", "amd64", ["a"]), 1)
    assert changelog(PACKAGE, MADE_AT).startswith("edge-runtime (0.1.0+1) unstable;")
    assert "Mon, 30 Nov 2026" in changelog(PACKAGE, MADE_AT)
    assert debian_version("0.1.0", MADE_AT) < debian_version("0.1.0", MADE_AT + 1)
    sums = md5sums({"b": b"", "a": b"x"})
    assert sums == "9dd4e461268c8034f5c8564e155c67a6  a\nd41d8cd98f00b204e9800998ecf8427e  b\n"


@pytest.mark.parametrize(
    ("metadata", "licence"),
    [
        ("License-Expression: MIT\nLicense: other", "MIT"),
        ("License: BSD\nClassifier: License :: OSI Approved :: BSD License", "BSD License"),
        ("License: ISC", "ISC"),
        ("Name: x", "see its folder"),
    ],
)
def test_what_a_wheel_says_of_its_licence(metadata: str, licence: str) -> None:
    assert licence_of(metadata) == licence


def test_wheels_are_asked_for_by_the_target_and_not_by_this_machine() -> None:
    assert "--platform=manylinux_2_28_aarch64" in tags(ARM)
    assert not [tag for tag in tags(ARM) if "x86" in tag]
    assert "--platform=manylinux_2_38_x86_64" not in tags(X86)  # Debian 12 has glibc 2.36


@pytest.mark.parametrize(
    ("path", "gone"),
    [
        ("numpy/_core/tests", True), ("av/video/frame.pxd", True), ("typer/py.typed", False),
        ("numpy/testing", False), ("onnxruntime/capi/libonnxruntime.so.1.32.0", True),
        ("onnxruntime/capi/onnxruntime_pybind11_state.cpython-311-x86_64-linux-gnu.so", False),
        ("openvino/libs/libopenvino_intel_cpu_plugin.so", False),
        ("av-18.1.0.dist-info/METADATA", False), ("av-18.1.0.dist-info/RECORD", True),
    ],
)  # fmt: skip
def test_what_no_box_needs_is_left_out(path: str, *, gone: bool) -> None:
    assert unused(path) is gone


def test_a_library_of_another_processor_is_found(tmp_path: Path) -> None:
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00"
    (tmp_path / "x86.so").write_bytes(head + b"\x3e\x00")
    (tmp_path / "arm.so").write_bytes(head + b"\xb7\x00")
    (tmp_path / "text.so").write_text("no library")
    assert foreign(tmp_path, X86) == [tmp_path / "arm.so"]
    assert foreign(tmp_path, ARM) == [tmp_path / "x86.so"]


@pytest.mark.skipif(shutil.which(stripper(X86)) is None, reason="needs binutils")
def test_a_library_loses_its_symbols_and_one_that_would_not_load_then_keeps_them(
    tmp_path: Path,
) -> None:
    packages = Path(yaml.__file__).parents[1]
    cut, moved = next(packages.glob("yaml/_yaml*.so")), next(packages.glob("numpy.libs/libgfort*"))
    for library in (cut, moved):
        shutil.copy(library, tmp_path)
    strip(tmp_path, X86)
    assert {path.name for path in tmp_path.iterdir()} == {cut.name, moved.name}
    assert (tmp_path / cut.name).stat().st_size < 0.5 * cut.stat().st_size
    assert (tmp_path / moved.name).read_bytes() == moved.read_bytes()
    ctypes.CDLL(str(tmp_path / cut.name), os.RTLD_NOW)


def test_a_library_is_the_runtimes_own_or_of_a_known_package() -> None:
    assert packages_of({"libc.so.6", "libav.so.1"}, {"libav.so.1"}) == {"libc6"}
    with pytest.raises(ConfigError, match=r"libOpenCL\.so\.1"):
        packages_of({"libc.so.6", "libOpenCL.so.1"}, set())


def test_two_stages_are_the_same_but_for_what_the_source_says(tmp_path: Path) -> None:
    def staged(name: str) -> dict[str, tuple[object, ...]]:
        root = tmp_path / name
        stage_runtime(root, ROOT, PACKAGE, MADE_AT, X86)
        same_for_all(root, MADE_AT)
        return {
            path.relative_to(root).as_posix(): (
                path.lstat().st_mode,
                path.lstat().st_mtime,
                path.read_bytes() if path.is_file() and not path.is_symlink() else None,
            )
            for path in sorted(root.rglob("*"))
        }

    found = staged("one")
    assert found == staged("two")
    modes = {
        path: f"{mode[0] & 0o777:o}" for path, mode in found.items() if isinstance(mode[0], int)
    }
    assert modes["etc/edge/credentials"] == "700"
    assert modes["etc/edge/edge.yaml"] == "640"
    assert modes["opt/edge/bin/edge"] == "755"
    assert {time for _, time, _ in found.values()} == {MADE_AT}
    assert "lib/systemd/system/edge.service" in found
    assert not [path for path in found if "__pycache__" in path or "/tests/" in path]


@pytest.mark.parametrize(
    ("system", "python", "sees_all"),
    [("debian-12", "3.11", "false"), ("jetpack-7", "3.12", "true")],
)
def test_a_jetson_has_its_own_python_and_sees_tensorrt(
    tmp_path: Path, system: str, python: str, sees_all: str
) -> None:
    stage_runtime(tmp_path, ROOT, PACKAGE, MADE_AT, target_of(system, "arm64"))
    home = tmp_path / "opt/edge"
    assert (home / "bin/python3").readlink() == Path(f"/usr/bin/python{python}")
    assert (home / f"lib/python{python}/site-packages/edge/app.py").is_file()
    assert f"system-site-packages = {sees_all}" in (home / "pyvenv.cfg").read_text()


def test_a_wheel_for_a_newer_python_is_laid_out_by_an_older_one(tmp_path: Path) -> None:
    info = "thing-1.0.dist-info"
    tag = f"cp3{sys.version_info.minor + 1}"
    with zipfile.ZipFile(tmp_path / f"thing-1.0-{tag}-none-any.whl", "w") as archive:
        archive.writestr("thing.py", "")
        requires = f"Requires-Python: >=3.{sys.version_info.minor + 1}"
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n{requires}\n"
        )
        archive.writestr(
            f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    newer = replace(ARM, python=(3, sys.version_info.minor + 1))
    lay_out(["thing"], tmp_path, newer, tmp_path / "packages")
    assert (tmp_path / "packages/thing.py").is_file()


def test_jetpack_6_has_no_package() -> None:
    with pytest.raises(ConfigError, match="systemd 250"):
        deb(system="jetpack-6", arch="arm64")


def test_what_cannot_be_built_is_said_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="debian-12 arm64"):
        target_of("debian-12", "riscv64")
    with pytest.raises(ConfigError, match=r"pyproject\.toml"):
        build(tmp_path, tmp_path, X86, None, MADE_AT)
    with pytest.raises(ConfigError, match="SOURCE_DATE_EPOCH"):
        time_of_source(tmp_path, {})
    assert time_of_source(tmp_path, {"SOURCE_DATE_EPOCH": "7"}) == 7
    assert list(tmp_path.iterdir()) == []


def test_the_scripts_are_portable_shell() -> None:
    scripts = sorted((ROOT / "deploy/deb/scripts").iterdir())
    assert len(scripts) == 6
    for script in scripts:
        subprocess.run(["sh", "-n", script], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", "--shell=sh", *scripts], check=True)
