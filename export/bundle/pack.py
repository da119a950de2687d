"""Writes a bundle: the same facts and files give the same bytes, and it appears all at once.

The device's own reader opens and verifies the finished directory before it gets its name.
"""

import hashlib
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from edge.errors import ModelError
from edge.model.bundle.golden import Golden
from edge.model.bundle.manifest import (
    MANIFEST,
    BundleFile,
    Format,
    Manifest,
    ModelFacts,
    Precision,
    Role,
)
from edge.model.bundle.read import Bundle, open_bundle

# The earliest date that a zip can hold; golden.npz must not depend on the clock.
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Artefact:
    """One file to pack.

    Attributes:
        role: Purpose of the file.
        data: Contents.
        precision: Precision of a graph; None for other files.
        min_cosine: Lowest cosine that a device may measure on the golden rows; None for other files
            than graphs.
        format: Format of a graph; None is ONNX.
        weights: Name of the file that holds the weights of an OpenVINO graph.
    """

    role: Role
    data: bytes
    precision: Precision | None = None
    min_cosine: float | None = None
    format: Format | None = None
    weights: str | None = None


def write_bundle(out: Path, facts: ModelFacts, files: Mapping[str, Artefact]) -> Bundle:
    """Write the bundle ``out``; an older bundle there is replaced.

    Args:
        out: Directory; its parent is made when missing. An existing directory is replaced only if
            it is a bundle or empty.
        facts: The manifest without its list of files.
        files: Files of the bundle by name.

    Returns:
        The written bundle, every file verified.

    Raises:
        ModelError: A device would refuse a bundle of these facts and files, or ``out`` holds
            something else.
    """
    manifest = _manifest(facts, files)
    with workplace(out) as folder:
        new = folder / "new"
        new.mkdir()
        for name, artefact in files.items():
            _write(new / name, artefact.data)
        _write(new / MANIFEST, manifest)
        open_bundle(new).verify()
        take_place(new, out, folder / "old")
    return open_bundle(out)


def take_place(new: Path, out: Path, old: Path) -> None:
    """Rename the finished directory ``new`` to ``out``; an existing ``out`` becomes ``old``.

    Raises:
        OSError: The disk refuses; ``out`` is then as it was.
    """
    if out.exists():
        out.rename(old)
    try:
        new.rename(out)
    except OSError:
        if old.exists():
            old.rename(out)  # else it would be removed with the folder
        raise


@contextmanager
def workplace(out: Path, what: str = "bundle", marker: str = MANIFEST) -> Iterator[Path]:
    """Provide a temporary directory beside ``out``; a bad ``out`` is refused on entry.

    Args:
        out: Final place of the directory that is made inside.
        what: Kind of that directory, for messages.
        marker: Name of the file that every directory of that kind has.

    Raises:
        ModelError: ``out`` holds something else, or its disk refuses.
    """
    if out.exists() and not _replaceable(out, marker):
        raise ModelError(
            f"{out}: expected a {what} or an empty directory to replace, found something else; "
            "choose another --out or remove it"
        )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as folder:
            yield Path(folder)
    except OSError as exc:
        raise ModelError(
            f"{out}: expected to write a {what} there, found: {exc.strerror}; choose another --out"
        ) from exc


def golden_npz(golden: Golden) -> bytes:
    """Serialize golden arrays as the bundle's ``golden.npz``."""
    arrays = {
        f"{role}.{name}": array
        for role, graph in golden.items()
        for name, array in (*graph.inputs.items(), *graph.answers.items())
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(
                member, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False
            )
            info = zipfile.ZipInfo(f"{name}.npy", _ZIP_EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            zipped.writestr(info, member.getvalue())
    return buffer.getvalue()


def _replaceable(out: Path, marker: str) -> bool:
    return out.is_dir() and ((out / marker).is_file() or not any(out.iterdir()))


def _manifest(facts: ModelFacts, files: Mapping[str, Artefact]) -> bytes:
    try:
        listed = [
            BundleFile(
                role=artefact.role,
                file=name,
                sha256=hashlib.sha256(artefact.data).hexdigest(),
                size=len(artefact.data),
                format=artefact.format or ("onnx" if artefact.precision else None),
                precision=artefact.precision,
                min_cosine=artefact.min_cosine,
                weights=artefact.weights,
            )
            for name, artefact in files.items()
        ]
        manifest = Manifest(**facts.model_dump(by_alias=True), files=tuple(listed))
    except ValidationError as exc:
        raise ModelError(f"these facts and files make no bundle: {exc}") from exc
    content = manifest.model_dump(mode="json", by_alias=True, exclude_none=True)
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
