"""Writes an image to a disk and reads it back."""

import fcntl
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO, Final

from deploy.image.tools import DiskFailed, ToolFailed, need, run
from edge.errors import ConfigError

CHUNK: Final = 4 * 1024 * 1024
# From the cache to the disk at least so often, so that progress is the disk's.
_SYNC_CHUNKS: Final = 8
_BLKFLSBUF: Final = 0x1261  # drop what the kernel has cached of a disk
_DECOMPRESSED: Final = re.compile(r"Decompressed Size:.*\((\d+) B\)")

# Where a table of partitions says what it is.
_GPT: Final = slice(512, 520)

Progress = Callable[[int], None]


def image_size(image: Path) -> int:
    """Return the bytes of an image, decompressed.

    Raises:
        ConfigError: There is no image.
        ToolFailed: The file ends in .zst and is not Zstandard.
    """
    need(image, "an image")
    if image.suffix != ".zst":
        return image.stat().st_size
    found = _DECOMPRESSED.search(run("zstd", "--list", "--verbose", image))
    if found is None:
        raise ToolFailed(f"{image}: expected a file with its size: compress a file, not a pipe")
    return int(found[1])


def write_image(image: Path, disk: Path, wrote: Progress, read: Progress) -> None:
    """Write an image to a disk, and compare each byte with what the disk gives back.

    The first chunk, with the table of partitions, is written last: a disk that was not written as a
    whole cannot be started from.

    Args:
        image: The image, which may be compressed (.zst).
        disk: Device file. Nothing else may use it.
        wrote: Called with the number of bytes after each part that is on the disk.
        read: The same while reading back.

    Raises:
        ConfigError: The file is no image; nothing was written.
        DiskFailed: The disk refused, was in use, or gave back something else.
        ToolFailed: The image is damaged.
    """
    try:
        digest, size = _write(image, disk, wrote)
        found = _digest(disk, size, read)
    except OSError as exc:
        raise DiskFailed(f"cannot write to {disk}: {exc.strerror}") from exc
    if found != digest:
        raise DiskFailed(
            f"{disk} gave back something else than was written; expected a disk without faults"
        )


def _write(image: Path, disk: Path, wrote: Progress) -> tuple[bytes, int]:
    digest, at, first, waiting = sha256(), 0, b"", 0
    # O_EXCL: the kernel refuses a disk that is mounted, also elsewhere.
    target = os.open(disk, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
    try:
        for chunk in _chunks(image):
            digest.update(chunk)
            if at == 0:
                if chunk[_GPT] != b"EFI PART":
                    raise ConfigError(f"expected an image of edge-flash image, found {image}")
                first, chunk = chunk, bytes(len(chunk))  # noqa: PLW2901 - zeros for now
            _write_all(target, chunk, at)
            at += len(chunk)
            waiting += len(chunk)
            if waiting >= _SYNC_CHUNKS * CHUNK:
                os.fdatasync(target)
                wrote(waiting)
                waiting = 0
        os.fdatasync(target)
        _write_all(target, first, 0)
        os.fsync(target)
        wrote(waiting)
    finally:
        os.close(target)
    return digest.digest(), at


def _write_all(target: int, chunk: bytes, at: int) -> None:
    view = memoryview(chunk)
    while view:
        done = os.pwrite(target, view, at)
        view, at = view[done:], at + done


def _digest(disk: Path, size: int, read: Progress) -> bytes:
    digest = sha256()
    with disk.open("rb", buffering=0) as file:
        _forget_cache(file)
        while size:
            chunk = file.read(min(CHUNK, size))
            if not chunk:
                break
            digest.update(chunk)
            size -= len(chunk)
            read(len(chunk))
    return digest.digest()


def _forget_cache(file: IO[bytes]) -> None:
    """Have the disk asked, not the memory that still has what was written."""
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    try:
        fcntl.ioctl(file.fileno(), _BLKFLSBUF)
    except OSError:
        return  # a file, or no rights: posix_fadvise has done it


@contextmanager
def _opened(image: Path) -> Iterator[IO[bytes]]:
    if image.suffix != ".zst":
        with image.open("rb") as file:
            yield file
        return
    with subprocess.Popen(  # noqa: S603 - the arguments are ours
        ["zstd", "-dcq", str(image)],  # noqa: S607 - from the path, as in deploy.image.tools
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        if process.stdout is None or process.stderr is None:
            raise AssertionError
        yield process.stdout
        said = process.stderr.read().decode(errors="replace").strip()
        if process.wait():
            raise ToolFailed(f"{image} is damaged: {said}")


def _chunks(image: Path) -> Iterator[bytes]:
    with _opened(image) as file:
        while chunk := file.read(CHUNK):
            yield chunk
