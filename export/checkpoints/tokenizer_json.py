"""Turns a checkpoint's tokenizer into the one file that a device reads, ``tokenizer.json``."""

import gzip
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from edge.errors import ConfigError, ModelError

_START, _END = "<|startoftext|>", "<|endoftext|>"
_BPE_FILE = "bpe_simple_vocab_16e6.txt.gz"
# Merges that openai/CLIP reads from that file. With 256 bytes, 256 bytes at the end of a word and
# the two special tokens there are 49408 ids.
_MERGES = 49152 - 256 - 2
_CLIP_WORDS = (
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)
# Each of these groups of files is a whole tokenizer.
_FILES = (("tokenizer.json",), ("vocab.json", "merges.txt"), ("vocab.txt",))


def clip_tokenizer(merges: int = _MERGES) -> bytes:
    """Return CLIP's own tokenizer, from the vocabulary inside the package ``open_clip_torch``.

    It normalises text as Hugging Face's CLIP tokenizer does. openai/CLIP and open_clip also repair
    mojibake and resolve HTML entities before that; here ``&amp;`` stays five characters.

    Args:
        merges: Number of merges to take; fewer make the tokenizer of a tiny model.

    Raises:
        ConfigError: The package is not installed.
    """
    letters = list(_byte_letters().values())
    lines = gzip.decompress(_bpe_file().read_bytes()).decode().split("\n")[1 : merges + 1]
    pairs = [(first, second) for first, second in (line.split() for line in lines)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(p) for p in pairs)]
    ids = {word: index for index, word in enumerate([*words, _START, _END])}
    tokenizer = Tokenizer(
        models.BPE(
            vocab=ids,
            merges=pairs,
            continuing_subword_prefix="",
            end_of_word_suffix="</w>",
            unk_token=_END,
        )
    )
    tokenizer.add_special_tokens([AddedToken(t, normalized=False) for t in (_START, _END)])
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_CLIP_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.post_processor = processors.RobertaProcessing(
        (_END, ids[_END]), (_START, ids[_START]), trim_offsets=False, add_prefix_space=False
    )
    return _bytes(tokenizer)


def hf_tokenizer(directory: Path) -> bytes:
    """Return the tokenizer of a checkpoint in Hugging Face's layout, made of any of its files.

    Raises:
        ModelError: The checkpoint has no tokenizer, or ``tokenizer.json`` cannot hold it.
    """
    # Where the vocabulary is missing, transformers would make an empty tokenizer.
    if not any(all((directory / name).is_file() for name in group) for group in _FILES):
        expected = ", ".join(" with ".join(group) for group in _FILES)
        raise ModelError(
            f"{directory}: expected a tokenizer (one of {expected}), found none; copy it from the "
            "repository that the weights came from"
        )
    from transformers import AutoTokenizer  # noqa: PLC0415 - takes seconds and needs torch

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            directory, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, ImportError) as exc:
        raise ModelError(
            f"{directory}: expected a tokenizer that transformers can read, found: {exc}"
        ) from exc
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ModelError(
            f"{directory}: expected a tokenizer that can be written as tokenizer.json, found "
            f"{type(tokenizer).__name__}, which is Python code"
        )
    return _bytes(backend)


def lowercased(tokenizer_json: bytes) -> bytes:
    """Return the tokenizer with lowercasing first, for models trained on lowercase text."""
    document = json.loads(tokenizer_json)
    normalizer = document["normalizer"]
    steps = [normalizer] if normalizer else []
    if normalizer and normalizer["type"] == "Sequence":
        steps = normalizer["normalizers"]
    if not any(step["type"] == "Lowercase" for step in steps):
        steps = [{"type": "Lowercase"}, *steps]
        document["normalizer"] = {"type": "Sequence", "normalizers": steps}
    return json.dumps(document, ensure_ascii=False).encode()


def bert_stand_in(vocabulary: int) -> bytes:
    """Return a tokenizer with BERT's layout and special ids that knows single characters only.

    It is for random weights, which know no words either.

    Args:
        vocabulary: Number of ids in the model's embedding; as many characters get ids as fit.
    """
    words = [f"[unused{index}]" for index in range(vocabulary)]
    # Ids of bert-base. Grounding DINO's captions rely on those of ".", "?", [CLS] and [SEP].
    fixed = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]"}
    fixed |= {1012: ".", 1029: "?"}
    if vocabulary <= max(fixed):
        fixed = dict(enumerate(fixed.values()))
    for index, word in fixed.items():
        words[index] = word
    letters = [chr(code) for code in range(33, 127) if chr(code) not in ".?"]
    free = [index for index in range(vocabulary) if index not in fixed]
    for index, word in zip(free, [*letters, *(f"##{letter}" for letter in letters)], strict=False):
        words[index] = word
    return bert_tokenizer({word: index for index, word in enumerate(words)}, lowercase=True)


def bert_tokenizer(vocabulary: dict[str, int], *, lowercase: bool) -> bytes:
    """Return BERT's tokenizer over ``vocabulary``: [CLS] before and [SEP] after a sentence."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))  # noqa: S106
    tokenizer.add_special_tokens(special)
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")],
    )
    return _bytes(tokenizer)


def gemma_stand_in() -> bytes:
    """Return a tokenizer with Gemma's layout, as SigLIP 2 uses it, that knows single bytes only."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    words = [*special, *(f"<0x{byte:02X}>" for byte in range(256)), "▁"]
    words += [chr(code) for code in range(33, 127)]
    ids = {word: index for index, word in enumerate(words)}
    tokenizer = Tokenizer(
        models.BPE(vocab=ids, merges=[], unk_token="<unk>", fuse_unk=True, byte_fallback=True)  # noqa: S106
    )
    tokenizer.add_special_tokens(special)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Lowercase(), normalizers.Replace(" ", "▁")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <eos>", special_tokens=[("<eos>", ids["<eos>"])]
    )
    return _bytes(tokenizer)


def _bytes(tokenizer: Any) -> bytes:
    text: str = tokenizer.to_str()
    return text.encode()


def _bpe_file() -> Path:
    # Importing the package would import torch and torchvision, only to find a text file.
    found = find_spec("open_clip")
    if found is None or not found.submodule_search_locations:
        raise ConfigError(
            "expected the package open_clip for CLIP's vocabulary, found none; install it with: "
            "pip install open_clip_torch"
        )
    return Path(found.submodule_search_locations[0]) / _BPE_FILE


def _byte_letters() -> dict[int, str]:
    """Return a printable letter for each byte, in the order of CLIP's ids (GPT-2's table)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable}
    return letters | {byte: chr(256 + index) for index, byte in enumerate(others)}
