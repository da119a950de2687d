"""Picture files to RGB, and RGB to the bytes that a prepared set keeps.

Everything goes by FFmpeg's decoders and swscale, with the options that take all of the chroma. A
picture that is cut off is refused: FFmpeg would fill the rest with grey and call it a picture.
"""

from typing import Final, cast

import av
import av.error
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from numpy.typing import NDArray

from edge.errors import SourceError
from edge.video.preprocess import yuv_matrix

# FFmpeg's decoder by how a file begins: endings lie. RIFF is WebP's container; others that have it
# are not pictures, and the decoder says so.
_DECODERS: Final = {
    b"\x89PNG": "png",
    b"\xff\xd8\xff": "mjpeg",
    b"RIFF": "webp",
    b"BM": "bmp",
}
# A photograph of 64 megapixels takes 256 MB on its way; a few bytes of PNG can ask for more.
_MAX_PIXELS: Final = 2**26
_FILTER: Final = (
    Interpolation.BICUBIC
    | Interpolation.FULL_CHR_H_INP
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.ACCURATE_RND
)
# What lies behind a cut-out: the zero of the models' input.
_GREY: Final = 127
# FFmpeg's best. Measured on frames of seven clips, 480 x 270 to 512 x 288 pixels, one core:
#                     kB   encode   decode    PSNR
#   JPEG 4:4:4, 1     53     5 ms     2 ms   46.4 dB
#   JPEG 4:4:4, 2     34     4 ms     1 ms   43.3 dB
#   JPEG 4:2:0, 2     29     2 ms     1 ms   41.9 dB
#   WebP lossless    111   181 ms     5 ms
#   PNG              171    31 ms     3 ms
_QUANTIZER: Final = 1


def read_still(data: bytes) -> VideoFrame:
    """Decode a PNG, JPEG, WebP or BMP file.

    Raises:
        SourceError: Not such a file, cut off, damaged or larger than 64 megapixels.
    """
    decoder = next((name for magic, name in _DECODERS.items() if data.startswith(magic)), None)
    if decoder is None:
        raise SourceError(f"expected a PNG, JPEG, WebP or BMP picture, found {data[:4]!r}")
    context = cast("VideoCodecContext", VideoCodecContext.create(decoder, "r"))
    context.thread_count = 1
    context.options = {"err_detect": "explode", "max_pixels": str(_MAX_PIXELS)}
    try:
        frames = context.decode(av.Packet(data)) + context.decode(None)
    except av.error.FFmpegError as exc:
        raise SourceError(
            f"expected a whole {decoder} picture of at most {_MAX_PIXELS} pixels, the decoder "
            f"says: {exc.strerror}"
        ) from exc
    if not frames:
        raise SourceError(f"expected a {decoder} picture, found none in the file")
    return frames[0]


def rgb_of(frame: VideoFrame, side: int) -> NDArray[np.uint8]:
    """Return a frame upright, as RGB, before grey where it is transparent.

    Args:
        frame: In any pixel format.
        side: The longer side is scaled down to so many pixels, never up.

    Returns:
        uint8 [H, W, 3].

    Raises:
        SourceError: swscale cannot convert this picture.
    """
    longer = max(frame.width, frame.height)
    wanted = min(side, longer)
    width, height = (
        max(1, (2 * extent * wanted + longer) // (2 * longer))
        for extent in (frame.width, frame.height)
    )
    try:
        # Laid before the grey first: scaled by itself, the colour of what nobody sees would bleed.
        opaque = _before_grey(frame) if _is_transparent(frame) else frame
        scaled = VideoReformatter().reformat(
            opaque,
            width=width,
            height=height,
            format="gbrp",  # packed rgb24 has a bias (edge.video.preprocess)
            src_colorspace=yuv_matrix(opaque),
            interpolation=_FILTER,
            threads=1,
        )
    except av.error.FFmpegError as exc:
        raise SourceError(
            f"a picture of {frame.width}x{frame.height} {frame.format.name} cannot be converted "
            f"to RGB: {exc.strerror}"
        ) from exc
    # As a photograph or a phone's video says. Of the mirrored kinds, which cameras do not write,
    # FFmpeg's angle is half the truth.
    upright = np.rot90(scaled.to_ndarray(), frame.rotation // 90)
    return np.ascontiguousarray(upright, np.uint8)


def encode(rgb: NDArray[np.uint8]) -> bytes:
    """Return uint8 [H, W, 3] as a JPEG file with all of the chroma."""
    height, width, _ = rgb.shape
    encoder = VideoCodecContext.create("mjpeg", "w")
    encoder.thread_count = 1
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuvj444p"
    encoder.color_range = ColorRange.JPEG
    encoder.qmin = encoder.qmax = _QUANTIZER
    picture = VideoFrame.from_ndarray(_yuv(rgb), format="yuvj444p")
    return b"".join(bytes(packet) for packet in encoder.encode(picture) + encoder.encode(None))


def _yuv(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The planes [3, H, W] of a JPEG file (JFIF, BT.601).

    Not by swscale, which rounds chroma down on this way: red and blue lose 0.8 of 255 (measured).
    """
    red, green, blue = rgb.astype(np.float32).transpose(2, 0, 1)
    bright = np.float32(0.299) * red + np.float32(0.587) * green + np.float32(0.114) * blue
    planes = np.empty((3, *bright.shape), np.float32)
    planes[0] = bright
    planes[1] = (blue - bright) / np.float32(1.772) + np.float32(128)
    planes[2] = (red - bright) / np.float32(1.402) + np.float32(128)
    return np.rint(planes, out=planes).clip(0, 255).astype(np.uint8)


def _is_transparent(frame: VideoFrame) -> bool:
    return frame.format.has_palette or any(part.is_alpha for part in frame.format.components)


def _before_grey(frame: VideoFrame) -> VideoFrame:
    rgba = (
        VideoReformatter()
        .reformat(
            frame,
            format="rgba",
            src_colorspace=yuv_matrix(frame),
            interpolation=_FILTER,
            threads=1,
        )
        .to_ndarray()
    )
    alpha = rgba[..., 3:].astype(np.uint16)
    # At most 255 * 255 + 127; with half of 255 added, the division rounds.
    mixed = (rgba[..., :3] * alpha + _GREY * (255 - alpha) + 127) // 255
    return VideoFrame.from_ndarray(mixed.astype(np.uint8), format="rgb24")
