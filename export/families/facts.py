"""Builds a manifest's facts about a checkpoint: pictures, sentences and origin."""

from collections.abc import Mapping
from typing import Any, Final

from edge.model.bundle.manifest import (
    Decision,
    EmbeddingSpec,
    ImageSpec,
    ModelFacts,
    ModelInfo,
    TextSpec,
)
from export.checkpoints.checkpoint import Checkpoint
from export.families.preprocessing import (
    OPEN_CLIP,
    hf_interpolation,
    hf_levels,
    hf_resize,
    open_clip_interpolation,
    open_clip_levels,
    open_clip_resize,
    refuse_other_steps,
)

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


def hf_image_spec(preprocessor: Mapping[str, Any], side: int) -> ImageSpec:
    """Return the image spec that matches Hugging Face's image processor with this file.

    Args:
        preprocessor: Contents of ``preprocessor_config.json``, best with the defaults of its
            processor.
        side: Height and width of the model's pictures.

    Raises:
        ModelError: A bundle cannot express the preprocessing, or its size differs from the model's.
    """
    given = {key: value for key, value in preprocessor.items() if value is not None}
    refuse_other_steps(given)
    mean, std = hf_levels(given)
    return ImageSpec(
        height=side,
        width=side,
        resize=hf_resize(given, side),
        interpolation=hf_interpolation(given, default=3),
        mean=mean,
        std=std,
    )


def open_clip_image_spec(preprocess: Mapping[str, Any], height: int, width: int) -> ImageSpec:
    """Return the image spec that matches open_clip with this ``preprocess_cfg``.

    Raises:
        ModelError: A bundle cannot express the preprocessing, or its size differs from the model's.
    """
    given = {**OPEN_CLIP, **{key: value for key, value in preprocess.items() if value is not None}}
    resize = open_clip_resize(given, height, width)
    mean, std = open_clip_levels(given)
    return ImageSpec(
        height=height,
        width=width,
        resize=resize,
        interpolation=open_clip_interpolation(given),
        mean=mean,
        std=std,
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
