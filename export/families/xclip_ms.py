"""Takes apart the X-CLIP of Ni et al. (Microsoft), which sees a clip of T frames: class C.

It is ``XCLIPModel`` of transformers. The X-CLIP of Ma et al. is another method: a score on CLIP's
embeddings. Every layer of this tower mixes the frames of a clip, and each sentence is moved towards
what the clip shows before the two are compared. So the original is split where a result can be
kept: the sentences before they meet a clip (``text``), the clip before it meets sentences
(``video``), and their meeting (``head``).

Letters in shapes: N clips, T frames, H, W picture, S tokens of a frame, V width of a tower, C
patches of a frame, K sentences, L tokens of a sentence, D embedding.
"""

from typing import Any

import torch
from torch import Tensor, nn

from edge.errors import ModelError
from edge.model.bundle.manifest import ModelFacts, TextSpec
from export.checkpoints.checkpoint import Checkpoint
from export.families import facts
from export.families.base import Assembly, Part
from export.families.clip import special_ids
from export.families.towers import unit

# Extents of the examples. They are above one, because an exporter takes an extent of one for a
# constant, and differ, because it takes equal extents for the same axis.
_CLIPS, _SENTENCES = 2, 3

# The original was trained with plain class names, without a template around them.
_TEMPLATES = ("{}",)
_BACKGROUND = ("an empty scene", "nothing is happening", "something else")


class VideoTower(nn.Module):
    """Maps ``pixels`` [N,T,3,H,W] to unit rows ``embedding`` [N, D] and ``context`` [N, C, D]."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.frames = int(model.config.vision_config.num_frames)
        self.patches = int(model.vision_model.embeddings.num_patches)
        self.tower = model.vision_model
        self.projection = model.visual_projection
        self.mit = model.mit
        self.context_norm = model.prompts_visual_layernorm
        self.context_projection = model.prompts_visual_projection

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        # The tower takes any N * T pictures and mixes each group of T. It would mix unrelated
        # pictures of a flat batch too, without an error.
        if pixels.dim() != 5 or pixels.shape[1] != self.frames:
            raise ValueError(
                f"expected clips of {self.frames} frames [N, {self.frames}, 3, H, W], found "
                f"{list(pixels.shape)}"
            )
        clips, dim = pixels.shape[0], self.projection.out_features
        states, pooled = self.tower(pixels.flatten(0, 1))[:2]  # [N * T, S, V], [N * T, V]
        frames = self.projection(pooled).view(clips, self.frames, dim)
        embedding = self.mit(frames)[1]  # [N, D]
        patches = self.context_norm(states[:, 1:]) @ self.context_projection  # [N * T, C, D]
        context = patches.view(clips, self.frames, self.patches, dim).mean(dim=1)  # [N, C, D]
        return unit(embedding), context


class XClipTextTower(nn.Module):
    """Maps ``input_ids`` [K, L] to ``embedding`` [K, D], unit rows, and ``length`` [K].

    ``length`` is that of a sentence's vector before it was made a unit row. The head adds a vector
    of the clip to the sentence's, so its length matters: without ``length``, the split would differ
    from the original.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.tower = model.text_model
        self.projection = model.text_projection

    def forward(self, input_ids: Tensor) -> tuple[Tensor, Tensor]:
        # No attention mask is needed: attention is causal, so the end of the sentence does not see
        # what follows it.
        states = self.tower(input_ids).last_hidden_state  # [K, L, V]
        # As in the original, the end is the highest id, the first of several. Runtimes differ in
        # the argmax among equals, so an earlier token gets a slightly larger number; exact up to
        # ids of 2^17.
        extent = input_ids.shape[1]
        falling = torch.arange(extent, 0, -1)
        end = (input_ids * extent + falling).float().argmax(dim=1, keepdim=True)  # [K, 1]
        chosen = torch.arange(extent)[None] == end  # [K, L]
        vectors = self.projection((states * chosen[:, :, None]).sum(dim=1))  # [K, D]
        return unit(vectors), vectors.norm(dim=-1)


class Head(nn.Module):
    """Maps ``embedding`` [N, D], ``context`` [N, C, D] and ``text`` [K, D] to ``cosine`` [N, K].

    ``text`` is the text graph's ``embedding`` times its ``length``.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.generator = model.prompts_generator

    def forward(self, embedding: Tensor, context: Tensor, text: Tensor) -> Tensor:
        each = text.expand(embedding.shape[0], -1, -1)  # [K, D] -> [N, K, D]
        said = unit(each + self.generator(each, context))
        cosine: Tensor = torch.einsum("nd,nkd->nk", embedding, said)
        return cosine


def assemble(checkpoint: Checkpoint) -> Assembly:
    """Take an X-CLIP apart into ``video``, ``text`` and ``head``.

    Raises:
        ModelError: The checkpoint has another architecture, another number of frames than its row
            says, or something that a bundle cannot express.
    """
    model, config = checkpoint.model, checkpoint.config
    if getattr(config, "model_type", None) != "xclip":
        raise ModelError(
            f"{checkpoint.name}: expected an XCLIPModel of transformers, found "
            f"{type(model).__name__}; choose the family that fits the checkpoint"
        )
    found = _facts(checkpoint)
    return Assembly(found, checkpoint.tokenizer, _parts(model, found))


def _facts(checkpoint: Checkpoint) -> ModelFacts:
    model: Any = checkpoint.model
    config, row = checkpoint.config, checkpoint.row
    vision, text = config.vision_config, config.text_config
    if row is not None and row.frames != vision.num_frames:
        raise ModelError(
            f"{checkpoint.name}: expected {row.frames} frames as the catalogue has it, found "
            f"{vision.num_frames} in the checkpoint's config; the number of frames is part of the "
            "weights"
        )
    end, _ = special_ids(checkpoint.tokenizer, text.vocab_size)
    return facts.model_facts(
        checkpoint,
        facts.hf_image_spec(checkpoint.preprocessing, vision.image_size),
        TextSpec(
            context_length=text.max_position_embeddings,
            pad_id=end,
            templates=_TEMPLATES,
            background=_BACKGROUND,
        ),
        dim=config.projection_dim,
        logit_scale=model.logit_scale.exp().item(),
        frames=vision.num_frames,
    )


def _parts(model: Any, found: ModelFacts) -> tuple[Part, ...]:
    frames, side, dim = found.frames, found.image.height, found.dim
    video = VideoTower(model)
    generator = torch.Generator().manual_seed(0)

    def example(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    length = found.text.context_length
    ids = torch.arange(_SENTENCES * length).reshape(_SENTENCES, length)
    return (
        Part(
            role="video",
            module=video.eval(),
            inputs={"pixels": example(_CLIPS, frames, 3, side, side)},
            outputs=("embedding", "context"),
            dynamic={"pixels": {0: "N"}, "embedding": {0: "N"}, "context": {0: "N"}},
            pixels="pixels",
        ),
        Part(
            role="head",
            module=Head(model).eval(),
            inputs={
                "embedding": unit(example(_CLIPS, dim)),
                "context": example(_CLIPS, video.patches, dim),
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
            module=XClipTextTower(model).eval(),
            inputs={"input_ids": ids % model.config.text_config.vocab_size},
            outputs=("embedding", "length"),
            dynamic={"input_ids": {0: "K"}, "embedding": {0: "K"}, "length": {0: "K"}},
        ),
    )
