import io

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edge.video.jpeg import jpeg


def picture(height: int, width: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[0:height, 0:width]
    rgb = np.stack([255 * x // width, 255 * y // height, np.full_like(x, 90)], axis=-1)
    return rgb.astype(np.uint8)


@pytest.mark.parametrize(
    ("size", "max_width", "expected"),
    [
        ((1080, 1920), 640, (640, 360)),
        ((240, 320), 640, (320, 240)),  # never enlarged
        ((1080, 1921), 641, (641, 360)),
        ((2, 3000), 64, (64, 1)),
    ],
)
def test_a_snapshot_is_a_jpeg_no_wider_than_asked(
    size: tuple[int, int], max_width: int, expected: tuple[int, int]
) -> None:
    frame = av.VideoFrame.from_ndarray(picture(*size), format="rgb24")
    image = Image.open(io.BytesIO(jpeg(frame, max_width)))
    image.load()
    assert (image.format, image.size) == ("JPEG", expected)


@pytest.mark.parametrize(("height", "width"), [(360, 640), (1080, 1920)])
def test_a_snapshot_has_the_colours_of_the_frame(height: int, width: int) -> None:
    rgb = picture(height, width)
    frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
        format="yuv420p", dst_colorspace="itu709" if height > 576 else "itu601"
    )
    shown = np.asarray(Image.open(io.BytesIO(jpeg(frame, width)))).astype(int)
    assert np.abs(shown - rgb).mean() < 4
    assert np.abs((shown - rgb).mean(axis=(0, 1))).max() < 3
