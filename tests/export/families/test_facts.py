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
    ("given", "mean", "std"),
    [
        ({"rescale_factor": 1 / 127.5}, (63.75, 31.875, 95.625), (63.75, 63.75, 31.875)),
        ({"do_rescale": False}, MEAN, STD),
        ({"do_rescale": False, "rescale_factor": 1 / 127.5}, MEAN, STD),
        ({"do_rescale": False, "do_normalize": False}, (0, 0, 0), (1, 1, 1)),
        ({"do_normalize": False, "image_mean": None}, (0, 0, 0), (255, 255, 255)),
        ({"image_mean": 0.5, "image_std": [0.5]}, (127.5,) * 3, (127.5,) * 3),
    ],
    ids=str,
)
def test_rescaling_and_normalization_are_one(
    given: dict[str, Any], mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    spec = hf_image_spec(PLAIN | {"size": {"height": 8, "width": 8}} | given, 8)
    assert spec.mean == pytest.approx(mean)
    assert spec.std == pytest.approx(std)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"do_flip_channel_order": True}, "found do_flip_channel_order: true"),
        ({"include_top": True}, "found include_top: true"),
        ({"rescale_offset": True}, "found rescale_offset: true"),
        ({"do_pad": True}, "found do_pad: true"),
        ({"do_thumbnail": True}, "found do_thumbnail: true"),
        ({"crop_pct": 0.875}, "found crop_pct: 0.875"),
        ({"size_divisor": 32}, "found size_divisor: 32"),
        ({"auto_map": {"AutoImageProcessor": "mine.Processor"}}, "found auto_map: .*mine"),
        ({"do_resize": False}, "found do_resize: false"),
        ({"image_mean": None}, "image_mean as one number .* found nothing"),
        ({"image_std": None}, "image_std as one number .* found nothing"),
        ({"image_mean": [0.5, 0.5]}, r"image_mean .* found \[0.5, 0.5\]"),
        ({"image_mean": ["a", "b", "c"]}, "image_mean .* found"),
        ({"image_std": [0.5, 0, 0.5]}, "image_std above 0"),
        ({"rescale_factor": 0}, "rescale_factor above 0"),
        ({"rescale_factor": 5e-324}, "rescale_factor above 0"),
        ({"rescale_factor": 10**400}, "rescale_factor as one number"),
        ({"image_mean": float("nan")}, "image_mean as one number"),
        ({"image_std": float("inf")}, "image_std as one number"),
        ({"do_normalize": "yes"}, "do_normalize to be true or false, found 'yes'"),
        ({"size": {"height": 32, "width": 32}, "crop_size": 28}, "a crop of 32.* found 28"),
    ],
    ids=str,
)
def test_a_step_that_a_bundle_does_not_have_is_refused_by_name(
    given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        hf_image_spec(PLAIN | {"size": {"shortest_edge": 32}, "crop_size": 32} | given, 32)


@pytest.mark.parametrize(
    "given",
    [
        {"do_convert_rgb": True},
        {"do_convert_rgb": False},
        {"do_pad": False, "do_flip_channel_order": False, "include_top": None, "crop_pct": None},
        {"processor_class": "CLIPProcessor", "feature_extractor_type": "CLIPFeatureExtractor"},
    ],
    ids=str,
)
def test_what_changes_no_pixel_is_accepted(given: dict[str, Any]) -> None:
    size = {"size": {"height": 32, "width": 32}}
    assert hf_image_spec(PLAIN | size | given, 32) == hf_image_spec(PLAIN | size, 32)


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


@pytest.mark.parametrize(
    "given",
    [{"size": [32]}, {"size": {}}, {"size": "32"}, {"resize_mode": {}}, {"interpolation": []}],
)
def test_words_of_another_kind_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="expected"):
        open_clip_image_spec(OPEN | given, 32, 32)


def test_open_clips_words_mean_the_same() -> None:
    spec = open_clip_image_spec(OPEN | {"resize_mode": "shortest"}, 32, 32)
    assert (spec.resize, spec.interpolation) == ("shortest_edge", "bicubic")
    assert spec.mean == (127.5, 63.75, 191.25)
    assert open_clip_image_spec(OPEN | {"resize_mode": "squash"}, 32, 32).resize == "stretch"


def test_what_open_clips_file_leaves_out_is_open_clips_default() -> None:
    spec = open_clip_image_spec({}, 32, 32)
    assert (spec.resize, spec.interpolation) == ("shortest_edge", "bicubic")
    assert spec.mean == pytest.approx([122.771, 116.746, 104.094], abs=1e-3)
    assert open_clip_image_spec({"mean": 0.5}, 32, 32).mean == (127.5, 127.5, 127.5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"resize_mode": "longest"}, "found resize_mode 'longest'"),
        ({"size": 48}, "pictures of 32.* found 48"),
        ({"interpolation": "random"}, "found 'random'; a device has no such filter"),
        ({"mode": "L"}, "mode RGB, found 'L'"),
        ({"std": [0.5, 0.5, 0]}, "std above 0"),
        ({"mean": [0.5, 0.5]}, "mean as one number"),
    ],
)
def test_what_open_clip_can_and_a_bundle_cannot_is_refused(
    given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        open_clip_image_spec(OPEN | given, 32, 32)
