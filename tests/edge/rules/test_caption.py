"""Phrases into a caption; that the masks are Hugging Face's own is in test_grounding_dino.py."""

import numpy as np
import pytest
from tiny_grounding_dino import tiny_bert_tokenizer
from tokenizers import Tokenizer as HfTokenizer

from edge.errors import ConfigError, ModelError
from edge.model.bundle.manifest import TextSpec
from edge.rules.caption import blocks, split_phrases, write_caption
from edge.rules.text import Tokenizer
from export.checkpoints.tokenizer_json import bert_tokenizer


@pytest.fixture(scope="session")
def spec() -> TextSpec:
    return TextSpec(context_length=24, pad_id=0, templates=("{}",), background=("road",))


@pytest.fixture(scope="session")
def tokenizer(spec: TextSpec) -> Tokenizer:
    return Tokenizer(tiny_bert_tokenizer(), spec)


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("a car. a person.", ["a car", "a person"]),
        ("a car. a person", ["a car", "a person"]),  # the end is repaired
        ("car.person . bus", ["car", "person", "bus"]),
        ("Is there a dog? a cat", ["Is there a dog", "a cat"]),
        ("a 2.5 ton truck. a 3. bus", ["a 2.5 ton truck", "a 3", "bus"]),
        ("a car. a  car. . a\ncar.", ["a car"]),
        (" . ? ", []),
    ],
)
def test_a_caption_as_people_write_it_is_split_into_phrases(text: str, phrases: list[str]) -> None:
    assert split_phrases(text) == phrases


def test_the_ids_are_those_of_the_whole_caption_in_one_piece(
    tokenizer: Tokenizer, spec: TextSpec
) -> None:
    reference = HfTokenizer.from_str(tiny_bert_tokenizer().decode())
    for phrases in (["a car"], ["a Red car", "the dog's cats"], ["bus, big", "roof-rack", "cats"]):
        caption = write_caption(phrases, tokenizer, spec)
        expected = reference.encode(caption.text).ids
        assert caption.text.endswith(".")
        assert caption.input_ids[0][caption.token_mask[0]].tolist() == expected
        assert (caption.input_ids[0][len(expected) :] == 0).all()


def test_a_span_is_a_phrase_without_its_full_stop(tokenizer: Tokenizer, spec: TextSpec) -> None:
    caption = write_caption(["a red car", "dogs"], tokenizer, spec)
    decode = HfTokenizer.from_str(tiny_bert_tokenizer().decode()).id_to_token
    words = [
        [decode(token) for token in caption.input_ids[0, span]] for span in caption.token_spans
    ]
    assert words == [["a", "red", "car"], ["dog", "##s"]]
    assert caption.phrases == ("a red car", "dogs")


def test_tokens_see_their_own_phrase_only_and_count_from_its_beginning(
    tokenizer: Tokenizer, spec: TextSpec
) -> None:
    caption = write_caption(["a car", "dog"], tokenizer, spec)
    seen = caption.block_mask[0, :8, :8].astype(int).tolist()
    assert seen == [
        [1, 0, 0, 0, 0, 0, 0, 0],  # [CLS]
        [0, 1, 1, 1, 0, 0, 0, 0],  # a
        [0, 1, 1, 1, 0, 0, 0, 0],  # car
        [0, 1, 1, 1, 0, 0, 0, 0],  # .
        [0, 0, 0, 0, 1, 1, 0, 0],  # dog
        [0, 0, 0, 0, 1, 1, 0, 0],  # .
        [0, 0, 0, 0, 0, 0, 1, 0],  # [SEP]
        [0, 0, 0, 0, 0, 0, 0, 1],  # filled up
    ]
    assert caption.position_ids[0, :8].tolist() == [0, 0, 1, 2, 0, 1, 0, 0]
    assert caption.token_mask[0].sum() == 7


def test_without_the_last_full_stop_the_words_of_a_phrase_would_not_see_each_other() -> None:
    first, stop, last, a, car = 101, 1012, 102, 5, 9
    repaired, _ = blocks(np.array([first, a, car, stop, last]), [first, stop, last])
    bare, positions = blocks(np.array([first, a, car, last]), [first, stop, last])
    assert repaired[1, 2]
    assert not bare[1, 2]
    assert positions.tolist() == [0, 0, 0, 0]


def test_shapes_and_dtypes_are_what_the_graphs_take(tokenizer: Tokenizer, spec: TextSpec) -> None:
    caption = write_caption(["a car"], tokenizer, spec)
    found = [
        (array.dtype.name, array.shape)
        for array in (
            caption.input_ids, caption.position_ids, caption.token_mask, caption.block_mask,
        )
    ]  # fmt: skip
    assert found == [
        ("int64", (1, 24)),
        ("int64", (1, 24)),
        ("bool", (1, 24)),
        ("bool", (1, 24, 24)),
    ]


def test_a_full_stop_inside_a_phrase_does_not_cut_it_in_two(
    tokenizer: Tokenizer, spec: TextSpec
) -> None:
    caption = write_caption(["a big. red car?", "dog"], tokenizer, spec)
    assert caption.text == "a big red car. dog."
    assert caption.phrases == ("a big. red car?", "dog")
    span = caption.token_spans[0]
    assert caption.block_mask[0, span, span].all()


def test_words_that_look_like_special_tokens_stay_words(
    tokenizer: Tokenizer, spec: TextSpec
) -> None:
    ids = write_caption(["[SEP] car"], tokenizer, spec).input_ids[0]
    assert (ids == 102).sum() == 1


@pytest.mark.parametrize("phrases", [[], [""], ["a car", " "], ["..."]])
def test_no_phrase_is_refused(tokenizer: Tokenizer, spec: TextSpec, phrases: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"expected .*phrase, found"):
        write_caption(phrases, tokenizer, spec)


def test_the_phrase_that_does_not_fit_is_named(tokenizer: Tokenizer, spec: TextSpec) -> None:
    fits = ["a big car"] * 5 + ["a"]  # [CLS], 5 x 4, 2, [SEP]: 24
    assert write_caption(fits, tokenizer, spec).token_mask.all()
    with pytest.raises(ConfigError, match=r"at most 24 tokens.*phrase 'a bus', number 6 of 7"):
        write_caption([*fits[:5], "a bus", "dog"], tokenizer, spec)
    with pytest.raises(ConfigError, match=r"at most 24 tokens.*'dog dog"):
        write_caption([" ".join(["dog"] * 30)], tokenizer, spec)


def test_a_tokenizer_without_a_full_stop_is_refused() -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "car"]
    spec = TextSpec(context_length=8, pad_id=0, templates=("{}",), background=("road",))
    plain = HfTokenizer.from_str(
        bert_tokenizer({word: index for index, word in enumerate(words)}, lowercase=True).decode()
    )
    plain.post_processor = None
    with pytest.raises(ModelError, match=r"\[CLS\] \. \[SEP\]"):
        write_caption(["car"], Tokenizer(plain.to_str().encode(), spec), spec)
