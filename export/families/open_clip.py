"""Takes apart checkpoints of the package open_clip, such as RemoteCLIP, EVA-02-CLIP, MobileCLIP."""

from typing import Any

import torch
from torch import Tensor

from edge.errors import ModelError
from edge.model.bundle.manifest import TextSpec
from edge.rules.text import Tokenizer
from export.checkpoints import open_clip_models
from export.checkpoints.checkpoint import Checkpoint
from export.families import facts
from export.families.base import Assembly
from export.families.clip import special_ids
from export.families.towers import ImageTower, Pool, TextTower, image_part, text_part

_POOLS: dict[str, Pool] = {"argmax": "end", "eos": "end", "first": "first", "last": "last"}
# open_clip pads rows with zeros. A text tower that looks both ways (MobileCLIP) sees the padding,
# so it must be the same here.
_PADDING = 0


def assemble(checkpoint: Checkpoint) -> Assembly:
    """Take a checkpoint of open_clip apart into its image and text towers.

    Raises:
        ModelError: The checkpoint holds something that a bundle cannot express.
    """
    model: Any = checkpoint.model
    if checkpoint.directory is not None:
        _refuse_other_tokenizers(open_clip_models.read_config(checkpoint.directory)["model_cfg"])
    height, width = _pair(model.visual.image_size)
    image_spec = facts.open_clip_image_spec(checkpoint.preprocessing, height, width)
    # CLIP has the parts of its text tower itself; CustomTextCLIP has them in ``text``.
    text = getattr(model, "text", model)
    pool = _pool(text)
    text_spec = TextSpec(
        context_length=model.context_length,
        pad_id=_PADDING,
        templates=facts.TEMPLATES,
        background=facts.BACKGROUND,
    )
    end, _ = special_ids(checkpoint.tokenizer, model.vocab_size)

    def states(input_ids: Tensor, real: Tensor) -> Tensor:  # noqa: ARG001 - padding is seen
        tokens = text.token_embedding(input_ids) + text.positional_embedding
        output: Tensor = text.ln_final(text.transformer(tokens, attn_mask=text.attn_mask))
        return output

    def head(tokens: Tensor) -> Tensor:
        projection = text.text_projection
        if projection is None:
            return tokens
        linear = isinstance(projection, torch.nn.Linear)
        projected: Tensor = projection(tokens) if linear else tokens @ projection
        return projected

    visual = _one_branch(model.visual)
    example = torch.from_numpy(
        Tokenizer(checkpoint.tokenizer, text_spec).encode([text_spec.background[0]])
    )
    tower = TextTower(
        states,
        head,
        text,
        pool=pool,
        marker=end if pool == "end" else _PADDING,
        length=text_spec.context_length,
    )
    parts = (
        image_part(ImageTower(visual, visual), height, width),
        text_part(tower, example),
    )
    with torch.no_grad():
        dim = tower(example)[0].shape[1]
    scale = model.logit_scale.exp().item()
    return Assembly(
        facts.model_facts(checkpoint, image_spec, text_spec, dim, scale),
        checkpoint.tokenizer,
        parts,
    )


def _one_branch(visual: torch.nn.Module) -> torch.nn.Module:
    """Merge parallel convolutions, which MobileCLIP trains, into single ones of the same result."""
    from timm.utils.model import reparameterize_model  # noqa: PLC0415 - comes with open_clip

    single: torch.nn.Module = reparameterize_model(visual, inplace=False)
    return single


def _pool(text: Any) -> Pool:
    if not hasattr(text, "token_embedding"):
        raise ModelError(
            "expected open_clip's own text tower, found a Hugging Face model inside it; no "
            "bundle is made of these"
        )
    if getattr(text, "cls_emb", None) is not None or getattr(text, "use_pad_mask", False):
        raise ModelError(
            "expected a text tower like CLIP's, found one with a class token or a padding mask "
            "of its own (CoCa); no bundle is made of these"
        )
    found = getattr(text, "pool_type", None) or text.text_pool_type
    if found not in _POOLS:
        raise ModelError(f"expected a text tower that pools {', '.join(_POOLS)}, found {found!r}")
    return _POOLS[found]


def _refuse_other_tokenizers(model_cfg: dict[str, Any]) -> None:
    text = model_cfg.get("text_cfg", {})
    other = {key: text[key] for key in ("hf_tokenizer_name", "tokenizer_kwargs") if text.get(key)}
    if other:
        raise ModelError(
            f"expected a model with CLIP's own tokenizer, found {other}; no bundle is made of these"
        )


def _pair(size: Any) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    return height, width
