"""A Grounding DINO small enough for tests, saved by Hugging Face's own code; weights seeded."""

import json
from pathlib import Path

import torch
from transformers import (
    BertConfig,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    SwinConfig,
)

from export.checkpoints.tokenizer_json import bert_tokenizer

# BERT's own ids, which the original counts on.
_SPECIAL = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103, ".": 1012}
_SPECIAL |= {"?": 1029}
_WORDS = "a the red blue green big cat dog car bus person bicycle with on roof rack ##s ' , -"
_VOCABULARY = 1100
_PREPROCESSOR = {
    "do_resize": True,
    "size": {"shortest_edge": 800, "longest_edge": 1333},
    "do_normalize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
    "resample": 2,
}
# As initialized, all boxes are alike and no word fits better than another.
_NOISE = 0.08


def tiny_grounding_dino(directory: Path, seed: int = 0) -> Path:
    """Write a checkpoint of two and two layers, as a hub repository has it."""
    tiny_grounding_dino_model(seed).save_pretrained(directory)
    (directory / "tokenizer.json").write_bytes(tiny_bert_tokenizer())
    (directory / "preprocessor_config.json").write_text(json.dumps(_PREPROCESSOR))
    return directory


def tiny_grounding_dino_model(seed: int = 0) -> GroundingDinoForObjectDetection:
    """The model alone, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = GroundingDinoForObjectDetection(_config()).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * _NOISE)
    return model


def tiny_bert_tokenizer() -> bytes:
    """WordPiece in BERT's format, special ids where BERT has them."""
    words = [f"[unused{index}]" for index in range(_VOCABULARY)]
    free = (index for index in range(_VOCABULARY) if index not in _SPECIAL.values())
    for index, word in zip(free, _WORDS.split(), strict=False):
        words[index] = word
    for word, index in _SPECIAL.items():
        words[index] = word
    return bert_tokenizer({word: index for index, word in enumerate(words)}, lowercase=True)


def _config() -> GroundingDinoConfig:
    return GroundingDinoConfig(
        backbone_config=SwinConfig(
            image_size=64,
            embed_dim=16,
            depths=[1, 1, 2, 1],  # the third stage also shifts its windows
            num_heads=[1, 2, 2, 4],
            window_size=4,
            out_features=["stage2", "stage3", "stage4"],
        ),
        text_config=BertConfig(
            vocab_size=_VOCABULARY,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=48,
            max_position_embeddings=64,
        ),
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        num_queries=30,
    )
