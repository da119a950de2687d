"""Tokenizers: the device reads every family's file as the original's own tokenizer reads text."""

import json
import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from open_clip import SimpleTokenizer
from tokenizers import Tokenizer as HfTokenizer
from tokenizers import models, normalizers, pre_tokenizers, trainers
from transformers import BertTokenizerFast, CLIPTokenizer, Siglip2Tokenizer

from edge.errors import ModelError
from edge.model.bundle.manifest import TextSpec
from edge.rules.text import Tokenizer
from export.checkpoints.tokenizer_json import (
    bert_stand_in,
    bert_tokenizer,
    clip_tokenizer,
    gemma_stand_in,
    hf_tokenizer,
    lowercased,
)

CORPUS = [
    "a person climbs over the fence at night",
    "two people leave the parking lot in a red car",
    "человек перелезает через забор",
    "一个人爬过围栏 两辆红色的汽车",
    "사람이 울타리를 넘는다",
    "ένας άνθρωπος", "رجل يتسلق السياج", "naïve café, über-große Straße",
]  # fmt: skip
ODD = [
    "A Person's DOG, isn't it?",
    "  two  spaces\tand a tab\nand a line ",
    "3 cars at 12:30, 100% of €5",
    "fire 🔥!!! (x) [y] {z} __init__ a_b",
    "don't they're we've I'm he'll she'd IT'S 'S",
    "e\u0301 \u00a0 x² ①② ⅷ İstanbul ẞ ﬁ \uff26\uff35",
    "日本語のテキスト 한국어 문장 مرحبا بالعالم",
    "...", "!", "a", "'", "é", "▁", "a▁b",
]  # fmt: skip


def sentences(count: int, seed: int) -> Iterator[str]:
    """Words of the corpus, joined every way that people and typing errors join them."""
    rng = random.Random(seed)
    words = [*" ".join(CORPUS).split(), "can't", "3pm", "42", "CCTV", "x-ray"]
    for _ in range(count):
        picked = (rng.choice(words) for _ in range(rng.randint(1, 10)))
        yield "".join(word + rng.choice([" ", ", ", "  ", "-", "'", ".", "! "]) for word in picked)


TEXTS = CORPUS + ODD + list(sentences(300, seed=0))


CLIP = clip_tokenizer()


@cache
def opened(tokenizer_json: bytes) -> Tokenizer:
    spec = TextSpec(context_length=400, pad_id=0, templates=("{}",), background=("x",))
    return Tokenizer(tokenizer_json, spec)


def on_device(tokenizer_json: bytes, text: str) -> list[int]:
    return opened(tokenizer_json)._ids(text)


def device_ids(tokenizer_json: bytes, texts: list[str] = TEXTS) -> dict[str, list[int]]:
    return {text: on_device(tokenizer_json, text) for text in texts}


def trained_bert(*, lowercase: bool) -> dict[str, int]:
    tokenizer = HfTokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(
        CORPUS, trainers.WordPieceTrainer(vocab_size=400, special_tokens=special)
    )
    return tokenizer.get_vocab()


def trained_gemma() -> tuple[dict[str, int], list[tuple[str, str]]]:
    tokenizer = HfTokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    special += [f"<0x{byte:02X}>" for byte in range(256)]
    tokenizer.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=700, special_tokens=special)
    )
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(pair) for pair in model["merges"]]


def test_clips_ids_on_the_device_are_those_of_transformers() -> None:
    document = json.loads(CLIP)["model"]
    reference = CLIPTokenizer(
        vocab=document["vocab"], merges=[tuple(m) for m in document["merges"]]
    )
    assert (reference.bos_token_id, reference.eos_token_id) == (49406, 49407)
    assert device_ids(CLIP) == {t: reference(t)["input_ids"] for t in TEXTS}


def test_clips_ids_on_the_device_are_those_of_open_clip() -> None:
    reference = SimpleTokenizer()
    # Ligatures and full-width letters are taken apart by ftfy, which open_clip calls first.
    texts = [text for text in TEXTS if "ﬁ" not in text]
    expected = {text: [49406, *reference.encode(text), 49407] for text in texts}
    assert device_ids(CLIP, texts) == expected


def test_html_is_text_on_the_device_and_markup_for_open_clip() -> None:
    """The limit that the module names: whoever writes &amp; in a prompt gets what is written."""
    assert on_device(CLIP, "a &amp; b") != on_device(CLIP, "a & b")
    assert SimpleTokenizer().encode("a &amp; b") == SimpleTokenizer().encode("a & b")


def test_words_like_special_tokens_stay_words() -> None:
    ids = on_device(CLIP, "<|endoftext|> inside")
    assert ids.count(49407) == 1
    assert ids[-1] == 49407


@pytest.mark.parametrize("lowercase", [True, False], ids=["chinese", "multilingual cased"])
def test_berts_ids_on_the_device_are_those_of_transformers(lowercase: bool) -> None:
    vocabulary = trained_bert(lowercase=lowercase)
    reference = BertTokenizerFast(vocab=vocabulary, do_lower_case=lowercase)
    document = reference.backend_tokenizer.to_str().encode()
    expected = {text: reference(text)["input_ids"] for text in TEXTS}
    assert device_ids(document) == expected
    assert device_ids(bert_tokenizer(vocabulary, lowercase=lowercase)) == expected
    capitals = [on_device(document, text) for text in ("a FENCE", "a fence")]
    assert (capitals[0] == capitals[1]) == lowercase


def test_siglip_2s_ids_on_the_device_are_those_of_transformers() -> None:
    vocabulary, merges = trained_gemma()
    reference = Siglip2Tokenizer(
        vocab=vocabulary, merges=merges, add_bos_token=False, add_eos_token=True
    )
    expected = {text: reference(text)["input_ids"] for text in TEXTS}
    assert {ids[-1] for ids in expected.values()} == {1}
    document = reference.backend_tokenizer.to_str().encode()
    assert device_ids(document) == expected
    # A file saved as plain Gemma's does not make letters small; SigLIP 2 saw no others.
    plain = json.loads(document)
    plain["normalizer"] = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    cased = json.dumps(plain).encode()
    assert on_device(cased, "A FENCE") != on_device(cased, "a fence")
    assert device_ids(lowercased(cased)) == expected
    assert json.loads(lowercased(document)) == json.loads(document)


def test_stand_ins_keep_the_special_ids_and_tell_sentences_apart() -> None:
    bert = bert_stand_in(30522)
    assert on_device(bert, ".?") == [101, 1012, 1029, 102]
    assert on_device(bert, "a dog") != on_device(bert, "a cat")
    assert 100 not in on_device(bert, "the quick brown fox jumps over a lazy dog, 42!")
    gemma = gemma_stand_in()
    assert on_device(gemma, "A dog") == on_device(gemma, "a dog") != on_device(gemma, "a cat")
    assert on_device(gemma, "é")[-1] == 1


@pytest.mark.parametrize("kind", ["vocab.txt", "vocab.json and merges.txt", "tokenizer.json"])
def test_every_layout_of_a_tokenizer_becomes_one_file(tmp_path: Path, kind: str) -> None:
    if kind == "vocab.txt":
        expected = bert_tokenizer(ids := trained_bert(lowercase=True), lowercase=True)
        (tmp_path / kind).write_text("\n".join(sorted(ids, key=ids.__getitem__)), encoding="utf-8")
        settings = {"tokenizer_class": "BertTokenizer"}
    else:
        expected = clip_tokenizer(1000)
        settings = {"tokenizer_class": "CLIPTokenizer"}
        model = json.loads(expected)["model"]
        if kind == "tokenizer.json":
            (tmp_path / kind).write_bytes(expected)
        else:
            (tmp_path / "vocab.json").write_text(json.dumps(model["vocab"]))
            lines = ["#version: 0.2", *(" ".join(pair) for pair in model["merges"])]
            (tmp_path / "merges.txt").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    assert device_ids(hf_tokenizer(tmp_path)) == device_ids(expected)


def test_a_missing_tokenizer_is_named_and_not_made_up(tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "CLIPTokenizer"}')
    (tmp_path / "vocab.json").write_text("{}")  # without its merges
    with pytest.raises(ModelError, match=r"expected a tokenizer \(one of tokenizer.json"):
        hf_tokenizer(tmp_path)


def test_a_broken_tokenizer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text('{"model": 1}')
    with pytest.raises(ModelError, match="expected a tokenizer that transformers can read"):
        hf_tokenizer(tmp_path)
