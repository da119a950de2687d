"""Tiny checkpoints for tests: saved by the real libraries in their real layouts, two layers deep.

Each function writes a whole checkpoint of about 32 x 32 pixels into a directory: config,
safetensors, tokenizer, preprocessor. The same seed gives the same weights.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from export.checkpoints import open_clip_models
from export.checkpoints.tokenizer_json import bert_stand_in, clip_tokenizer, gemma_stand_in
from export.checkpoints.weights import OPEN_CLIP

SIDE = 32
DIM = 24
CONTEXT = 64

_MERGES = 1000
# 256 bytes, the same at the end of a word, the merges, the two special tokens.
CLIP_VOCABULARY = 2 * 256 + _MERGES + 2
BERT_VOCABULARY = 1200
_GEMMA_VOCABULARY = 400

_WIDTH = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
_VISION = _WIDTH | {"image_size": SIDE, "patch_size": 8}
_CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
_CLIP_STD = [0.26862954, 0.26130258, 0.27577711]
_CROPPED = {
    "do_resize": True,
    "size": {"shortest_edge": SIDE},
    "do_center_crop": True,
    "crop_size": {"height": SIDE, "width": SIDE},
    "do_rescale": True,
    "do_normalize": True,
    "resample": 3,
    "image_mean": _CLIP_MEAN,
    "image_std": _CLIP_STD,
}
_STRETCHED = {
    "do_resize": True,
    "size": {"height": SIDE, "width": SIDE},
    "do_rescale": True,
    "do_normalize": True,
    "resample": 2,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}


def tiny_clip(directory: Path, seed: int = 0) -> Path:
    """CLIP with the first thousand merges of its own vocabulary."""
    from transformers import CLIPConfig, CLIPModel  # noqa: PLC0415 - takes seconds

    config = CLIPConfig(
        text_config=_clip_text(), vision_config=_VISION | {"projection_dim": DIM},
        projection_dim=DIM,
    )  # fmt: skip
    return save_tiny(directory, CLIPModel, config, tiny_clip_tokenizer(), _CROPPED, seed)


def tiny_siglip2(directory: Path, seed: int = 0) -> Path:
    """SigLIP 2 with a tokenizer of Gemma's layout."""
    from transformers import SiglipConfig, SiglipModel  # noqa: PLC0415

    config = SiglipConfig(
        text_config=_WIDTH | {
            "vocab_size": _GEMMA_VOCABULARY,
            "max_position_embeddings": CONTEXT,
            "projection_size": 32,
            "pad_token_id": 0,
            "bos_token_id": 2,
            "eos_token_id": 1,
        },
        vision_config=_VISION,
    )  # fmt: skip
    return save_tiny(directory, SiglipModel, config, gemma_stand_in(), _STRETCHED, seed)


def tiny_chinese_clip(directory: Path, seed: int = 0) -> Path:
    """Chinese CLIP: CLIP's picture tower and a BERT without a pooler."""
    from transformers import ChineseCLIPConfig, ChineseCLIPModel  # noqa: PLC0415

    config = ChineseCLIPConfig(
        text_config=_bert_text(), vision_config=_VISION | {"projection_dim": DIM},
        projection_dim=DIM,
    )  # fmt: skip
    preprocessor = _STRETCHED | {"do_center_crop": False}
    return save_tiny(
        directory, ChineseCLIPModel, config, bert_stand_in(BERT_VOCABULARY), preprocessor, seed
    )


def tiny_dual_encoder(directory: Path, seed: int = 0) -> Path:
    """Any light picture tower with a BERT: here a ViT."""
    from transformers import (  # noqa: PLC0415
        BertConfig,
        VisionTextDualEncoderConfig,
        VisionTextDualEncoderModel,
        ViTConfig,
    )

    config = VisionTextDualEncoderConfig.from_vision_text_configs(
        ViTConfig(**_VISION), BertConfig(**_bert_text()), projection_dim=DIM
    )
    return save_tiny(
        directory,
        VisionTextDualEncoderModel,
        config,
        bert_stand_in(BERT_VOCABULARY),
        _STRETCHED | {"image_processor_type": "ViTImageProcessor"},
        seed,
    )


def tiny_open_clip(directory: Path, seed: int = 0, **text: Any) -> Path:
    """A ViT of open_clip; ``text`` changes its text tower."""
    import open_clip  # noqa: PLC0415 - takes seconds

    model_cfg = {
        "embed_dim": DIM,
        "vision_cfg": {"image_size": SIDE, "layers": 2, "width": 64, "patch_size": 8},
        "text_cfg": {
            "context_length": CONTEXT,
            # open_clip's own tokenizer, so that its own ids can be the reference.
            "vocab_size": 49408,
            "width": 32,
            "heads": 2,
            "layers": 2,
        } | text,
        "custom_text": bool(text),
    }  # fmt: skip
    preprocess_cfg = {
        "size": [SIDE, SIDE],
        "mean": _CLIP_MEAN,
        "std": _CLIP_STD,
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    }
    directory.mkdir(parents=True, exist_ok=True)
    document = {"model_cfg": model_cfg, "preprocess_cfg": preprocess_cfg}
    (directory / open_clip_models.CONFIG).write_text(json.dumps(document))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = open_clip.create_model(
            f"local-dir:{directory}", load_weights=False, pretrained_text=False
        )
        livelier(model)
    save_file(model.state_dict(), directory / OPEN_CLIP)
    return directory


def save_tiny(
    directory: Path,
    model_class: Any,
    config: Any,
    tokenizer: bytes,
    preprocessor: dict[str, Any],
    seed: int,
) -> Path:
    """Save an untrained model of ``transformers`` with everything that belongs to it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = model_class(config)
        livelier(model)
    model.save_pretrained(directory)
    (directory / "tokenizer.json").write_bytes(tokenizer)
    (directory / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"})
    )
    (directory / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return directory


def livelier(model: torch.nn.Module) -> None:
    """Draw weights large enough that a wrong token, mean or channel changes the answer.

    Fresh models have zero biases and such small weights that their outputs hardly depend on what
    goes in.
    """
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("logit_scale"):
                continue
            if parameter.ndim > 1:
                parameter.normal_(0, 0.3 if "embed" in name else 2 / parameter.shape[-1] ** 0.5)
            elif name.endswith("bias"):
                parameter.normal_(0, 0.1)


def tiny_clip_tokenizer() -> bytes:
    """CLIP's tokenizer with few merges."""
    return clip_tokenizer(_MERGES)


def _clip_text() -> dict[str, Any]:
    return _WIDTH | {
        "vocab_size": CLIP_VOCABULARY,
        "max_position_embeddings": CONTEXT,
        "projection_dim": DIM,
        "bos_token_id": CLIP_VOCABULARY - 2,
        "eos_token_id": CLIP_VOCABULARY - 1,
        "pad_token_id": CLIP_VOCABULARY - 1,
    }


def _bert_text() -> dict[str, Any]:
    return _WIDTH | {"vocab_size": BERT_VOCABULARY, "max_position_embeddings": CONTEXT}
