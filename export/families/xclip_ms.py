"""X-CLIP of Ni et al. (Microsoft; ``XCLIPModel`` of transformers): a clip of T frames, class C.

Nothing to do with the X-CLIP of Ma et al., which is a score on CLIP's embeddings. Every layer of
this tower mixes the frames of a clip, and each sentence is moved towards what the clip shows before
the two are compared. So the original is split where something can be kept: the sentences before
they meet a clip (``text``), the clip before it meets sentences (``video``), and their meeting
(``head``).

Letters in shapes: N clips, T frames, H, W picture, S tokens of a frame, V width of the tower, C
patches of a frame, K sentences, L tokens of a sentence, D embedding.
"""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from edge.errors import ModelError
from edge.manifest import Decision, EmbeddingSpec, ImageSpec, ModelFacts, ModelInfo, TextSpec
from export.checkpoint import Checkpoint
from export.families.base import Assembly, Part

# Extents of the examples. Above one, because an exporter takes an extent of one for a constant;
# all different, because it takes equal extents for the same axis.
_CLIPS, _SENTENCES = 2, 3

# What the original was trained with: class names as they are, no template around them.
_TEMPLATES = ("{}",)
_BACKGROUND = ("an empty scene", "nothing is happening", "something else")
# Not measured: there are no trained weights where this is tested.
_DECISION = Decision(threshold=0.05, hysteresis=0.02)
# Pillow's numbers of its filters.
_INTERPOLATIONS: Mapping[int | None, Literal["bilinear", "bicubic"]] = {2: "bilinear", 3: "bicubic"}


class VideoTower(nn.Module):
    """``pixels`` [N, T, 3, H, W] to ``embedding`` [N, D], unit rows, and ``context`` [N, C, D]."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.frames = int(model.config.vision_config.num_frames)
        self.tower = model.vision_model
        self.projection = model.visual_projection
        self.mit = model.mit
        self.context_norm = model.prompts_visual_layernorm
        self.context_projection = model.prompts_visual_projection

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        # The tower takes any N * T pictures and mixes each T that stand together: of a flat batch
        # of unrelated pictures too, without a word.
        if pixels.dim() != 5 or pixels.shape[1] != self.frames:
            raise ValueError(
                f"expected clips of {self.frames} frames [N, {self.frames}, 3, H, W], found "
                f"{list(pixels.shape)}"
            )
        clips = pixels.shape[0]
        states, pooled = self.tower(pixels.flatten(0, 1))[:2]  # [N * T, S, V], [N * T, V]
        frames = self.projection(pooled)  # [N * T, D]
        embedding = self.mit(frames.view(clips, self.frames, frames.shape[-1]))[1]  # [N, D]
        patches = self.context_norm(states[:, 1:]) @ self.context_projection  # [N * T, C, D]
        context = patches.view(clips, self.frames, *patches.shape[1:]).mean(dim=1)  # [N, C, D]
        return _unit(embedding), context


class TextTower(nn.Module):
    """``input_ids`` [K, L] to ``embedding`` [K, D], unit rows, and ``length`` [K] before that.

    The head adds to a sentence what it found in the clip, so it matters how long the sentence's
    vector was: without ``length`` the split would not be the original.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.tower = model.text_model
        self.projection = model.text_projection

    def forward(self, input_ids: Tensor) -> tuple[Tensor, Tensor]:
        # No attention mask: attention is causal, and what follows the end of the sentence is not
        # seen from there.
        vectors = self.projection(self.tower(input_ids)[1])  # [K, D]
        return _unit(vectors), vectors.norm(dim=-1)


class Head(nn.Module):
    """``embedding`` [N, D], ``context`` [N, C, D] and ``text`` [K, D] to ``cosine`` [N, K].

    ``text`` is the text graph's ``embedding`` times its ``length``.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.generator = model.prompts_generator

    def forward(self, embedding: Tensor, context: Tensor, text: Tensor) -> Tensor:
        each = text.expand(embedding.shape[0], -1, -1)  # [K, D] -> [N, K, D]
        said = _unit(each + self.generator(each, context))
        cosine: Tensor = torch.einsum("nd,nkd->nk", embedding, said)
        return cosine


def _unit(vectors: Tensor) -> Tensor:
    return vectors / vectors.norm(dim=-1, keepdim=True)


def assemble(checkpoint: Checkpoint) -> Assembly:
    """Take an X-CLIP apart into ``video``, ``text`` and ``head``.

    Raises:
        ModelError: Another architecture, another number of frames than its row says, or a
            preprocessing that a manifest cannot express.
    """
    model, config = checkpoint.model, checkpoint.config
    if getattr(config, "model_type", None) != "xclip":
        raise ModelError(
            f"{checkpoint.name}: expected an XCLIPModel of transformers, found "
            f"{type(model).__name__}; choose the family that fits the checkpoint"
        )
    facts = _facts(checkpoint)
    return Assembly(facts, checkpoint.tokenizer, _parts(model, facts))


def _facts(checkpoint: Checkpoint) -> ModelFacts:
    model, config, row = checkpoint.model, checkpoint.config, checkpoint.row
    frames = int(config.vision_config.num_frames)
    if row is not None and row.frames != frames:
        raise ModelError(
            f"{checkpoint.name}: expected {row.frames} frames as in the catalogue, found {frames} "
            "in the checkpoint's config; the number of frames is part of the weights"
        )
    scale: Any = model.logit_scale
    return ModelFacts(
        name=checkpoint.name,
        model=ModelInfo(
            family="xclip_ms",
            id=row.hub if row else checkpoint.origin.package,
            revision=checkpoint.origin.version,
            licence=checkpoint.origin.licence,
            origins=(checkpoint.origin,),
        ),
        frame_class="C",
        frames=frames,
        embedding=EmbeddingSpec(dim=config.projection_dim, logit_scale=float(scale.exp())),
        image=_image(checkpoint),
        text=TextSpec(
            context_length=config.text_config.max_position_embeddings,
            # The original's padding. Only the end of a sentence is read, attention is causal and
            # the end is found as the highest id, so any id below that one will do.
            pad_id=0,
            templates=_TEMPLATES,
            background=_BACKGROUND,
        ),
        decision=_DECISION,
    )


def _image(checkpoint: Checkpoint) -> ImageSpec:
    """What ``VideoMAEImageProcessor`` does to each frame, as facts of a manifest."""
    given, side = checkpoint.preprocessor, checkpoint.config.vision_config.image_size
    shortest = _extent(given.get("size"), "shortest_edge")
    crop = _extent(given.get("crop_size"), "height", "width")
    resample = given.get("resample")
    if not isinstance(side, int) or (shortest, crop) != (side, side):
        raise ModelError(
            f"{checkpoint.name}: expected a shortest edge of {side} and a square crop of it, found "
            f"size {given.get('size')} and crop_size {given.get('crop_size')} in "
            "preprocessor_config.json"
        )
    if resample not in _INTERPOLATIONS:
        raise ModelError(
            f"{checkpoint.name}: expected resample {' or '.join(map(str, _INTERPOLATIONS))}, found "
            f"{resample} in preprocessor_config.json"
        )
    return ImageSpec(
        height=side,
        width=side,
        resize="shortest_edge",
        interpolation=_INTERPOLATIONS[resample],
        mean=tuple(255 * value for value in given["image_mean"]),
        std=tuple(255 * value for value in given["image_std"]),
    )


def _extent(size: int | Mapping[str, int] | None, *sides: str) -> int | None:
    """The one extent in transformers' ways to write a size; None where there are two."""
    if not isinstance(size, Mapping):
        return size
    extents = {size.get(side) for side in sides}
    return extents.pop() if len(extents) == 1 else None


def _parts(model: Any, facts: ModelFacts) -> tuple[Part, ...]:
    frames, side, dim = facts.frames, facts.image.height, facts.dim
    patches = model.vision_model.embeddings.num_patches
    generator = torch.Generator().manual_seed(0)

    def example(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    length = facts.text.context_length
    ids = torch.arange(_SENTENCES * length).reshape(_SENTENCES, length)
    return (
        Part(
            role="video",
            module=VideoTower(model).eval(),
            inputs={"pixels": example(_CLIPS, frames, 3, side, side)},
            outputs=("embedding", "context"),
            dynamic={"pixels": {0: "N"}, "embedding": {0: "N"}, "context": {0: "N"}},
            pixels="pixels",
        ),
        Part(
            role="head",
            module=Head(model).eval(),
            inputs={
                "embedding": _unit(example(_CLIPS, dim)),
                "context": example(_CLIPS, patches, dim),
                "text": example(_SENTENCES, dim),
            },
            outputs=("cosine",),
            dynamic={
                "embedding": {0: "N"},
                "context": {0: "N"},
                "text": {0: "K"},
                "cosine": {0: "N", 1: "K"},
            },
        ),
        Part(
            role="text",
            module=TextTower(model).eval(),
            inputs={"input_ids": ids % model.config.text_config.vocab_size},
            outputs=("embedding", "length"),
            dynamic={"input_ids": {0: "K"}, "embedding": {0: "K"}, "length": {0: "K"}},
        ),
    )
