"""Takes apart CLIP, SigLIP 2, Chinese CLIP and dual encoders, as ``transformers`` has them.

The families differ in the token that stands for a sentence, in the layers after it, and in what a
token may look at. They share the rest.

=========================  ============  ===========================  =======================
family                     pools         then                         padding
=========================  ============  ===========================  =======================
clip                       end of text   ``text_projection``          after the end, unseen
siglip2                    last token    ``text_model.head``          seen, as in training
chinese_clip               first token   ``text_projection``          masked
vision_text_dual_encoder   first token   pooler, ``text_projection``  masked
=========================  ============  ===========================  =======================
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import Tokenizer as HfTokenizer
from torch import Tensor

from edge.errors import ModelError
from edge.model.bundle.manifest import TextSpec
from edge.rules.text import Tokenizer
from export.checkpoints.checkpoint import Checkpoint
from export.checkpoints.tokenizer_json import lowercased
from export.families import facts
from export.families.base import Assembly
from export.families.towers import ImageTower, Pool, TextTower, image_part, text_part

# Tokens of a sentence for models like BERT, whose length is free because rows are masked.
_BERT_LENGTH = 64


@dataclass(frozen=True, slots=True)
class _Family:
    """Differences of a family from the others.

    Attributes:
        pool: Token that stands for the sentence.
        masked: Whether padding is masked.
        head: Function that takes the model and returns its layers after the pooled token.
        lowercase: Whether the text is lowercased.
        free_length: Whether the text tower takes sentences of any length.
        templates: Templates of a prompt.
        background: Background prompts.
    """

    pool: Pool
    masked: bool
    head: Callable[[Any], Callable[[Tensor], Tensor]]
    lowercase: bool = False
    free_length: bool = False
    templates: tuple[str, ...] = facts.TEMPLATES
    background: tuple[str, ...] = facts.BACKGROUND


def _pooled_and_projected(model: Any) -> Callable[[Tensor], Tensor]:
    """Return BERT's pooler and the projection; each token goes in as the first of a row of one."""
    if getattr(model.text_model, "pooler", None) is None:
        raise ModelError("expected a text model with a pooler, like BERT, found one without")

    def head(states: Tensor) -> Tensor:
        rows = states.flatten(0, 1)[:, None]  # [K, L, W] -> [K * L, 1, W]
        words: Tensor = model.text_projection(model.text_model.pooler(rows))  # [K * L, D]
        return words.reshape(*states.shape[:2], -1)

    return head


_FAMILIES = {
    "clip": _Family("end", masked=False, head=lambda model: model.text_projection),
    "siglip2": _Family(
        "last", masked=False, head=lambda model: model.text_model.head, lowercase=True
    ),
    "chinese_clip": _Family(
        "first",
        masked=True,
        head=lambda model: model.text_projection,
        free_length=True,
        templates=facts.CHINESE_TEMPLATES,
        background=facts.CHINESE_BACKGROUND,
    ),
    # The language is not known, so a prompt goes in as it is.
    "vision_text_dual_encoder": _Family(
        "first",
        masked=True,
        head=_pooled_and_projected,
        free_length=True,
        templates=("{}",),
    ),
}


def assemble(checkpoint: Checkpoint) -> Assembly:
    """Take a CLIP-like checkpoint apart into its image and text towers.

    Raises:
        ModelError: The checkpoint holds something that a bundle cannot express.
    """
    family = _FAMILIES[checkpoint.family]
    model: Any = checkpoint.model
    vision, text = checkpoint.config.vision_config, checkpoint.config.text_config
    image_spec = facts.hf_image_spec(checkpoint.preprocessing, vision.image_size)
    tokenizer = lowercased(checkpoint.tokenizer) if family.lowercase else checkpoint.tokenizer
    end, padding = special_ids(tokenizer, text.vocab_size)
    longest = text.max_position_embeddings
    text_spec = TextSpec(
        context_length=min(_BERT_LENGTH, longest) if family.free_length else longest,
        # CLIP's files name the end of text as padding; the graph works with either.
        pad_id=end if family.pool == "end" else padding,
        templates=family.templates,
        background=family.background,
    )

    def embed(pixels: Tensor) -> Any:
        return model.get_image_features(pixel_values=pixels)

    def states(input_ids: Tensor, real: Tensor) -> Tensor:
        mask = {"attention_mask": real.long()} if family.masked else {}
        output: Tensor = model.text_model(input_ids=input_ids, **mask).last_hidden_state
        return output

    towers = (
        ImageTower(embed, model),
        TextTower(
            states,
            family.head(model),
            model,
            pool=family.pool,
            marker=end if family.pool == "end" else padding,
            length=text_spec.context_length,
        ),
    )
    example = torch.from_numpy(Tokenizer(tokenizer, text_spec).encode([text_spec.background[0]]))
    parts = (
        image_part(towers[0], image_spec.height, image_spec.width),
        text_part(towers[1], example),
    )
    with torch.no_grad():
        dim = towers[1](example)[0].shape[1]
    scale = model.logit_scale.exp().item()
    return Assembly(
        facts.model_facts(checkpoint, image_spec, text_spec, dim, scale), tokenizer, parts
    )


def special_ids(tokenizer_json: bytes, vocabulary: int) -> tuple[int, int]:
    """Return the ids of the token that ends a sentence and of the padding token.

    Args:
        tokenizer_json: Contents of ``tokenizer.json``.
        vocabulary: Number of ids that the model knows.

    Raises:
        ModelError: The tokenizer ends a sentence with no special token, or has more ids than the
            model.
    """
    tokenizer = HfTokenizer.from_str(tokenizer_json.decode())
    largest = max(tokenizer.get_vocab().values())
    if largest >= vocabulary:
        raise ModelError(
            f"expected a tokenizer with ids below {vocabulary}, which the model knows, found the "
            f"id {largest}; the tokenizer belongs to another model"
        )
    ids = tokenizer.encode("a").ids
    plain = tokenizer.encode("a", add_special_tokens=False).ids
    if not ids or ids[-1] == plain[-1]:
        raise ModelError(
            "expected a tokenizer that ends a sentence with a special token, found none; its "
            "tokenizer.json lacks a post_processor"
        )
    names = ("[PAD]", "<pad>")
    padding = [found for name in names if (found := tokenizer.token_to_id(name)) is not None]
    return ids[-1], padding[0] if padding else 0
