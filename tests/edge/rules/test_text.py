import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
from present import present

from edge.errors import ConfigError, ModelError
from edge.model.bundle.manifest import TextSpec
from edge.model.bundle.read import open_bundle
from edge.model.engines.base import TensorSpec
from edge.rules.text import TextEncoder, Tokenizer, unit_rows


def test_a_row_is_the_tokens_and_then_padding_up_to_the_context_length(
    tokenizer_json: bytes, spec: TextSpec, token_ids: dict[str, int]
) -> None:
    rows = Tokenizer(tokenizer_json, spec).encode(["a dog", "the red car"])

    words = [[token_ids[word] for word in text.split()] for text in ("a dog", "the red car")]
    expected = [[2, *ids, 3] + [0] * (10 - len(ids)) for ids in words]
    assert rows.dtype == np.int64
    assert rows.tolist() == expected


def test_a_sentence_that_just_fits_is_taken_and_one_more_word_is_refused_not_cut(
    tokenizer_json: bytes, spec: TextSpec
) -> None:
    tokenizer = Tokenizer(tokenizer_json, spec)

    assert (tokenizer.encode(["dog " * 10]) > 0).all()
    with pytest.raises(ConfigError, match="at most 12 tokens, found 13 in 'dog dog"):
        tokenizer.encode(["a dog", "dog " * 11])


@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
def test_a_blank_text_is_refused(tokenizer_json: bytes, spec: TextSpec, text: str) -> None:
    with pytest.raises(ConfigError, match="expected a sentence"):
        Tokenizer(tokenizer_json, spec).encode([text])


def test_half_a_surrogate_pair_is_refused_with_a_message_that_can_be_printed(
    tokenizer_json: bytes, spec: TextSpec
) -> None:
    with pytest.raises(ConfigError, match="Unicode") as caught:
        Tokenizer(tokenizer_json, spec).encode(["a \ud800 dog"])
    str(caught.value).encode()


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\x00", b'{"version": "1.0"}', b"[" * 9999])
def test_bytes_that_are_no_tokenizer_are_a_model_error(content: bytes, spec: TextSpec) -> None:
    with pytest.raises(ModelError, match=r"tokenizer\.json"):
        Tokenizer(content, spec)


def test_embeddings_are_unit_rows_in_the_order_of_the_texts(encoder: TextEncoder) -> None:
    both = encoder.encode(["a dog", "red car"]).embeddings

    assert both.dtype == np.float32
    assert np.linalg.norm(both, axis=1) == pytest.approx([1, 1], abs=1e-6)
    assert both[1].tolist() == encoder.encode(["red car"]).embeddings[0].tolist()
    assert both[0] @ both[1] < 0.9


@pytest.mark.parametrize("batch", [1, 2, 3, 7])
def test_a_graph_with_a_fixed_batch_gives_what_a_dynamic_one_gives(
    encoder_of: Callable[..., TextEncoder], batch: int
) -> None:
    texts = ["a dog", "red car", "the fence", "empty street", "a cat"]

    fixed = encoder_of(batch, coverage=True).encode(texts)
    dynamic = encoder_of(coverage=True).encode(texts)

    assert fixed.embeddings.tolist() == dynamic.embeddings.tolist()
    assert present(fixed.coverage).tolist() == present(dynamic.coverage).tolist()


def test_a_graph_without_the_output_coverage_has_none(encoder: TextEncoder) -> None:
    assert encoder.encode(["a dog"]).coverage is None


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ([("pixels", (1, 12))], ["embedding"]),
        ([("input_ids", (1, 12)), ("mask", (1, 12))], ["embedding"]),
        ([("input_ids", (1, 77))], ["embedding"]),
        ([("input_ids", (12,))], ["embedding"]),
        ([("input_ids", (1, 12))], ["logits"]),
    ],
)
def test_a_graph_that_is_no_text_tower_is_a_model_error(
    encoder_of: Callable[..., TextEncoder],
    tokenizer_json: bytes,
    spec: TextSpec,
    inputs: list[tuple[str, tuple[int, ...]]],
    outputs: list[str],
) -> None:
    engine = encoder_of()._engine
    engine.inputs = tuple(TensorSpec(name, "int64", shape) for name, shape in inputs)
    engine.outputs = tuple(TensorSpec(name, "float32", (1, 16)) for name in outputs)
    with pytest.raises(ModelError, match="expected a text graph"):
        TextEncoder(engine, Tokenizer(tokenizer_json, spec), spec)


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_a_vector_that_points_nowhere_is_a_model_error(bad: float) -> None:
    with pytest.raises(ModelError, match="direction"):
        unit_rows(np.array([[1.0, 0.0], [bad, 0.0]]))


SENTENCES = [
    "a person climbs the fence",
    "Someone's dog, off its leash!",
    "un piéton près de la clôture",
    "Ein Mann klettert über den Zaun.",
    "一个人爬过围栏",
    "사람이 담을 넘는다",
    "человек лезет через забор",
    "a 2.5-ton truck (white) @ gate #3 & 50% load",
    "tokenization   of\tunusual\nspacing",
    "supercalifragilisticexpialidocious",
    "🚒 at the gate",
]


@pytest.mark.bundle
def test_token_ids_are_those_of_the_reference_tokenizer(concepts_bundle: Path) -> None:
    """The reference is Hugging Face's own, which the device does without (ADR on tokenizers)."""
    bundle = open_bundle(concepts_bundle)
    reference = tokenizers.Tokenizer.from_buffer(bundle.tokenizer())
    reference.no_padding()
    reference.no_truncation()
    spec = bundle.manifest.text
    texts = [*SENTENCES, *(axis.removeprefix("imagenet:") for axis in present(bundle.axes()))]
    rows = Tokenizer(bundle.tokenizer(), spec).encode(texts)
    for text, row in zip(texts, rows.tolist(), strict=True):
        ids = reference.encode(text).ids
        assert row == ids + [spec.pad_id] * (spec.context_length - len(ids)), text


def test_words_that_look_like_special_tokens_stay_words(
    tokenizer_json: bytes, spec: TextSpec
) -> None:
    (row,) = Tokenizer(tokenizer_json, spec).encode(["a [SEP] dog"]).tolist()
    assert row.count(3) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"vocab": {}},
        {"continuing_subword_prefix": ""},
        {"continuing_subword_prefix": "", "type": None},
    ],
)
def test_what_would_end_the_process_is_refused(
    tokenizer_json: bytes, spec: TextSpec, change: dict[str, Any]
) -> None:
    """Its library aborts on such a file, which nothing can catch."""
    document = json.loads(tokenizer_json)
    model = document["model"] | {"type": "WordPiece"} | change
    with pytest.raises(ModelError, match=r"no (vocabulary|continuing)"):
        Tokenizer(json.dumps(document | {"model": model}).encode(), spec)


def test_an_unknown_post_processor_is_refused(tokenizer_json: bytes, spec: TextSpec) -> None:
    document = json.loads(tokenizer_json) | {"post_processor": {"type": "Surprise"}}
    with pytest.raises(ModelError, match="Surprise"):
        Tokenizer(json.dumps(document).encode(), spec)


@pytest.mark.parametrize("token", ["a", 2**63, -1, 1.5, True, None])
def test_special_tokens_without_ids_are_refused(
    tokenizer_json: bytes, spec: TextSpec, token: object
) -> None:
    frame = {"type": "BertProcessing", "cls": ["[CLS]", token], "sep": ["[SEP]", 3]}
    document = json.loads(tokenizer_json) | {"post_processor": frame}
    with pytest.raises(ModelError, match="other ids"):
        Tokenizer(json.dumps(document).encode(), spec)


@pytest.mark.parametrize(
    ("post_processor", "expected"),
    [
        (None, ([], [])),
        ({"type": "ByteLevel", "add_prefix_space": True}, ([], [])),
        ({"type": "RobertaProcessing", "sep": ["</s>", 7], "cls": ["<s>", 6]}, ([6], [7])),
        ({"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}, ([2], [3])),
        (
            {
                "type": "TemplateProcessing",
                "single": [{"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "</s>"}}],
                "special_tokens": {"</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}},
            },
            ([], [1]),
        ),
    ],
)
def test_special_tokens_stand_where_each_kind_of_file_puts_them(
    tokenizer_json: bytes,
    spec: TextSpec,
    post_processor: dict[str, Any] | None,
    expected: tuple[list[int], list[int]],
) -> None:
    document = json.loads(tokenizer_json) | {"post_processor": post_processor}
    first, last = expected
    (row,) = Tokenizer(json.dumps(document).encode(), spec).encode(["dog"]).tolist()
    assert row[: len(first)] == first
    assert [number for number in row[len(first) + 1 :] if number != spec.pad_id] == last
