"""Builds a manifest's facts about a checkpoint: pictures, sentences and origin."""

from collections.abc import Mapping
from typing import Any, Final, Literal

from edge.errors import ModelError
from edge.model.bundle.manifest import (
    Decision,
    EmbeddingSpec,
    ImageSpec,
    ModelFacts,
    ModelInfo,
    TextSpec,
)
from export.checkpoints.checkpoint import Checkpoint

# Phrases of CLIP's captions, and of captions for a camera. One is plain, for a prompt that is
# already a caption.
TEMPLATES: Final = (
    "{}",
    "a photo of {}.",
    "a picture of {}.",
    "a security camera image of {}.",
    "footage of {}.",
)
BACKGROUND: Final = (
    "an empty scene",
    "an empty street",
    "an empty room",
    "a blurry picture",
    "nothing in particular",
)
CHINESE_TEMPLATES: Final = ("{}", "一张{}的照片", "监控画面中的{}")
CHINESE_BACKGROUND: Final = ("空荡的场景", "空荡的街道", "空荡的房间", "模糊的画面")

# Priors, not measured: cosines of CLIP lie between about 0.15 and 0.35, so a sentence that is 0.03
# nearer than the background is clearly nearer. Calibrate on the cameras' own frames.
DECISION: Final = Decision(threshold=0.03, hysteresis=0.01)

Interpolation = Literal["bicubic", "bilinear", "area"]

# Interpolations by Pillow's numbers, which preprocessor files use.
_RESAMPLE: Mapping[Any, Interpolation] = {2: "bilinear", 3: "bicubic", 4: "area"}
_NAMES: Mapping[Any, Interpolation] = {"bilinear": "bilinear", "bicubic": "bicubic"}


def hf_image_spec(preprocessor: Mapping[str, Any], side: int) -> ImageSpec:
    """Return the image spec that matches Hugging Face's image processor with this file.

    Args:
        preprocessor: Contents of ``preprocessor_config.json``; missing values are those of CLIP's
            processor.
        side: Height and width of the model's pictures.

    Raises:
        ModelError: A bundle cannot express the preprocessing, or its size differs from the model's.
    """
    size = preprocessor.get("size", side)
    crops = preprocessor.get("do_center_crop", isinstance(size, Mapping) and "height" not in size)
    if isinstance(size, Mapping):
        edges = {key: value for key, value in size.items() if value is not None}
        shorter = edges.get("shortest_edge")
    else:
        shorter = size if crops else None
        edges = {} if crops else {"height": size, "width": size}
    resize: Literal["shortest_edge", "stretch"]
    if shorter is not None:
        resize = "shortest_edge"
        _expect("a shorter edge of", side, shorter)
        if not crops:
            raise ModelError(
                "expected pictures of one size, found a preprocessor that resizes the shorter edge "
                "and does not crop; a bundle cannot express that"
            )
        crop = preprocessor.get("crop_size", side)
        for found in crop.values() if isinstance(crop, Mapping) else (crop,):
            _expect("a crop of", side, found)
    else:
        resize = "stretch"
        for key in ("height", "width"):
            _expect(f"a {key} of", side, edges.get(key))
    normalised = preprocessor.get("do_normalize", True)
    mean = preprocessor["image_mean"] if normalised else (0.0, 0.0, 0.0)
    std = preprocessor["image_std"] if normalised else (1.0, 1.0, 1.0)
    interpolation = _RESAMPLE.get(preprocessor.get("resample", 3))
    return _image_spec(side, resize, interpolation, preprocessor.get("resample"), mean, std)


def open_clip_image_spec(preprocess: Mapping[str, Any], height: int, width: int) -> ImageSpec:
    """Return the image spec that matches open_clip with this ``preprocess_cfg``.

    Raises:
        ModelError: A bundle cannot express the preprocessing, or its size differs from the model's.
    """
    size = preprocess.get("size", (height, width))
    for expected, found in zip(
        (height, width), (size, size) if isinstance(size, int) else size, strict=True
    ):
        _expect("pictures of", expected, found)
    mode = preprocess.get("resize_mode", "shortest")
    resize = {"shortest": "shortest_edge", "squash": "stretch"}.get(mode)
    if resize is None or height != width:
        raise ModelError(
            f"expected square pictures, resized by the shortest edge or squashed, found "
            f"resize_mode {mode!r} and {height} x {width}; a bundle cannot express that"
        )
    given = preprocess.get("interpolation", "bicubic")
    return _image_spec(
        height, resize, _NAMES.get(given), given, preprocess["mean"], preprocess["std"]
    )


def _image_spec(
    side: int, resize: Any, interpolation: Any, given: Any, mean: Any, std: Any
) -> ImageSpec:
    if interpolation is None:
        raise ModelError(
            f"expected pictures resized bilinear, bicubic or by area, found {given!r}; a device "
            "has no such filter"
        )
    return ImageSpec(
        height=side,
        width=side,
        resize=resize,
        interpolation=interpolation,
        mean=_levels(mean),
        std=_levels(std),
    )


def _levels(values: Any) -> tuple[float, float, float]:
    red, green, blue = (255 * float(value) for value in values)
    return red, green, blue


def _expect(what: str, expected: int, found: Any) -> None:
    if found != expected:
        raise ModelError(
            f"expected {what} {expected}, which the model takes, found {found} in its preprocessor "
            "file; the files belong to different models, or a bundle cannot express this one"
        )


def model_facts(
    checkpoint: Checkpoint,
    image: ImageSpec,
    text: TextSpec,
    dim: int,
    logit_scale: float,
    *,
    frames: int = 1,
) -> ModelFacts:
    """Return the manifest without its list of files; ``frames`` above 1 is a clip's length."""
    origin = checkpoint.origin
    return ModelFacts(
        name=checkpoint.name,
        model=ModelInfo(
            family=checkpoint.family,
            id=origin.package,
            revision=origin.version,
            licence=origin.licence,
            origins=(origin,),
        ),
        frame_class="F" if frames == 1 else "C",
        frames=frames,
        embedding=EmbeddingSpec(dim=dim, logit_scale=logit_scale),
        image=image,
        text=text,
        decision=DECISION,
    )
