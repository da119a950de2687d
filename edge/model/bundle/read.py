"""Opens a model bundle and returns only bytes that match its manifest.

The rules and their reasons are in docs/bundle-format.md.
"""

import hashlib
import json
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edge.errors import ModelError
from edge.model.bundle.golden import Golden, read_golden
from edge.model.bundle.manifest import (
    MANIFEST,
    SCHEMA,
    SIGNATURE,
    BundleFile,
    Format,
    Manifest,
    Precision,
    Role,
)
from edge.model.bundle.onnx_file import check_self_contained
from edge.model.bundle.signature import MAX_SIGNATURE_BYTES, PublicKey, Signed, check_signature
from edge.system.trouble import words_of

_MAX_MANIFEST_BYTES = 1024 * 1024

# Most exact first.
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")


@dataclass(frozen=True, slots=True)
class Bundle:
    """Opened bundle. No file is kept open: each is read and checked when it is needed.

    Attributes:
        path: Directory with links resolved, so that a link such as ``current`` may change later.
        manifest: Content of ``manifest.json``.
        hash: SHA-256 of ``manifest.json``, which holds the hash of every file.
        signed: Signature of the bundle; None where there is none.
    """

    path: Path
    manifest: Manifest
    hash: str
    signed: Signed | None = None

    def precisions(self, role: Role, format_: Format = "onnx") -> tuple[Precision, ...]:
        """Precisions in which the bundle has a graph, most exact first."""
        return tuple(
            precision
            for precision in PRECISIONS
            if any(
                (f.role, f.precision, f.format) == (role, precision, format_)
                for f in self.manifest.files
            )
        )

    def entry(
        self, role: Role, precision: Precision | None = None, format_: Format | None = None
    ) -> BundleFile:
        """Find the file of a role; for a graph, of this precision and format (default ONNX).

        Raises:
            ModelError: The bundle has none.
        """
        if precision is not None and format_ is None:
            format_ = "onnx"
        for file in self.manifest.files:
            if (file.role, file.precision, file.format) == (role, precision, format_):
                return file
        wanted = f"{precision} {role} as {format_}" if precision else role
        found = ", ".join(self.precisions(role, format_ or "onnx")) or "none"
        raise ModelError(f"{self.path}: expected a file for {wanted}, found {found}")

    def read(
        self, role: Role, precision: Precision | None = None, format_: Format | None = None
    ) -> bytes:
        """Return a file's bytes after checking their size and SHA-256.

        An ONNX graph is also checked to hold all its weights.

        Raises:
            ModelError: The bundle has no such file, or the file differs from the manifest.
        """
        return self.read_file(self.entry(role, precision, format_))

    def weights(self, entry: BundleFile) -> bytes | None:
        """Return the weights of an OpenVINO graph, which are a file; None for other graphs.

        Raises:
            ModelError: The file differs from the manifest.
        """
        for file in self.manifest.files:
            if file.role == "weights" and file.file == entry.weights:
                return self._checked(file)
        return None

    def tokenizer(self) -> bytes:
        """Content of ``tokenizer.json``."""
        return self.read("tokenizer")

    def axes(self) -> tuple[str, ...] | None:
        """Names of the D axes of the embedding; None where the bundle gives them no names."""
        if not any(file.role == "axes" for file in self.manifest.files):
            return None
        name = self.entry("axes").file
        names = _json(self.read("axes"), name)
        dim = self.manifest.embedding.dim if self.manifest.embedding else 0
        if not isinstance(names, list) or not all(isinstance(axis, str) for axis in names):
            raise ModelError(f"{name}: expected a list of strings, found something else")
        if len(names) != dim:
            raise ModelError(f"{name}: expected {dim} names, found {len(names)}")
        return tuple(names)

    def golden(self) -> Golden:
        """Golden inputs and outputs, in the shapes that the manifest implies."""
        return read_golden(self.read("golden"), self.entry("golden").file, self.manifest)

    def verify(self) -> None:
        """Read and check every file now.

        Raises:
            ModelError: A file differs from the manifest; the message names the first one.
        """
        for file in self.manifest.files:
            self.read_file(file)
        self.axes()
        self.golden()

    def read_file(self, entry: BundleFile) -> bytes:
        """Return the bytes of any file of the manifest, checked as by ``read``.

        Raises:
            ModelError: It is not what the manifest says.
        """
        data = self._checked(entry)
        if entry.format == "onnx":
            check_self_contained(data, entry.file)
        return data

    def _checked(self, entry: BundleFile) -> bytes:
        data = _read(self.path / entry.file, entry.size)
        if len(data) != entry.size:
            raise ModelError(
                f"{self.path / entry.file}: expected {entry.size} bytes, found "
                f"{'more' if len(data) > entry.size else len(data)}; install the bundle again"
            )
        found = hashlib.sha256(data).hexdigest()
        if found != entry.sha256:
            raise ModelError(
                f"{self.path / entry.file}: expected SHA-256 {entry.sha256}, found {found}; "
                "install the bundle again"
            )
        return data


def open_bundle(path: Path, keys: Sequence[PublicKey] = ()) -> Bundle:
    """Open the bundle in the directory ``path`` (itself possibly a link, such as ``current``).

    This is cheap: it reads the manifest and checks that exactly the listed files are there, as
    plain files. Contents are checked when they are read, or all at once by ``Bundle.verify``.

    Args:
        path: Directory of the bundle.
        keys: Trusted keys, one of which must have signed the bundle; empty: no signature is needed.

    Raises:
        ModelError: The directory is no bundle or has another format version; a file is missing,
            linked, not plain or not listed; or none of ``keys`` signed the bundle.
        ConfigError: There are keys, but the library that verifies signatures is missing.
    """
    try:
        directory = path.resolve(strict=True)
        found = {entry.name for entry in directory.iterdir()}
    except (OSError, RuntimeError) as exc:  # RuntimeError: a loop of links
        raise ModelError(
            f"{path}: expected a bundle directory, found: {words_of(exc)}. The default one is "
            "built with `edge-export default`"
        ) from exc
    if MANIFEST not in found:
        raise ModelError(
            f"{path}: expected a bundle with {MANIFEST}, found none; check the setting `bundle`, "
            "or build one with `edge-export default --out DIR`"
        )
    data = _read(directory / MANIFEST, _MAX_MANIFEST_BYTES)
    # The signature is checked before the manifest is parsed.
    place = directory / SIGNATURE
    signature = _read(place, MAX_SIGNATURE_BYTES) if SIGNATURE in found else None
    signed = check_signature(place, data, signature, keys)
    manifest = _manifest(data, directory / MANIFEST)
    listed = {file.file for file in manifest.files} | {MANIFEST}
    _refuse_difference(directory, listed, found - {SIGNATURE})
    for name in sorted(listed):
        os.close(_open(directory / name))
    return Bundle(directory, manifest, hashlib.sha256(data).hexdigest(), signed)


def _refuse_difference(directory: Path, listed: set[str], found: set[str]) -> None:
    if missing := sorted(listed - found):
        raise ModelError(
            f"{directory}: expected {', '.join(missing)}, found no such file; install the bundle "
            "again"
        )
    if extra := sorted(found - listed):
        raise ModelError(
            f"{directory}: expected only files listed in {MANIFEST}, found also "
            f"{', '.join(extra)}; remove them, or install the bundle again"
        )


def _manifest(data: bytes, path: Path) -> Manifest:
    if len(data) > _MAX_MANIFEST_BYTES:
        raise ModelError(f"{path}: expected at most {_MAX_MANIFEST_BYTES} bytes, found more")
    content = _json(data, str(path))
    schema = content.get("schema") if isinstance(content, dict) else None
    if schema != SCHEMA:
        raise ModelError(
            f"{path}: expected schema {SCHEMA!r}, found {schema!r}; use a bundle made for this "
            "version of edge, or the version that the bundle was made for"
        )
    try:
        return Manifest.model_validate_json(data)
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise ModelError(
            f"{path}: {where}: {first['msg']} ({exc.error_count()} in all); build the bundle again"
        ) from exc


def _json(data: bytes, name: str) -> Any:
    try:
        return json.loads(data, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as exc:
        raise ModelError(f"{name}: expected JSON, found: {exc}") from exc


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse equal keys: two readers may disagree on which of them counts."""
    keys = dict(pairs)
    if len(keys) != len(pairs):
        raise ValueError("a key that occurs twice in one object")
    return keys


def _open(path: Path) -> int:
    """Open a plain file without links; every check asks the descriptor, and none the name."""
    try:
        # Without O_NONBLOCK a pipe in the place of a file would wait for a writer for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as exc:
        what = "a symbolic link" if path.is_symlink() else exc.strerror
        raise ModelError(f"{path}: expected a plain file, found: {what}") from exc
    status = os.fstat(descriptor)
    problem = None
    if not stat.S_ISREG(status.st_mode):
        problem = f"a {_kind(status.st_mode)}"
    elif status.st_nlink != 1:
        problem = f"one with {status.st_nlink} hard links; copy the bundle instead of linking it"
    if problem:
        os.close(descriptor)
        raise ModelError(f"{path}: expected a plain file, found {problem}")
    return descriptor


def _kind(mode: int) -> str:
    return "directory" if stat.S_ISDIR(mode) else "pipe, socket or device"


def _read(path: Path, size: int) -> bytes:
    """Read up to ``size + 1`` bytes: one more shows that the file is too long."""
    with os.fdopen(_open(path), "rb") as file:
        try:
            return file.read(size + 1)
        except OSError as exc:
            raise ModelError(f"{path}: expected to read it, found: {exc.strerror}") from exc
