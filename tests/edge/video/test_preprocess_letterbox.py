"""The third resize rule: the whole picture, its shape kept, grey borders."""

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.model.bundle.manifest import ImageSpec
from edge.video.preprocess import pixels_of_rgb

GREY = np.int8(127 - 128)


def letterbox(height: int, width: int) -> ImageSpec:
    return ImageSpec(
        height=height,
        width=width,
        resize="letterbox",
        interpolation="bicubic",
        mean=(0, 0, 0),
        std=(1, 1, 1),
    )


def white(height: int, width: int) -> NDArray[np.uint8]:
    return np.full((height, width, 3), 255, np.uint8)


def test_a_picture_of_the_same_shape_fills_the_box() -> None:
    assert (pixels_of_rgb(white(720, 1280), letterbox(288, 512)) == 127).all()


@pytest.mark.parametrize(
    ("height", "width", "rows", "columns"),
    [
        (480, 640, slice(0, 288), slice(64, 448)),  # 4:3 stands between borders left and right
        (272, 640, slice(35, 252), slice(0, 512)),  # 2.35:1 lies between borders above and below
    ],
)
def test_borders_are_grey_and_the_picture_is_centred(
    height: int, width: int, rows: slice, columns: slice
) -> None:
    pixels = pixels_of_rgb(white(height, width), letterbox(288, 512))
    inside = np.zeros((288, 512), bool)
    inside[rows, columns] = True
    assert (pixels[:, inside] == 127).all()
    assert (pixels[:, ~inside] == GREY).all()


def test_nothing_of_the_picture_is_lost() -> None:
    picture = np.zeros((100, 400, 3), np.uint8)
    picture[:, :8] = picture[:, -8:] = 255  # marks at both ends, which a crop would cut off
    pixels = pixels_of_rgb(picture, letterbox(100, 200))
    assert pixels[0, 50, 0] > 100
    assert pixels[0, 50, -1] > 100


def test_a_sliver_of_a_picture_keeps_at_least_one_row() -> None:
    assert pixels_of_rgb(white(2, 2000), letterbox(64, 64)).shape == (3, 64, 64)
