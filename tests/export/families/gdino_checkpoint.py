"""A Grounding DINO small enough for tests, saved by Hugging Face's own code; weights seeded."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    PreTrainedTokenizerFast,
    SwinConfig,
)

# BERT's own ids, which Hugging Face's model has built in: [CLS], [SEP], "." and "?".
SPECIAL = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, ".": 1012, "?": 1029}
WORDS = "a the red blue green big cat dog car bus person bicycle truck with on roof and ' , - rack ##s"
VOCABULARY = 1100


def bert_tokenizer() -> Tokenizer:
    """WordPiece in BERT's format: lower case, the special ids where BERT has them."""
    taken = set(SPECIAL.values())
    free = (token for token in range(VOCABULARY) if token not in taken)
    vocabulary = SPECIAL | dict(zip(WORDS.split(), free, strict=False))
    vocabulary |= {f"[unused{token}]": token for token in free}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 101), ("[SEP]", 102)]
    )
    return tokenizer


def tiny_config() -> GroundingDinoConfig:
    return GroundingDinoConfig(
        backbone_config=SwinConfig(
            image_size=64,
            patch_size=4,
            embed_dim=16,
            depths=[1, 1, 1, 1],
            num_heads=[1, 2, 2, 4],
            window_size=4,
            out_features=["stage2", "stage3", "stage4"],
        ),
        text_config=BertConfig(
            vocab_size=VOCABULARY,
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
        num_queries=20,
        max_text_len=256,
    )


def tiny_model(seed: int = 3) -> GroundingDinoForObjectDetection:
    """Random weights, not so small that every box and every logit is the same."""
    torch.manual_seed(seed)
    model = GroundingDinoForObjectDetection(tiny_config()).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.08)
    return model


def tiny_grounding_dino(directory: Path, seed: int = 3) -> Path:
    """Write config, safetensors and tokenizer as a hub checkout has them."""
    tiny_model(seed).save_pretrained(directory)
    PreTrainedTokenizerFast(
        tokenizer_object=bert_tokenizer(),
        pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
    ).save_pretrained(directory)
    return directory
