"""Encodes scenes as cameras do: constant quality, constant rates, B-frames, smart codecs, noise."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import av
import numpy as np

from benchmarks.studies.gate.scenes import FPS, HEIGHT, WIDTH, Picture

Disturbed = Callable[[Iterable[Picture]], Iterator[Picture]]


def _undisturbed(pictures: Iterable[Picture]) -> Iterator[Picture]:
    return iter(pictures)


def night(pictures: Iterable[Picture]) -> Iterator[Picture]:
    """Grey pictures of a third of the brightness, with 3.5 levels of noise."""
    rng = np.random.default_rng(1)
    noise = (rng.standard_normal((HEIGHT + 64, WIDTH + 64)) * 3.5).round().astype(np.int16)
    for picture in pictures:
        dark = picture.copy()
        y, x = rng.integers(64, size=2)
        levels = noise[y : y + HEIGHT, x : x + WIDTH]
        dark[:HEIGHT] = np.clip(dark[:HEIGHT] * 0.35 + 10 + levels, 0, 255)
        dark[HEIGHT:] = 128
        yield dark


def rain(pictures: Iterable[Picture]) -> Iterator[Picture]:
    """Sixty bright streaks in each picture."""
    rng = np.random.default_rng(2)
    for picture in pictures:
        wet = picture.copy()
        for _ in range(60):
            x, y, length = rng.integers(WIDTH), rng.integers(HEIGHT - 20), rng.integers(6, 18)
            wet[y : y + length, x] = min(int(picture[y, x]) + 60, 250)
        yield wet


def tree(pictures: Iterable[Picture]) -> Iterator[Picture]:
    """A patch of leaves that swings in gusts."""
    leaves = np.random.default_rng(3).integers(30, 170, (25, 35), np.uint8)
    patch = np.kron(leaves, np.ones((4, 4), np.uint8))
    for number, picture in enumerate(pictures):
        now = number / FPS
        gust = (1 + np.sin(now / 7)) / 2
        x = 450 + int(6 * gust * np.sin(now * 2.1) + 2 * np.sin(now * 5.3))
        swung = picture.copy()
        swung[:100, x : x + 140] = patch
        yield swung


@dataclass(frozen=True, slots=True)
class Encoding:
    """One way to encode a scene.

    Attributes:
        encoder: FFmpeg's name.
        options: Its options.
        gop: Pictures from keyframe to keyframe.
        bit_rate: Bits per second; None for a constant quality.
        disturbed: What is done to the pictures before.
        ordinary: Whether scene and encoding are ordinary, for the share of decoded pictures.
    """

    encoder: Literal["libx264", "libx265"]
    options: dict[str, str]
    gop: int = 2 * FPS
    bit_rate: int | None = None
    disturbed: Disturbed = field(default=_undisturbed)
    ordinary: bool = False


_FAST: Final = {"preset": "veryfast", "tune": "zerolatency"}
_X265: Final = "log-level=none:pools=1"


def _rate(kilobits: int, more: str = "") -> dict[str, str]:
    rate = f"bitrate={kilobits}:vbv-maxrate={kilobits}:vbv-bufsize={kilobits}{more}"
    return _FAST | {"x264-params": rate}


VARIANTS: Final[dict[str, Encoding]] = {
    "quality": Encoding("libx264", _FAST | {"crf": "24"}, ordinary=True),
    "b-frames": Encoding("libx264", {"preset": "veryfast", "crf": "24"}, 50, ordinary=True),
    "h265": Encoding(
        "libx265", {"preset": "ultrafast", "crf": "26", "x265-params": _X265}, ordinary=True
    ),
    "cbr": Encoding("libx264", _rate(400), bit_rate=400_000, ordinary=True),
    "cbr filled": Encoding("libx264", _rate(600, ":nal-hrd=cbr"), bit_rate=600_000),
    "h265 cbr": Encoding(
        "libx265",
        {
            "preset": "ultrafast",
            "x265-params": f"{_X265}:bitrate=300:vbv-maxrate=300:vbv-bufsize=300",
        },
        bit_rate=300_000,
    ),
    "smart": Encoding(
        "libx264",
        _FAST | {"crf": "26", "x264-params": "keyint=300:min-keyint=300:scenecut=0"},
        20 * FPS,
    ),
    "night": Encoding("libx264", _FAST | {"crf": "26"}, disturbed=night),
    "night cbr": Encoding("libx264", _rate(400), bit_rate=400_000, disturbed=night),
    "rain": Encoding("libx264", _FAST | {"crf": "26"}, disturbed=rain),
    "tree": Encoding("libx264", _FAST | {"crf": "26"}, disturbed=tree),
}


def encode(pictures: Iterable[Picture], encoding: Encoding, path: Path) -> None:
    """Encode pictures into ``path``, unless it is there."""
    if path.exists():
        return
    part = path.with_suffix(".part")
    with av.open(part, "w", format="mp4") as container:
        stream = container.add_stream(encoding.encoder, rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options, stream.gop_size = dict(encoding.options), encoding.gop
        stream.codec_context.thread_count = 1
        if encoding.bit_rate is not None:
            stream.bit_rate = encoding.bit_rate
        for picture in encoding.disturbed(pictures):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="yuv420p")))
        container.mux(stream.encode())
    part.replace(path)
