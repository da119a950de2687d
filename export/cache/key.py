"""Computes the key of a build step: one hash of its name, its code, its inputs and its options.

The code of a step is found from its imports: the modules that it starts from, and every module of
this project that they import, directly or through others. A list by hand would miss a module, and a
missed module packs a stale graph.
"""

import ast
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from importlib.util import resolve_name
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

# The packages of this project lie beside each other, in a checkout and where they are installed.
_HOME: Final = Path(__file__).parents[2]
_PROJECT: Final = ("calibration", "edge", "export")
# The nodes that may begin with a docstring.
_DOCUMENTED: Final = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def step_key(
    step: str, code: str, inputs: Mapping[str, str], options: Mapping[str, Any] | None = None
) -> str:
    """Return the key of a step, 64 hex digits.

    Args:
        step: Name of the step.
        code: ``code_version`` of the code that it runs.
        inputs: Hash of each input by name (``digest``).
        options: All else that decides the result, as JSON values.
    """
    facts = {"step": step, "code": code, "inputs": dict(inputs), "options": dict(options or {})}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def digest(data: bytes | NDArray[Any]) -> str:
    """Return the hash of an input, 64 hex digits; an array's dtype and shape are part of it."""
    if isinstance(data, bytes):
        return hashlib.sha256(data).hexdigest()
    sha = hashlib.sha256(f"{data.dtype.str} {data.shape} ".encode())
    sha.update(np.ascontiguousarray(data).data)
    return sha.hexdigest()


def code_version(modules: Iterable[str], packages: Iterable[str] = ()) -> str:
    """Return the hash of code, 64 hex digits.

    Args:
        modules: Names of the project's modules that the code starts from; ``sources`` finds the
            modules that they import.
        packages: Names of installed packages whose versions count too.
    """
    sha = hashlib.sha256()
    for name, path in sorted(sources(modules).items()):
        sha.update(f"{name} {source_digest(path)}\n".encode())
    for package in packages:
        sha.update(f"{package} {metadata.version(package)}\n".encode())
    return sha.hexdigest()


def source_digest(path: Path) -> str:
    """Return the hash of a module's code, 64 hex digits; comments and docstrings do not count."""
    module = ast.parse(path.read_bytes())
    for node in ast.walk(module):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node) is not None:
            del node.body[0]
    return digest(ast.dump(module).encode())


def sources(modules: Iterable[str]) -> dict[str, Path]:
    """Return the source files of ``modules`` and of all that they import, by module name.

    Imports inside functions and for type checkers count too. So do the packages that hold a module,
    because Python runs them first. Modules of other projects do not count. The modules are read and
    not imported. A module that is imported by a name in a string is not found: name it in
    ``modules``.
    """
    found: dict[str, Path] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        path = _source(name)
        if path is None or name in found:
            continue
        found[name] = path
        waiting += _imported(name, path)
        waiting.append(name.rpartition(".")[0])
    return found


def _source(name: str) -> Path | None:
    """Return the file of a module; None for other projects' modules and for other names."""
    if name.partition(".")[0] not in _PROJECT:
        return None
    place = _HOME.joinpath(*name.split("."))
    return next(filter(Path.is_file, (place.with_suffix(".py"), place / "__init__.py")), None)


def _imported(name: str, path: Path) -> Iterator[str]:
    """Yield the names that a module imports; for ``from a import b``, both ``a`` and ``a.b``."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), package)
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)
