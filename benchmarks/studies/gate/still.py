"""Measures what a camera costs before which nothing moves: 1080p at 25 pictures a second."""

import time
from pathlib import Path
from typing import Any, Final, Literal

import av
import numpy as np

from benchmarks.studies.gate.trial import let_through

_WIDTH, _HEIGHT, _FPS, _SECONDS = 1920, 1080, 25, 60
_KINDS: Final[dict[str, dict[str, str]]] = {
    "clean, constant quality": {"crf": "23"},
    "noisy, 4 Mbit/s": {"x264-params": "bitrate=4000:vbv-maxrate=4000:vbv-bufsize=4000"},
}
Decoding = Literal["gated", "complete", "none"]


def idle_cost(footage: Path, folder: Path) -> dict[str, Any]:
    """Return shares of a core by kind of stream, once the gate has learned what is still."""
    found: dict[str, Any] = {}
    for kind, options in _KINDS.items():
        path = folder / f"still-1080p.{kind.partition(',')[0]}.mp4"
        _encode(footage / "retail02_h264_1080p25_gop50.mp4", options, path, noisy="noisy" in kind)
        passages = [let_through(path, _FPS) for _ in range(3)]
        passage = min(passages, key=lambda each: each.cores_later)
        found[kind] = {
            "megabits": round(path.stat().st_size * 8e-6 / _SECONDS, 2),
            "demux": round(_demux(path), 5),
            "gated": [round(each.cores_later, 5) for each in passages],
            "complete": round(let_through(path, _FPS, gated=False).cores_later, 5),
            "decoded": round(passage.decoded_quiet, 4),
            "states_s": passage.states,
        }
    return found


def _demux(path: Path) -> float:
    began = time.thread_time()
    with av.open(path) as container:
        for packet in container.demux(video=0):
            del packet
    return (time.thread_time() - began) / _SECONDS


def _encode(clip: Path, options: dict[str, str], path: Path, *, noisy: bool) -> None:
    """Encode a picture of ``clip`` for ``_SECONDS``, with or without noise of a sensor."""
    if path.exists():
        return
    with av.open(clip) as container:
        still = next(container.decode(video=0)).reformat(format="yuv420p").to_ndarray()
    rng = np.random.default_rng(1)
    noise = (rng.standard_normal((_HEIGHT + 64, _WIDTH + 64)) * 1.5).round().astype(np.int16)
    part = path.with_suffix(".part")
    with av.open(part, "w", format="mp4") as output:
        stream = output.add_stream("libx264", rate=_FPS)
        stream.width, stream.height, stream.pix_fmt = _WIDTH, _HEIGHT, "yuv420p"
        stream.options = {"preset": "ultrafast", "tune": "zerolatency", **options}
        stream.gop_size, stream.codec_context.thread_count = 2 * _FPS, 1
        if noisy:
            stream.bit_rate = 4_000_000
        for _ in range(_SECONDS * _FPS):
            picture = still.copy()
            if noisy:
                y, x = rng.integers(64, size=2)
                levels = noise[y : y + _HEIGHT, x : x + _WIDTH]
                picture[:_HEIGHT] = np.clip(picture[:_HEIGHT] + levels, 0, 255)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="yuv420p")))
        output.mux(stream.encode())
    part.replace(path)
