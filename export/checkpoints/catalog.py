"""Lists the checkpoints that are known by name, one frozen row each.

A revision is a commit whose safetensors others have downloaded and pinned in public. Where no such
commit was found, the row has none, and the loader takes the current commit and records it.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edge.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Row:
    """One checkpoint.

    Attributes:
        name: Name of the checkpoint here, and of its bundle.
        family: Key of ``export.families.FAMILIES``.
        hub: Repository on the Hugging Face hub.
        revision: Commit of that repository; None where none is pinned.
        licence: Licence of the weights, as their publisher states it.
        sizes: Architecture for random weights: values that differ from the defaults of the family's
            config class. For ``open_clip``: {"model": name of its architecture}.
        preprocessor: Contents of the checkpoint's preprocessor file, for random weights.
        frames: Frames per inference; 1 for models that see one frame.
        notes: Remark for users who choose a checkpoint.
    """

    name: str
    family: str
    hub: str
    revision: str | None
    licence: str
    sizes: Mapping[str, Any] = field(default_factory=dict)
    preprocessor: Mapping[str, Any] = field(default_factory=dict)
    frames: int = 1
    notes: str = ""


_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)

_CLIP_PICTURE = {
    "size": {"shortest_edge": 224},
    "crop_size": {"height": 224, "width": 224},
    "do_center_crop": True,
    "resample": 3,
    "image_mean": _CLIP_MEAN,
    "image_std": _CLIP_STD,
}
_STRETCHED = {"size": {"height": 224, "width": 224}, "do_center_crop": False}
_OPEN_CLIP_PICTURE = {
    "size": (224, 224),
    "mean": _CLIP_MEAN,
    "std": _CLIP_STD,
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}
# These checkpoints come with VideoMAE's processor, which differs from CLIP's.
_XCLIP_PICTURE = _CLIP_PICTURE | {
    "resample": 2,
    "image_mean": _IMAGENET_MEAN,
    "image_std": _IMAGENET_STD,
}
_XCLIP_NOTE = "the clip model of Ni et al.: actions over a clip, not single frames"

CATALOG = (
    Row(
        name="clip-vit-b-32",
        family="clip",
        hub="openai/clip-vit-base-patch32",
        revision="b97b0100e55e367c057773c2a614676470b0d575",
        licence="MIT (repository openai/CLIP; the model card states none of its own)",
        preprocessor=_CLIP_PICTURE,
        notes="the reference model of the edge",
    ),
    Row(
        name="clip-vit-b-16",
        family="clip",
        hub="openai/clip-vit-base-patch16",
        revision="57c216476eefef5ab752ec549e440a49ae4ae5f3",
        licence="MIT (repository openai/CLIP; the model card states none of its own)",
        sizes={"vision_config": {"patch_size": 16}},
        preprocessor=_CLIP_PICTURE,
        notes="four times the work of ViT-B/32",
    ),
    Row(
        name="clip-vit-l-14",
        family="clip",
        hub="openai/clip-vit-large-patch14",
        revision="32bd64288804d66eefd0ccbe215aa642df71cc41",
        licence="MIT (repository openai/CLIP; the model card states none of its own)",
        sizes={
            "projection_dim": 768,
            "text_config": {
                "hidden_size": 768,
                "intermediate_size": 3072,
                "num_attention_heads": 12,
                "projection_dim": 768,
            },
            "vision_config": {
                "hidden_size": 1024,
                "intermediate_size": 4096,
                "num_hidden_layers": 24,
                "num_attention_heads": 16,
                "patch_size": 14,
                "projection_dim": 768,
            },
        },
        preprocessor=_CLIP_PICTURE,
        notes="for a device with a GPU",
    ),
    Row(
        name="laion-vit-b-32",
        family="open_clip",
        hub="laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
        revision="1a25a446712ba5ee05982a381eed697ef9b435cf",
        licence="MIT",
        sizes={"model": "ViT-B-32"},
        preprocessor=_OPEN_CLIP_PICTURE,
        notes="ViT-B/32 trained on LAION-2B",
    ),
    Row(
        name="siglip2-b-16",
        family="siglip2",
        hub="google/siglip2-base-patch16-224",
        revision="75de2d55ec2d0b4efc50b3e9ad70dba96a7b2fa2",
        licence="Apache-2.0",
        sizes={"text_config": {"vocab_size": 256000}, "vision_config": {"patch_size": 16}},
        preprocessor=_STRETCHED
        | {"resample": 2, "image_mean": (0.5, 0.5, 0.5), "image_std": (0.5, 0.5, 0.5)},
        notes="many languages; its vocabulary makes the text graph large",
    ),
    Row(
        name="chinese-clip-vit-b-16",
        family="chinese_clip",
        hub="OFA-Sys/chinese-clip-vit-base-patch16",
        revision="f4a64596bbcf9a2a94591b74b9dc39b2e4e77e3e",
        licence="MIT (repository OFA-Sys/Chinese-CLIP; the model card states none of its own)",
        sizes={
            "text_config": {"vocab_size": 21128},
            "vision_config": {"patch_size": 16},
        },
        preprocessor=_STRETCHED | {"resample": 3, "image_mean": _CLIP_MEAN, "image_std": _CLIP_STD},
        notes="prompts in Chinese",
    ),
    Row(
        name="remoteclip-vit-b-32",
        family="open_clip",
        hub="chendelong/RemoteCLIP",
        revision=None,
        licence="Apache-2.0",
        sizes={"model": "ViT-B-32"},
        preprocessor=_OPEN_CLIP_PICTURE,
        notes="pictures from above, not street cameras; published as pickles only, so convert it "
        "to a directory with open_clip_config.json and open_clip_model.safetensors first",
    ),
    Row(
        name="eva02-clip-b-16",
        family="open_clip",
        hub="timm/eva02_base_patch16_clip_224.merged2b_s8b_b131k",
        revision=None,
        licence="MIT",
        sizes={"model": "EVA02-B-16"},
        preprocessor=_OPEN_CLIP_PICTURE,
        notes="stronger than ViT-B/16 of OpenAI at the same size",
    ),
    Row(
        name="mobileclip-s1",
        family="open_clip",
        hub="apple/MobileCLIP-S1-OpenCLIP",
        revision=None,
        licence="Apple's own, see the repository: read it before any use",
        sizes={"model": "MobileCLIP-S1"},
        preprocessor={
            "size": (256, 256),
            "mean": (0.0, 0.0, 0.0),
            "std": (1.0, 1.0, 1.0),
            "interpolation": "bilinear",
            "resize_mode": "shortest",
        },
        notes="convolutions, made for phones",
    ),
    Row(
        name="xclip-ms-b-32",
        family="xclip_ms",
        hub="microsoft/xclip-base-patch32",
        revision=None,
        licence="MIT",
        preprocessor=_XCLIP_PICTURE,
        frames=8,
        notes=_XCLIP_NOTE,
    ),
    Row(
        name="xclip-ms-b-16",
        family="xclip_ms",
        hub="microsoft/xclip-base-patch16",
        revision=None,
        licence="MIT",
        sizes={"vision_config": {"patch_size": 16}},
        preprocessor=_XCLIP_PICTURE,
        frames=8,
        notes=_XCLIP_NOTE,
    ),
    Row(
        name="xclip-ms-b-16-zero-shot",
        family="xclip_ms",
        hub="microsoft/xclip-base-patch16-zero-shot",
        revision=None,
        licence="MIT",
        sizes={"vision_config": {"patch_size": 16, "num_frames": 32}},
        preprocessor=_XCLIP_PICTURE,
        frames=32,
        notes=_XCLIP_NOTE + "; trained for actions that it has not seen",
    ),
    Row(
        name="grounding-dino-tiny",
        family="grounding_dino",
        hub="IDEA-Research/grounding-dino-tiny",
        revision="a2bb814dd30d776dcf7e30523b00659f4f141c71",
        licence="Apache-2.0",
        preprocessor={"image_mean": _IMAGENET_MEAN, "image_std": _IMAGENET_STD, "resample": 2},
        notes="boxes for a caption; thirty times the work of ViT-B/32",
    ),
)

_ROWS = {row.name: row for row in CATALOG}
_HUB = {row.hub: row for row in CATALOG}

# Names of two unrelated models of the same year.
_AMBIGUOUS = {"xclip", "x-clip", "x_clip"}


def find(name: str) -> Row:
    """Return the row of that name or of that hub repository.

    Raises:
        ConfigError: No such row; or a bare ``xclip``, which means two models.
    """
    if name.lower() in _AMBIGUOUS:
        raise ConfigError(
            f"{name!r} means two models. Ni et al. (Microsoft, ECCV 2022) is a video model, here "
            "xclip-ms-b-32, xclip-ms-b-16 or xclip-ms-b-16-zero-shot. Ma et al. (ACM MM 2022) is "
            "a way to score the frames of any CLIP against the words of a sentence: it needs no "
            "checkpoint of its own. Name the one you mean"
        )
    row = _ROWS.get(name) or _HUB.get(name)
    if row is None:
        close = difflib.get_close_matches(name, _ROWS, n=3, cutoff=0.5)
        meant = f"did you mean {' or '.join(close)}? " if close else ""
        raise ConfigError(
            f"expected a model of the catalogue, a hub repository (owner/name) or a directory, "
            f"found {name!r}; {meant}known: {', '.join(_ROWS)}"
        )
    return row
