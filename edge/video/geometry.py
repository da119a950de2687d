"""Shows a frame as it is to be seen: upright, with square pixels.

Streams say how their pictures are to be shown, and cameras that say nothing have settings. Models,
JPEGs, crops, boxes and zones know only the picture that results.
"""

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import av
import av.error
import numpy as np
from av.filter import Graph
from av.sidedata.sidedata import SideData, SideDataContainer, Type

from edge.config.fields import ratio
from edge.config.models import CameraConfig
from edge.errors import SourceError
from edge.video.packet import MAX_PIXELS

# Pixel aspects beyond these are mistakes: 352x576 shown as 16:9, the widest in use, has 2.9.
_WIDEST: Final = Fraction(4)
# Pixels this close to square are left as they are: nobody sees it, and scaling costs sharpness.
_SQUARE: Final = 0.01
# Angles this close to a quarter turn count as one, as in FFmpeg.
_QUARTER_TOLERANCE: Final = 1.0
# Stored shapes of whole pictures, by the shape that they show: 704x480, 704x576 and 720x576 show
# 4:3, and so does 720x480, half of which has the shape of a portrait.
_SHAPES: Final = {"16:9": (16 / 9,), "4:3": (4 / 3, 22 / 15, 11 / 9, 5 / 4)}
_SHAPE_TOLERANCE: Final = 0.01
# Rows of half a picture, NTSC, PAL and 1080 lines.
_FIELDS: Final = {240, 288, 540}
# FFmpeg's filters for 0 to 3 quarter turns clockwise.
_QUARTERS: Final = ((), ("transpose=clock",), ("hflip", "vflip"), ("transpose=cclock",))
# Every kind of side data that FFmpeg has or may get, but the display matrix.
_OTHER_SIDE_DATA: Final = sorted(set(range(64)) - {Type.DISPLAYMATRIX.value})
# Decoders whose side data has no text. PyAV 18 frees such a text twice (of a PNG's colour profile,
# for example), and the process ends by SIGSEGV later.
_WITHOUT_TEXT: Final = {
    "av1", "h264", "hevc", "libdav1d", "mpeg2video", "mpeg4", "vp8", "vp9",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Orientation:
    """How a stored picture is turned to be seen: first mirrored, then turned.

    Attributes:
        degrees: Angle clockwise.
        mirrored: Whether left and right are exchanged.
    """

    degrees: float = 0.0
    mirrored: bool = False


@dataclass(frozen=True, slots=True)
class Geometry:
    """How a stored picture is to be seen.

    Attributes:
        pixel_aspect: Width of a stored pixel, divided by its height.
        orientation: How it is turned after that.
    """

    pixel_aspect: Fraction = Fraction(1)
    orientation: Orientation = Orientation()


AS_STORED: Final = Geometry()
"""Geometry of a picture that is stored as it is to be seen."""


@dataclass(frozen=True, slots=True)
class GeometrySettings:
    """What a user says in place of the stream.

    Attributes:
        aspect: Width of the upright picture, divided by its height; None: as the stream says.
        rotate: Degrees clockwise that turn the picture upright; None: as the stream says.
    """

    aspect: Fraction | None = None
    rotate: int | None = None

    def geometry(
        self, picture: av.VideoFrame, pixel_aspect: Fraction, orientation: Orientation
    ) -> Geometry:
        """Return how to show a picture of which the stream says the rest."""
        if self.rotate is not None:
            orientation = Orientation(self.rotate)
        if self.aspect is not None:
            sideways = _lies_sideways(orientation)
            shape = 1 / self.aspect if sideways else self.aspect
            pixel_aspect = shape * Fraction(picture.height, picture.width)
        return Geometry(pixel_aspect, orientation)


def geometry_settings(camera: CameraConfig) -> GeometrySettings:
    """Return what the configuration says of a camera's pictures."""
    aspect = None if camera.aspect is None else ratio(camera.aspect)
    return GeometrySettings(aspect, camera.rotate)


def is_plausible(pixel_aspect: Fraction) -> bool:
    """Return whether a stream can mean this pixel aspect."""
    return 1 / _WIDEST <= pixel_aspect <= _WIDEST


def whole_shape(width: int, height: int) -> str | None:
    """Return the shape of which a picture with square pixels would be half; None if it looks whole.

    Recorders store every other column (960x1080, 352x576) or every other row (704x288, 1920x540).
    """
    for name, shapes in _SHAPES.items():
        for shape in shapes:
            columns = math.isclose(width / height, shape / 2, rel_tol=_SHAPE_TOLERANCE)
            rows = math.isclose(width / height, shape * 2, rel_tol=_SHAPE_TOLERANCE)
            # Two lenses side by side have the same shape, and more rows.
            if columns or (rows and height in _FIELDS):
                return name
    return None


def stated_orientation(picture: av.VideoFrame, decoder: str) -> Orientation | None:
    """Return the orientation that a frame carries as a display matrix; None without one.

    FFmpeg attaches the matrix of the container, of the codec (SEI) or of EXIF to the frame.

    Args:
        picture: The frame.
        decoder: Name of its decoder.
    """
    data = next(
        (each for each in _side_data(picture, decoder) if each.type == Type.DISPLAYMATRIX), None
    )
    if data is None:
        return None
    # Rows are where the x and the y axis go; x to the right, y down. The rest moves and projects.
    (a, b), (c, d) = np.frombuffer(bytes(data), np.int32)[:9].reshape(3, 3)[:2, :2].astype(float)
    determinant = a * d - b * c
    if determinant == 0:
        return None
    mirrored = bool(determinant < 0)
    if mirrored:
        a, b = -a, -b
    # The turn nearest to the matrix, which may also scale: FFmpeg counts that as pixel aspect.
    return Orientation(math.degrees(math.atan2(b - c, a + d)) % 360, mirrored)


def upright(picture: av.VideoFrame, geometry: Geometry) -> av.VideoFrame:
    """Return a frame as it is to be seen, in its own pixel format where FFmpeg can keep it.

    Scaling only enlarges, up to the largest accepted picture, so nothing that was seen is lost. A
    frame that needs nothing is returned as it is.

    Raises:
        SourceError: FFmpeg cannot turn or scale this picture.
    """
    steps = _steps(picture, geometry)
    if not steps:
        return picture
    try:
        return _filtered(picture, steps)
    except av.error.FFmpegError as exc:
        raise SourceError(
            f"a frame of {picture.width}x{picture.height} {picture.format.name} cannot be turned "
            f"or scaled as its stream says: {exc.strerror}; set the camera's aspect and rotate"
        ) from exc


def _steps(picture: av.VideoFrame, geometry: Geometry) -> list[str]:
    """Return FFmpeg's filters that show ``picture`` as it is to be seen."""
    steps = []
    width, height = _square_size(picture.width, picture.height, geometry)
    if (width, height) != (picture.width, picture.height):
        steps.append(f"scale={width}:{height}:flags=bicubic")
    orientation = geometry.orientation
    if orientation.mirrored:
        steps.append("hflip")
    quarters = round(orientation.degrees / 90)
    if abs(orientation.degrees - 90 * quarters) <= _QUARTER_TOLERANCE:
        steps += _QUARTERS[quarters % 4]
    else:  # the corners that appear are black
        angle = math.radians(orientation.degrees)
        steps.append(f"rotate={angle}:ow=rotw({angle}):oh=roth({angle})")
    # What has been done must not be asked for again.
    return [*steps, "sidedata=mode=delete:type=DISPLAYMATRIX"] if steps else []


def _square_size(width: int, height: int, geometry: Geometry) -> tuple[int, int]:
    """Return width and height with square pixels, before the picture is turned."""
    wider = float(geometry.pixel_aspect)
    if abs(wider - 1) < _SQUARE:
        wider = 1.0
    angle = math.radians(geometry.orientation.degrees)
    sine, cosine = abs(math.sin(angle)), abs(math.cos(angle))
    wide, high = width * max(1.0, wider), height * max(1.0, 1 / wider)
    pixels = (wide * cosine + high * sine) * (wide * sine + high * cosine)
    smaller = min(1.0, math.sqrt(max(MAX_PIXELS, width * height) / pixels))
    return max(1, round(wide * smaller)), max(1, round(high * smaller))


def _lies_sideways(orientation: Orientation) -> bool:
    angle = math.radians(orientation.degrees)
    return abs(math.sin(angle)) > abs(math.cos(angle))


def _side_data(picture: av.VideoFrame, decoder: str) -> list[SideData]:
    """Return the side data of a frame.

    ``picture.side_data`` would keep its container in the frame, which the container refers to. Such
    a cycle holds the pixels until Python's full collection, which may take an hour: a daemon with
    four cameras of 320x240 grew by 140 MB.
    """
    if decoder in _WITHOUT_TEXT:
        with contextlib.suppress(ValueError):  # PyAV fails on kinds that it does not know
            return _contained(picture)
    return _contained(_only_matrix(picture))


def _contained(picture: av.VideoFrame) -> list[SideData]:
    # PyAV's stub knows neither what a container is made of nor that it iterates over its values.
    return list(SideDataContainer(picture))  # type: ignore[call-arg]


def _only_matrix(picture: av.VideoFrame) -> av.VideoFrame:
    """Return a frame without its other side data: 0.6 ms."""
    return _filtered(picture, [f"sidedata=mode=delete:type={kind}" for kind in _OTHER_SIDE_DATA])


def _filtered(picture: av.VideoFrame, filters: Sequence[str]) -> av.VideoFrame:
    """Return what FFmpeg's filters make of one frame, in its own colours."""
    graph = Graph()
    graph.threads = 1
    nodes = [
        graph.add(
            "buffer",
            video_size=f"{picture.width}x{picture.height}",
            pix_fmt=picture.format.name,
            time_base=str(picture.time_base or Fraction(1, 1000)),
            colorspace=str(int(picture.colorspace)),
            range=str(int(picture.color_range)),
        )
    ]
    for name, _, arguments in (each.partition("=") for each in filters):
        nodes.append(graph.add(name, arguments or None))
    nodes.append(graph.add("buffersink"))
    graph.link_nodes(*nodes).configure()
    graph.vpush(picture)
    return graph.vpull()
