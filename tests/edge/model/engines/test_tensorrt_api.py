"""The names that the TensorRT engine uses, looked for in the bindings that devices have.

The real bindings are packages of about one megabyte; the libraries under them are not, and need a
GPU. So empty ones are made, just enough to import the bindings and look at them. What the engine
uses is what the double offers (``tests/doubles``), for the engine's tests run on nothing else.
"""

import enum
import inspect
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from present import present

from export.packages.fetch import FetchError, Package, default_cache, fetch

MEMBER = "tensorrt_bindings/tensorrt.so"


def package(cuda: int, version: str, platform_: str, sha256: str, member: str) -> Package:
    return Package(
        registry="pypi",
        name=f"tensorrt-cu{cuda}-bindings",
        version=version,
        file=f"tensorrt_cu{cuda}_bindings-{version}-cp311-none-{platform_}_x86_64.whl",
        sha256=sha256,
        members={MEMBER: member},
        licence="Proprietary",
    )


BINDINGS = [
    # JetPack 6.1 and 6.2
    package(
        12,
        "10.3.0",
        "manylinux_2_17",
        "59ace22d7f2ca1e9dcde2cb0cb5916912cb3cd5a9d72dd7852be0160d9b3a0ee",
        "fc41d01b80e66adaf4c39739033c68fca56d070fbd7ae299d21cf0eb5596651d",
    ),
    # JetPack 7.0 and 7.1
    package(
        12,
        "10.13.3.9",
        "manylinux_2_28",
        "33aa9d104c04b008871645a97bd8a1a02279cf498d251df5e767d9d5183e0646",
        "e76e4720894c550aa5131e558caac1ca8eac80851b47006e3fd7b6f3e1271f5d",
    ),
    # JetPack 7.2
    package(
        12,
        "10.16.1.11",
        "manylinux_2_28",
        "150ef2b672487e29a8ea916353467c3e199994fb33589167e3641a928e243aa7",
        "9bf84a17f9df12e2c907d2f03b57139a8cfc9b034b90f701eec3e495caf8ad15",
    ),
    package(
        13,
        "11.4.0.106",
        "manylinux_2_28",
        "d072ac2a095e2be749fefc847adfb25d5ebe70303401df62ede8fe67a59f27fc",
        "d07cb6dfd4300c794285e056633c98ffa54c63e06f828b903fdb4abbe2158938",
    ),
]

# Prints which of the wanted names are missing. A function is looked up in the signatures that the
# bindings write into its documentation: "name(self: C, a: int, b: str = None) -> bool".
LOOK = r"""
import importlib, json, re, sys
module = importlib.import_module(sys.argv[1])
missing = []
for path, parameters in json.load(sys.stdin).items():
    found = module
    for name in path.split("."):
        found = getattr(found, name, None)
    if found is None:
        missing.append(path)
    elif parameters is not None:
        signature = re.compile(r"^(?:\d+\. )?\w+\((self.*)\) ->", re.MULTILINE)
        # Defaults that are enumerations are written "<Strategy.STATIC: 0>".
        texts = [re.sub(r"<[^>]*>", "?", text) for text in signature.findall(found.__doc__)]
        counts = [(text.count(":") - text.count(" = "), text.count(":")) for text in texts]
        if not any(least <= parameters <= most for least, most in counts):
            missing.append(f"{path} with {parameters} parameters: {texts}")
print(json.dumps(missing))
"""


def surface(double: ModuleType) -> dict[str, int | None]:
    """Public names of the double to the number of parameters, None for what is no function."""
    wanted: dict[str, int | None] = {}

    def walk(path: str, owner: type) -> None:
        wanted[path] = None
        members: Mapping[str, Any] = (
            owner.__members__ if issubclass(owner, enum.Enum) else vars(owner)
        )
        for name, value in members.items():
            if isinstance(value, type):
                walk(f"{path}.{name}", value)
            elif not name.startswith("_"):
                is_function = inspect.isfunction(value)
                count = len(inspect.signature(value).parameters) if is_function else None
                wanted[f"{path}.{name}"] = count

    for name, value in vars(double).items():
        if getattr(value, "__module__", "") == double.__name__ and not name.startswith("_"):
            walk(name, value)
    # What the engine makes by itself; TensorRT makes the rest.
    made = {"Builder": 2, "ILogger": 1, "OnnxParser": 3, "Runtime": 2}
    return wanted | {f"{name}.__init__": count for name, count in made.items()}


@pytest.fixture
def wanted(tensorrt_double: Path) -> dict[str, int | None]:
    import tensorrt  # noqa: PLC0415 - the double, once it can be found

    return surface(tensorrt)


def missing(module: str, wanted: dict[str, int | None], folder: Path, libraries: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", LOOK, module],
        input=json.dumps(wanted),
        env={"PYTHONPATH": str(folder), "LD_LIBRARY_PATH": str(libraries)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found


def tool(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def make_empty_libraries(bindings: Path, folder: Path) -> None:
    """Libraries with every function that the bindings want from NVIDIA's; none may be called."""
    symbols = [line.split()[-1] for line in tool("nm", "-D", "-u", bindings).splitlines()]
    functions = [s for s in symbols if "@" not in s and not s.startswith(("Py", "_Py", "__gmon"))]
    source = folder / "empty.c"
    source.write_text("".join(f"void* {name}(void) {{ return 0; }}\n" for name in functions))
    needed = tool("readelf", "-d", bindings).split("Shared library: [")[1:]
    for library in (text.partition("]")[0] for text in needed):
        if library.startswith("libnv"):
            tool("gcc", "-w", "-shared", "-fPIC", f"-Wl,-soname,{library}", "-o",
                 folder / library, source)  # fmt: skip


@pytest.fixture(params=BINDINGS, ids=lambda package: package.version)
def bindings(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path]:
    """The folder of a version's bindings, and the one of the libraries under them."""
    if sys.version_info[:2] != (3, 11) or platform.machine() != "x86_64":
        pytest.skip("the pinned bindings are for Python 3.11 on x86-64")
    if lacking := [name for name in ("gcc", "nm", "readelf") if not shutil.which(name)]:
        pytest.skip(f"not installed: {', '.join(lacking)}")
    try:
        path = fetch(request.param, default_cache())[MEMBER]
    except FetchError as exc:
        if "refusing" in str(exc):
            raise
        pytest.skip(f"{request.param} cannot be had: {exc}")
    make_empty_libraries(path, tmp_path)
    return path.parent, tmp_path


def test_what_the_engine_uses_is_in_the_bindings(
    bindings: tuple[Path, Path], wanted: dict[str, int | None]
) -> None:
    assert missing("tensorrt", wanted, *bindings) == []


def test_a_name_that_is_not_there_would_be_noticed(bindings: tuple[Path, Path]) -> None:
    names = {
        "Builder.build_cuda_engine": 3,  # gone since TensorRT 10
        "ICudaEngine.num_io_tensors": None,
        "ICudaEngine.get_binding_index": 2,
        "IExecutionContext.execute_async_v3": 3,  # the stream, and no more
    }
    found = missing("tensorrt", names, *bindings)
    assert [name.partition(" ")[0] for name in found] == [
        "Builder.build_cuda_engine",
        "ICudaEngine.get_binding_index",
        "IExecutionContext.execute_async_v3",
    ]


def test_what_the_engine_uses_is_in_tensorrt_for_rtx(
    wanted: dict[str, int | None], tmp_path: Path
) -> None:
    pytest.importorskip("tensorrt_rtx")
    site = os.path.dirname(os.path.dirname(present(present(find_spec("tensorrt_rtx")).origin)))  # noqa: PTH120
    assert missing("tensorrt_rtx", wanted, Path(site), tmp_path) == []


def test_the_surface_holds_what_matters(wanted: dict[str, int | None]) -> None:
    assert wanted["IExecutionContext.execute_async_v3"] == 2
    assert wanted["IExecutionContext.set_tensor_address"] == 3
    assert wanted["ICudaEngine.num_io_tensors"] is None
    assert wanted["DataType.INT8"] is None
    assert "ILogger.Severity.ERROR" in wanted
    assert len(wanted) > 60
