"""The audit of a wheelhouse: what a box could not load is found, whatever it is called."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

pytest.importorskip("elftools", reason="the extra `deploy` is not installed")

from elf_library import library, stripped

from deploy.wheelhouse.audit import audit
from deploy.wheelhouse.download import requirements
from deploy.wheelhouse.target import target_of
from edge.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
BOX = target_of("debian-12", "arm64")
NAME = "thing-1.0-cp311-cp311-manylinux_2_28_aarch64.whl"


def wheel(folder: Path, name: str = NAME, files: Mapping[str, bytes] = {}) -> Path:
    """A wheel with METADATA and files; ``__`` in their names stands for a dot."""
    folder.mkdir(exist_ok=True)
    stem = "-".join(name.split("-")[:2])
    path = folder / name
    headers = [f"Name: {name.split('-', maxsplit=1)[0]}", "Version: 1.0"]
    headers += [line.decode() for key, line in files.items() if key == "requires"]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{stem}.dist-info/METADATA", "\n".join(headers))
        for key, content in files.items():
            if key != "requires":
                archive.writestr(f"thing/{key.replace('__', '.')}", content)
    return path


def test_what_the_box_loads_has_no_faults(tmp_path: Path) -> None:
    wheel(
        tmp_path,
        files={"core__so": library("aarch64", ["GLIBC_2.17", "GLIBC_2.36"]), "data__bin": b"text"},
    )
    found = audit(tmp_path, BOX)
    assert found.faults == ()
    assert (found.wheels, found.libraries, found.needed) == (1, 1, {"GLIBC": (2, 36)})


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"core__so": library("x86_64")}, "expected EM_AARCH64, found EM_X86_64"),
        # By its content, not by its name.
        ({"model__dat": library("x86_64")}, "model.dat: expected EM_AARCH64"),
        ({"core__so": library("arm")}, "expected EM_AARCH64, found EM_ARM"),
        ({"core__so": library("aarch64", ["GLIBC_2.37"])}, "found GLIBC_2.37"),
        ({"core__so": library("aarch64", ["GLIBCXX_3.4.31"])}, "found GLIBCXX_3.4.31"),
        ({"core__so": library("aarch64")[:70]}, "expected a shared library"),
        ({"core__so": stripped(library("aarch64", ["GLIBC_2.37"]))}, "found it stripped"),
        ({"core__dll": b"MZ\x90\x00"}, "expected no code of another system"),
        ({"core__dylib": b"\xcf\xfa\xed\xfe"}, "expected no code of another system"),
        ({"requires": b"Requires-Dist: numpy>=2"}, "expected numpy>=2, found None"),
        (
            {"requires": b"Requires-Dist: numpy; platform_machine == 'aarch64'"},
            "expected numpy, found None",
        ),
    ],
)
def test_what_the_box_cannot_load_is_found(
    tmp_path: Path, files: dict[str, bytes], words: str
) -> None:
    wheel(tmp_path, files=files)
    assert words in "\n".join(audit(tmp_path, BOX).faults)


@pytest.mark.parametrize(
    "marker", ["platform_machine == 'x86_64'", "sys_platform == 'win32'", "extra == 'more'"]
)
def test_a_requirement_of_another_machine_is_none(tmp_path: Path, marker: str) -> None:
    wheel(tmp_path, files={"requires": f"Requires-Dist: numpy; {marker}".encode()})
    assert audit(tmp_path, BOX).faults == ()


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("a-1.0-py3-none-any.whl", True),
        ("a-1.0-py2.py3-none-any.whl", True),
        ("a-1.0-cp310-abi3-manylinux_2_36_aarch64.whl", True),
        ("a-1.0-cp311-cp311-manylinux2014_aarch64.whl", True),
        ("a-1.0-cp312-abi3-manylinux_2_28_aarch64.whl", False),
        ("a-1.0-cp312-cp312-manylinux_2_28_aarch64.whl", False),
        ("a-1.0-cp311-cp311-manylinux_2_37_aarch64.whl", False),
        ("a-1.0-cp311-cp311-manylinux_2_28_x86_64.whl", False),
        ("a-1.0-cp311-cp311-musllinux_1_2_aarch64.whl", False),
        ("a-1.0-cp311-cp311t-manylinux_2_28_aarch64.whl", False),
        ("a.whl", False),
    ],
)
def test_a_wheel_is_known_by_its_name_too(tmp_path: Path, name: str, fits: bool) -> None:
    wheel(tmp_path, name)
    assert (audit(tmp_path, BOX).faults == ()) is fits


def test_what_is_no_wheel_is_named(tmp_path: Path) -> None:
    wheel(tmp_path)
    (tmp_path / "pycuda-2026.1.tar.gz").touch()
    assert audit(tmp_path, BOX).faults == ("pycuda-2026.1.tar.gz: expected a wheel",)


def test_jetpack_6_has_an_older_glibc(tmp_path: Path) -> None:
    wheel(tmp_path, files={"core__so": library("aarch64", ["GLIBC_2.36"])})
    (fault,) = audit(tmp_path, target_of("jetpack-6", "arm64")).faults
    assert "GLIBC up to 2.35, as jetpack-6 has it, found GLIBC_2.36" in fault


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off"])
def test_a_damaged_wheel_is_a_mistake_in_words(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(ConfigError, match="expected a whole wheel"):
        audit(tmp_path, BOX)


def test_an_unknown_box_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected one of debian-12 amd64"):
        target_of("jetpack-7", "amd64")


def test_the_requirements_are_those_of_the_project() -> None:
    wanted = requirements(ROOT)
    assert any(one.startswith("av>=") for one in wanted)
    assert any(one.startswith("onnxruntime>=") for one in wanted)
    assert not any("torch" in one for one in wanted)
