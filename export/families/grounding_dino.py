"""Takes apart the Grounding DINO of Liu et al., which reads picture and caption together: class P.

It is ``GroundingDinoForObjectDetection`` of transformers. Neither picture nor caption has an
embedding of its own. The graph ``text`` holds what depends on the caption alone: BERT and a
projection, two thirds of the weights. It runs when prompts change. The rest is the graph
``detector``, for one size of picture: the original computes with the extents of its feature maps in
Python, which fixes them in the graph.

Both are exported through TorchScript. PyTorch 2.13's other exporter exports the ``text`` graph, and
fails on Swin in ``detector`` ("cannot view a tensor", transformers 5.24).
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

import torch
from torch import Tensor

from edge.errors import ConfigError, ModelError
from edge.model.bundle.manifest import Decision, ImageSpec, ModelFacts, ModelInfo, TextSpec
from edge.rules.caption import blocks
from export.checkpoints.checkpoint import Checkpoint
from export.families.base import Assembly, Part
from export.families.grounding_dino_graphs import DetectorGraph, GroundingTextTower
from export.families.preprocessing import hf_interpolation, hf_levels, refuse_other_steps

HEIGHT: Final = 480
WIDTH: Final = 640
LENGTH: Final = 64

# Pixels per token of Swin's coarsest feature map, each way.
_STRIDE: Final = 32
# Ids that the original has built in, whatever its tokenizer says: transformers' SPECIAL_TOKENS.
_SPECIAL: Final = {"[CLS]": 101, "[SEP]": 102, ".": 1012, "?": 1029}
# ImageNet's mean and deviation, as in the published preprocessor_config.json.
_GIVEN: Final[Mapping[str, Any]] = {
    "image_mean": (0.485, 0.456, 0.406),
    "image_std": (0.229, 0.224, 0.225),
}
# Box threshold of the original's demo (IDEA-Research/GroundingDINO, README). Not measured here.
_DECISION: Final = Decision(threshold=0.35, hysteresis=0.05)
# The manifest needs a background sentence, although a detector's score is compared with none.
_BACKGROUND: Final = ("an empty place",)

# The layers that may become INT8, by the names of their nodes: Swin, the projections of its maps,
# and the linear layers that see every token of the picture or every query.
_INT8: Final = (
    "/backbone/",
    "/input_projections.",
    "/value_proj",
    "/output_proj",
    "/fc1",
    "/fc2",
    "/vision_proj",
    "/values_vision_proj",
    "/out_vision_proj",
)
# The caption's own layers stay float even where a name above fits.
_TEXT: Final = "/text/"


def assemble(
    checkpoint: Checkpoint, *, height: int = HEIGHT, width: int = WIDTH, length: int = LENGTH
) -> Assembly:
    """Take a Grounding DINO apart into ``text`` and ``detector``.

    Args:
        checkpoint: The original.
        height: Height of the pictures; camera pictures are letterboxed into them.
        width: Width of the pictures.
        length: Number of tokens in a caption.

    Raises:
        ConfigError: The model cannot have this size or length.
        ModelError: The checkpoint has another architecture, or a tokenizer that the original was
            not made for.
    """
    model, config = checkpoint.model, checkpoint.config
    if getattr(config, "model_type", None) != "grounding-dino":
        raise ModelError(
            f"{checkpoint.name}: expected a GroundingDinoForObjectDetection of transformers, found "
            f"{type(model).__name__}; choose the family that fits the checkpoint"
        )
    if not (config.two_stage and config.embedding_init_target and config.num_feature_levels > 1):
        raise ModelError(
            f"{checkpoint.name}: expected two_stage, embedding_init_target and several feature "
            "levels, as in every published checkpoint; found a config without one of these"
        )
    _check_tokenizer(checkpoint)
    _check_sizes(config, height, width, length)
    facts = _facts(checkpoint, height, width, length)
    return Assembly(facts, checkpoint.tokenizer, _parts(model, facts))


def keep_float(layers: Iterable[str]) -> frozenset[str]:
    """Return the layers of the ``detector`` graph that stay float when it is quantized.

    Swin and the large linear layers become INT8. All others stay float: sampling offsets, attention
    weights and the layers of boxes, where one step of 255 is a visible shift; the products of
    attention, which the original lets grow up to 50 000; the caption's layers; the product with the
    caption, which is the score. Softmax and norms stay float in any case, because they are no
    layers.

    Args:
        layers: Names of the nodes that could become INT8: convolutions and matrix products.
    """
    return frozenset(
        layer for layer in layers if _TEXT in layer or not any(part in layer for part in _INT8)
    )


def _check_tokenizer(checkpoint: Checkpoint) -> None:
    vocabulary = json.loads(checkpoint.tokenizer).get("model", {}).get("vocab", {})
    found = {token: vocabulary.get(token) for token in _SPECIAL}
    if found != _SPECIAL:
        raise ModelError(
            f"{checkpoint.name}: expected BERT's vocabulary with {_SPECIAL}, which the original "
            f"has built in, found {found}; take the checkpoint's own tokenizer.json"
        )


def _check_sizes(config: Any, height: int, width: int, length: int) -> None:
    if height % _STRIDE or width % _STRIDE or height <= 0 or width <= 0:
        raise ConfigError(
            f"expected pictures of a multiple of {_STRIDE} pixels each way, found {height} x "
            f"{width}; the default is {HEIGHT} x {WIDTH}"
        )
    backbone = len(config.backbone_config.out_features)
    levels = config.num_feature_levels
    # Swin's maps are at 1/8, 1/16 and 1/32; each further map is half as large.
    sides = [_STRIDE >> (backbone - 1 - level) for level in range(backbone)]
    sides += [_STRIDE << (level + 1) for level in range(levels - backbone)]
    tokens = sum(-(-height // side) * -(-width // side) for side in sides)
    if tokens < config.num_queries:
        raise ConfigError(
            f"expected pictures large enough for {config.num_queries} boxes, found {height} x "
            f"{width} with places for {tokens}; the default is {HEIGHT} x {WIDTH}"
        )
    longest = min(config.max_text_len, config.text_config.max_position_embeddings)
    if not 4 <= length <= longest:
        raise ConfigError(
            f"expected captions of 4 to {longest} tokens, found {length}; the default is {LENGTH}"
        )


def _facts(checkpoint: Checkpoint, height: int, width: int, length: int) -> ModelFacts:
    row = checkpoint.row
    own = {key: value for key, value in checkpoint.preprocessing.items() if value is not None}
    given = {**_GIVEN, **own}
    # The bundle's own size and borders replace those of the file.
    refuse_other_steps(given, allowed=("do_pad", "pad_size"))
    mean, std = hf_levels(given)
    return ModelFacts(
        name=checkpoint.name,
        model=ModelInfo(
            family="grounding_dino",
            id=row.hub if row else checkpoint.origin.package,
            revision=checkpoint.origin.version,
            licence=checkpoint.origin.licence,
            origins=(checkpoint.origin,),
        ),
        frame_class="P",
        frames=1,
        image=ImageSpec(
            height=height,
            width=width,
            resize="letterbox",
            interpolation=hf_interpolation(given, default=2),
            mean=mean,
            std=std,
        ),
        text=TextSpec(
            context_length=length,
            pad_id=checkpoint.config.text_config.pad_token_id or 0,
            templates=("{}",),
            background=_BACKGROUND,
        ),
        decision=_DECISION,
    )


def _parts(model: Any, facts: ModelFacts) -> tuple[Part, Part]:
    height, width, length = facts.image.height, facts.image.width, facts.text.context_length
    caption = _example(length, facts.text.pad_id)
    text = GroundingTextTower(model).eval()
    with torch.no_grad():
        features = text(caption["input_ids"], caption["position_ids"], caption["block_mask"])
    return (
        Part(
            role="text",
            module=text,
            inputs={name: caption[name] for name in ("input_ids", "position_ids", "block_mask")},
            outputs=("features",),
            dynamic={},
        ),
        Part(
            role="detector",
            module=DetectorGraph(model, height, width).eval(),
            inputs={
                "pixels": torch.zeros(1, 3, height, width),
                "features": features,
                "token_mask": caption["token_mask"],
                "position_ids": caption["position_ids"],
                "block_mask": caption["block_mask"],
            },
            outputs=("logits", "boxes"),
            dynamic={},
            pixels="pixels",
        ),
    )


def _example(length: int, pad_id: int) -> dict[str, Tensor]:
    """Return the inputs of a caption with one word."""
    ids = torch.full((length,), pad_id)
    ids[:4] = torch.tensor([_SPECIAL["[CLS]"], _SPECIAL["?"] + 1, _SPECIAL["."], _SPECIAL["[SEP]"]])
    block_mask, position_ids = blocks(ids.numpy(), tuple(_SPECIAL.values()))
    return {
        "input_ids": ids[None],
        "position_ids": torch.from_numpy(position_ids)[None],
        "block_mask": torch.from_numpy(block_mask)[None],
        "token_mask": (torch.arange(length) < 4)[None],
    }
