"""Reads preprocessor files: what a bundle can express, becomes facts; the rest is refused."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from edge.errors import ModelError

Interpolation = Literal["bicubic", "bilinear", "area"]
Resize = Literal["shortest_edge", "stretch"]
Levels = tuple[float, float, float]

# Interpolations by Pillow's numbers, which preprocessor files use.
_RESAMPLE: Final[Mapping[Any, Interpolation]] = {2: "bilinear", 3: "bicubic", 4: "area"}
_NAMES: Final[Mapping[Any, Interpolation]] = {"bilinear": "bilinear", "bicubic": "bicubic"}

# Numbers beyond this, and their inverses, mean no levels of pictures.
_HUGE: Final = 1e9
_CHANNELS: Final = ("red", "green", "blue")
# Steps that a bundle has, and those that change nothing of an RGB picture of a fixed size.
_STEPS: Final = {"do_resize", "do_center_crop", "do_rescale", "do_normalize"}
_NO_STEPS: Final = {
    "do_convert_rgb",
    "do_reduce_labels",
    "do_convert_annotations",
    "default_to_square",
    "use_fast",
    "disable_grouping",
}
# Settings of other processors that change the pixels, where they are set at all.
_OTHERS: Final = ("crop_pct", "size_divisor", "ensure_multiple_of", "pad_size")
_RESIZE_MODES: Final[Mapping[Any, Resize]] = {"shortest": "shortest_edge", "squash": "stretch"}
# open_clip's own defaults (``PreprocessCfg``).
OPEN_CLIP: Final[Mapping[str, Any]] = {
    "mode": "RGB",
    "mean": (0.48145466, 0.4578275, 0.40821073),
    "std": (0.26862954, 0.26130258, 0.27577711),
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}


def refuse_other_steps(given: Mapping[str, Any], allowed: Sequence[str] = ()) -> None:
    """Refuse each setting that changes pixels in a way that a bundle does not have.

    Args:
        given: Contents of a preprocessor file, without nulls.
        allowed: Further names that the caller takes care of.

    Raises:
        ModelError: There is such a setting.
    """
    known = _STEPS | _NO_STEPS | set(allowed)
    strange = {
        key: value
        for key, value in given.items()
        if key not in known and (value is True or (key in _OTHERS and value != 1))
    }
    custom = given.get("auto_map")
    if isinstance(custom, Mapping) and custom.keys() & {"AutoImageProcessor", "AutoProcessor"}:
        strange["auto_map"] = dict(custom)
    if strange:
        words = ", ".join(f"{key}: {_word(value)}" for key, value in strange.items())
        raise ModelError(
            f"expected pictures that are resized, cropped, rescaled and normalized, found {words} "
            "in the preprocessor file; a bundle cannot express that"
        )


def hf_levels(given: Mapping[str, Any]) -> tuple[Levels, Levels]:
    """Return mean and deviation in levels of 0..255, by which rescaling and normalization are one.

    Args:
        given: Contents of a preprocessor file, without nulls.

    Raises:
        ModelError: A value is missing, or is not a number that can be used.
    """
    factor = 1.0
    if _switch(given, "do_rescale", default=True):
        factor = _numbers(given, "rescale_factor", 1 / 255)[0]
        if not factor > 1 / _HUGE:
            raise ModelError(f"expected a rescale_factor above 0, found {factor}")
    if not _switch(given, "do_normalize", default=True):
        return _levels((0.0, 0.0, 0.0), factor), _levels((1.0, 1.0, 1.0), factor)
    mean, std = _numbers(given, "image_mean"), _deviation(given, "image_std")
    return _levels(mean, factor), _levels(std, factor)


def hf_interpolation(given: Mapping[str, Any], default: int) -> Interpolation:
    """Return the filter by Pillow's number in ``resample``.

    Raises:
        ModelError: A device has no such filter.
    """
    return _interpolation(_RESAMPLE, given.get("resample", default))


def hf_resize(given: Mapping[str, Any], side: int) -> Resize:
    """Return how pictures of any size become pictures of ``side`` x ``side``.

    Args:
        given: Contents of a preprocessor file, without nulls.
        side: Height and width of the model's pictures.

    Raises:
        ModelError: A bundle cannot express it, or the size differs from the model's.
    """
    if not _switch(given, "do_resize", default=True):
        raise ModelError(
            "expected pictures of one size, found do_resize: false: cameras have other sizes, and "
            "a bundle resizes all of them"
        )
    size = given.get("size", side)
    square = isinstance(size, Mapping) and "height" in size
    crops = _switch(given, "do_center_crop", default=isinstance(size, Mapping) and not square)
    if isinstance(size, Mapping):
        edges = {key: value for key, value in size.items() if value is not None}
        shorter = edges.get("shortest_edge")
    elif crops and not given.get("default_to_square", False):
        shorter, edges = size, {}
    else:
        shorter, edges = None, {"height": size, "width": size}
    if crops or "do_center_crop" not in given:
        crop = given.get("crop_size", side)
        for found in crop.values() if isinstance(crop, Mapping) else (crop,):
            if found is not None:
                _expect("a crop of", side, found)
    if shorter is None:
        for key in ("height", "width"):
            _expect(f"a {key} of", side, edges.get(key))
        return "stretch"
    _expect("a shorter edge of", side, shorter)
    if not crops:
        raise ModelError(
            "expected pictures of one size, found a preprocessor that resizes the shorter edge "
            "and does not crop; a bundle cannot express that"
        )
    return "shortest_edge"


def open_clip_resize(given: Mapping[str, Any], height: int, width: int) -> Resize:
    """Return how pictures of any size become pictures of ``height`` x ``width``.

    Args:
        given: Contents of ``preprocess_cfg`` over ``OPEN_CLIP``.
        height: Height of the model's pictures.
        width: Width of the model's pictures.

    Raises:
        ModelError: A bundle cannot express it, or the size differs from the model's.
    """
    size = given.get("size", (height, width))
    sides = size if isinstance(size, list | tuple) else (size, size)
    if len(sides) != 2:
        raise ModelError(f"expected a size of two numbers or one, found {size!r}")
    for expected, found in zip((height, width), sides, strict=True):
        _expect("pictures of", expected, found)
    mode = given["resize_mode"]
    resize = _RESIZE_MODES.get(mode) if isinstance(mode, str) else None
    if resize is None or height != width:
        raise ModelError(
            f"expected square pictures, resized by the shortest edge or squashed, found "
            f"resize_mode {mode!r} and {height} x {width}; a bundle cannot express that"
        )
    if given["mode"] != "RGB":
        raise ModelError(f"expected pictures of mode RGB, found {given['mode']!r}")
    return resize


def open_clip_levels(given: Mapping[str, Any]) -> tuple[Levels, Levels]:
    """Return mean and deviation in levels of 0..255; ``given`` as in ``open_clip_resize``.

    Raises:
        ModelError: A value is not a number that can be used.
    """
    return _levels(_numbers(given, "mean"), 1 / 255), _levels(_deviation(given, "std"), 1 / 255)


def open_clip_interpolation(given: Mapping[str, Any]) -> Interpolation:
    """Return the filter; ``given`` as in ``open_clip_resize``.

    Raises:
        ModelError: A device has no such filter.
    """
    return _interpolation(_NAMES, given["interpolation"])


def _switch(given: Mapping[str, Any], key: str, *, default: bool) -> bool:
    found = given.get(key, default)
    if not isinstance(found, bool):
        raise ModelError(f"expected {key} to be true or false, found {found!r}")
    return found


def _numbers(given: Mapping[str, Any], key: str, default: float | None = None) -> Levels:
    """One number for each channel; a single number counts for all."""
    found = given.get(key, default)
    values = list(found) if isinstance(found, Sequence) and not isinstance(found, str) else [found]
    if len(values) == 1:
        values *= len(_CHANNELS)
    if len(values) != len(_CHANNELS) or not all(map(_is_number, values)):
        what = "nothing" if found is None else repr(found)
        raise ModelError(
            f"expected {key} as one number or one for each of red, green and blue, found {what} in "
            "the preprocessor file; take it from the repository that the weights came from"
        )
    red, green, blue = map(float, values)
    return red, green, blue


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _HUGE


def _deviation(given: Mapping[str, Any], key: str) -> Levels:
    values = _numbers(given, key)
    if not all(value > 0 for value in values):
        raise ModelError(f"expected {key} above 0, found {list(values)}")
    return values


def _levels(values: Levels, factor: float) -> Levels:
    red, green, blue = (value / factor for value in values)
    return red, green, blue


def _interpolation(known: Mapping[Any, Interpolation], given: Any) -> Interpolation:
    found = known.get(given) if isinstance(given, int | str) else None
    if found is None:
        raise ModelError(
            f"expected pictures resized bilinear, bicubic or by area, found {given!r}; a device "
            "has no such filter"
        )
    return found


def _expect(what: str, expected: int, found: Any) -> None:
    if found != expected:
        raise ModelError(
            f"expected {what} {expected}, which the model takes, found {found} in its preprocessor "
            "file; the files belong to different models, or a bundle cannot express this one"
        )


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
