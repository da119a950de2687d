"""Reads pictures from image files, videos and WebDataset shards.

Every file is read to its end, and its problems are reported together with its pictures: one broken
picture does not stop the reading. The caller decides how many broken files are too many.
"""

import json
import lzma
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from webdataset.tariterators import group_by_keys, tar_file_expander

from calibration.footage import FrameReservoir, files_of, thumbnail
from edge.errors import ConfigError, SourceError
from edge.video.decode import Decoder, kept_frames
from edge.video.sampler import Sampler
from edge.video.sources import open_source
from export.distill.data.picture_bytes import encode, read_still, rgb_of

STILLS: Final = ("jpg", "jpeg", "png", "webp", "bmp")
"""Endings of files that are read as one picture."""
_SHARD: Final = "tar"
# Endings of files in a folder that are read as videos; a file given by its own path may have any.
_VIDEOS: Final = (
    "mp4", "m4v", "mov", "mkv", "webm", "avi", "ts", "mts", "m2ts", "mpg", "mpeg", "flv", "wmv",
    "3gp", "gif", "h264", "264", "h265", "265", "hevc", "mjpeg",
)  # fmt: skip
# Errors of reading a damaged archive, also a compressed one.
_ARCHIVE_ERRORS: Final = (
    OSError, ValueError, EOFError, tarfile.TarError, zlib.error, lzma.LZMAError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PictureOptions:
    """Options that decide the pictures of a set, besides the files.

    Attributes:
        side: Longest side in pixels.
        fps: Frames per second of a video among which the kept ones are chosen.
        per_video: Most frames of a video that are kept.
    """

    side: int = 512
    fps: float = 1.0
    per_video: int = 200


@dataclass(frozen=True, slots=True, eq=False)
class FoundPicture:
    """A picture read from a file.

    Attributes:
        key: Name of the picture, valid Unicode.
        jpeg: JPEG file of the picture.
        caption: Description in one line, or None.
    """

    key: str
    jpeg: bytes
    caption: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ReadFile:
    """Outcome of reading one image file, one video or one sample of a shard.

    Attributes:
        key: Name of the file or sample, valid Unicode.
        found: Pictures that were read.
        problem: Reason why pictures are missing; None if none is missing.
    """

    key: str
    found: tuple[FoundPicture, ...]
    problem: str | None = None


def gather(sources: Iterable[Path]) -> dict[Path, str]:
    """Return the name of every file to read, in the order of ``sources``, each file once.

    The name of a file in a folder is its path within that folder; the name of a file given by its
    own path is its file name. In a folder, files with other endings than those of pictures, videos
    and shards are ignored.

    Raises:
        ConfigError: A source does not exist.
        ModelError: A folder is empty.
    """
    names: dict[Path, str] = {}
    for source in sources:
        if not source.exists():
            raise ConfigError(
                f"{source} does not exist; expected a folder of pictures or videos, a video, a "
                "picture or a .tar of WebDataset"
            )
        for file in files_of(source, "distillation"):
            if file == source or _ending(file.name) in (*STILLS, *_VIDEOS, _SHARD):
                name = file.relative_to(source) if file != source else Path(file.name)
                names.setdefault(file.resolve(), printable(name.as_posix()))
    return names


def caption_file(file: Path) -> Path:
    """Path of the caption of a picture; the file need not exist."""
    return file.with_suffix(".txt")


def read(file: Path, name: str, options: PictureOptions) -> Iterator[ReadFile]:
    """Read one file of ``gather``: one outcome, or one for each sample of a shard."""
    ending = _ending(file.name)
    if ending == _SHARD:
        yield from _samples(file, name, options)
    elif ending in STILLS:
        yield _still(file, name, options)
    else:
        yield _video(file, name, options)


def printable(text: str) -> str:
    """Return text as valid Unicode, which names of files and of members need not be."""
    return text.encode(errors="backslashreplace").decode()


def _ending(name: str) -> str:
    return name.rpartition(".")[2].lower()


def _still(file: Path, name: str, options: PictureOptions) -> ReadFile:
    beside = caption_file(file)
    try:
        caption = _first_line(beside.read_bytes()) if beside.is_file() else None
        jpeg = _reduced(file.read_bytes(), options.side)
    except OSError as exc:
        return ReadFile(name, (), f"cannot be read: {exc.strerror}")
    except SourceError as exc:
        return ReadFile(name, (), printable(str(exc)))
    return ReadFile(name, (FoundPicture(name, jpeg, caption),))


def _video(file: Path, name: str, options: PictureOptions) -> ReadFile:
    """Choose frames that differ; frames before the damage of a broken video are kept."""
    pool = FrameReservoir[FoundPicture](options.per_video)
    problem = None
    try:
        with open_source(str(file)) as source:
            decoder = Decoder(source.stream)
            began = None
            for frame in kept_frames(source.packets(), decoder, Sampler(options.fps)):
                began = frame.arrival.wall if began is None else began
                pts_s = frame.arrival.pts_s
                time_s = frame.arrival.wall - began if pts_s is None else pts_s
                rgb = rgb_of(frame.picture, options.side)
                # The pool holds JPEG bytes: pixels of all its frames would take a gigabyte.
                found = FoundPicture(f"{name}@{time_s:.3f}", encode(rgb))
                pool.add(found, thumbnail(rgb.transpose(2, 0, 1)))
    except SourceError as exc:
        problem = printable(str(exc)) + (f", after {pool.seen} frames" if pool.seen else "")
    return ReadFile(name, tuple(pool.chosen()), problem)


def _samples(file: Path, name: str, options: PictureOptions) -> Iterator[ReadFile]:
    problems: list[str] = []

    def note(exc: Exception) -> bool:
        if not isinstance(exc, _ARCHIVE_ERRORS):
            raise exc
        problems.append(printable(_reason(exc)))
        return True

    try:
        stream = file.open("rb")
    except OSError as exc:
        yield ReadFile(name, (), f"cannot be read: {exc.strerror}")
        return
    with stream:
        # The stream is opened here, because WebDataset runs a name like "pipe:..." as a command.
        members = tar_file_expander([{"url": name, "stream": stream}], handler=note)
        for sample in group_by_keys(members, handler=note):
            yield _sample(sample, name, options)
    if problems:
        more = f" (and {len(problems) - 1} more)" if problems[1:] else ""
        yield ReadFile(name, (), f"expected a whole .tar, found: {problems[0]}{more}")


def _sample(sample: Mapping[str, Any], name: str, options: PictureOptions) -> ReadFile:
    key = printable(f"{name}/{sample['__key__']}")
    members = [member for member in sample if not member.startswith("__")]
    pictures = [member for member in members if _ending(member) in STILLS]
    if len(pictures) != 1:
        found = printable(", ".join(members))
        return ReadFile(key, (), f"expected one of {', '.join(STILLS)} in a sample, found {found}")
    try:
        caption = _caption(sample)
        jpeg = _reduced(sample[pictures[0]], options.side)
    except SourceError as exc:
        return ReadFile(key, (), printable(str(exc)))
    return ReadFile(key, (FoundPicture(key, jpeg, caption),))


def _caption(sample: Mapping[str, Any]) -> str | None:
    """Caption of a sample, or None.

    Raises:
        SourceError: The sample has a JSON member that cannot be read.
    """
    if "txt" in sample:
        return _first_line(sample["txt"])
    if "json" not in sample:
        return None
    try:
        facts = json.loads(sample["json"])
    except (ValueError, RecursionError) as exc:
        raise SourceError(f"expected JSON with a caption, found none: {exc}") from exc
    caption = facts.get("caption") if isinstance(facts, dict) else None
    return _first_line(caption.encode(errors="replace")) if isinstance(caption, str) else None


def _first_line(text: bytes) -> str | None:
    lines = text.decode("utf-8-sig", errors="replace").strip().splitlines()
    return lines[0].strip() if lines else None


def _reduced(data: bytes, side: int) -> bytes:
    return encode(rgb_of(read_still(data), side))


def _reason(exc: Exception) -> str:
    """First line of an error's message, without the objects that WebDataset adds to it."""
    said = str(exc.args[0]) if exc.args else type(exc).__name__
    return said.partition(" @ ")[0].partition("\n")[0]
