"""Preprocessor files: what a bundle can express is read right, the rest is refused."""

from typing import Any

import pytest

from edge.errors import ModelError
from export.families.facts import hf_image_spec, open_clip_image_spec

MEAN, STD = [0.5, 0.25, 0.75], [0.5, 0.5, 0.25]
PLAIN = {"image_mean": MEAN, "image_std": STD, "resample": 3}
OPEN = {"size": [32, 32], "mean": MEAN, "std": STD, "interpolation": "bicubic"}


@pytest.mark.parametrize(
    ("given", "resize"),
    [
        # As openai's own files have it, in the words of 2021.
        ({"size": 32, "crop_size": 32, "do_center_crop": True}, "shortest_edge"),
        (
            {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}},
            "shortest_edge",
        ),
        ({"size": {"height": 32, "width": 32}, "do_center_crop": False}, "stretch"),
        ({"size": {"height": 32, "width": 32}}, "stretch"),
        ({"size": {"height": 32, "width": 32, "shortest_edge": None}}, "stretch"),
        ({"size": 32, "do_center_crop": False}, "stretch"),
    ],
)
def test_sizes_are_read_in_every_spelling(given: dict[str, Any], resize: str) -> None:
    spec = hf_image_spec(PLAIN | given, 32)
    assert (spec.height, spec.width, spec.resize) == (32, 32, resize)
    assert spec.mean == (127.5, 63.75, 191.25)
    assert spec.std == (127.5, 127.5, 63.75)


@pytest.mark.parametrize(("number", "name"), [(2, "bilinear"), (3, "bicubic"), (4, "area")])
def test_pillows_filters_have_names(number: int, name: str) -> None:
    size = {"size": {"height": 32, "width": 32}}
    assert hf_image_spec(PLAIN | size | {"resample": number}, 32).interpolation == name


def test_pictures_that_are_not_normalised_keep_their_range() -> None:
    spec = hf_image_spec(PLAIN | {"size": {"height": 8, "width": 8}, "do_normalize": False}, 8)
    assert (spec.mean, spec.std) == ((0, 0, 0), (255, 255, 255))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"size": {"shortest_edge": 36}, "crop_size": 32}, "a shorter edge of 32.* found 36"),
        ({"size": {"shortest_edge": 32}, "crop_size": 28}, "a crop of 32.* found 28"),
        ({"size": {"height": 32, "width": 64}}, "a width of 32.* found 64"),
        ({"size": {"shortest_edge": 32}, "do_center_crop": False}, "does not crop"),
        ({"size": {"height": 32, "width": 32}, "resample": 1}, "found 1; a device has no such"),
        ({"size": {"longest_edge": 32}, "do_center_crop": False}, "a height of 32.* found None"),
    ],
)
def test_what_a_bundle_cannot_express_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        hf_image_spec(PLAIN | given, 32)


def test_open_clips_words_mean_the_same() -> None:
    spec = open_clip_image_spec(OPEN | {"resize_mode": "shortest"}, 32, 32)
    assert (spec.resize, spec.interpolation) == ("shortest_edge", "bicubic")
    assert spec.mean == (127.5, 63.75, 191.25)
    assert open_clip_image_spec(OPEN | {"resize_mode": "squash"}, 32, 32).resize == "stretch"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"resize_mode": "longest"}, "found resize_mode 'longest'"),
        ({"size": 48}, "pictures of 32.* found 48"),
        ({"interpolation": "random"}, "found 'random'; a device has no such filter"),
    ],
)
def test_what_open_clip_can_and_a_bundle_cannot_is_refused(
    given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        open_clip_image_spec(OPEN | given, 32, 32)
