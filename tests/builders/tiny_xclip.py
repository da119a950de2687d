"""A tiny X-CLIP for tests; see ``tiny_checkpoints``."""

from pathlib import Path
from typing import Any

import torch
from tiny_checkpoints import CLIP_VOCABULARY, CONTEXT, DIM, SIDE, save_tiny, tiny_clip_tokenizer

FRAMES = 4
PATCHES = 4

_WIDTH = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
_PICTURE = {
    "do_resize": True,
    "size": {"shortest_edge": SIDE},
    "do_center_crop": True,
    "crop_size": {"height": SIDE, "width": SIDE},
    "do_rescale": True,
    "do_normalize": True,
    "resample": 2,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}


def tiny_xclip(directory: Path, seed: int = 0, frames: int = FRAMES) -> Path:
    """X-CLIP (Microsoft) with the first thousand merges of CLIP's vocabulary."""
    from transformers import XCLIPConfig  # noqa: PLC0415 - takes seconds

    config = XCLIPConfig(
        text_config=_WIDTH | {"vocab_size": CLIP_VOCABULARY, "max_position_embeddings": CONTEXT},
        vision_config=_WIDTH | {
            "image_size": SIDE,
            "patch_size": 16,
            "num_frames": frames,
            "mit_hidden_size": DIM,
            "mit_intermediate_size": 48,
            "mit_num_attention_heads": 2,
        },
        projection_dim=DIM,
        prompt_num_attention_heads=2,
    )  # fmt: skip
    return save_tiny(directory, _model, config, tiny_clip_tokenizer(), _PICTURE, seed)


def _model(config: Any) -> torch.nn.Module:
    """A model whose head moves sentences, each channel by another share.

    A fresh one adds a tenth, the same of each channel: a head that is left out, or mixes up its
    channels, would hardly be noticed.
    """
    from transformers import XCLIPModel  # noqa: PLC0415

    model: torch.nn.Module = XCLIPModel(config)
    with torch.no_grad():
        model.get_parameter("prompts_generator.alpha").uniform_(0.2, 0.9)
    return model
