"""Writes phrases into the caption that Grounding DINO reads, and makes the masks for it.

The caption is "a car. a person.": lower case, each phrase closed by a full stop. A block is what
lies between two delimiters; a token attends only to its own block, so that in the text graph no
phrase changes the features of another. The model takes the masks as inputs.

Letters in shapes: L tokens.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.errors import ConfigError, ModelError
from edge.model.bundle.manifest import TextSpec
from edge.rules.text import Tokenizer

# A full stop or question mark that is not part of a number such as "2.5".
_END: Final = re.compile(r"(?<!\d)[.?]|[.?](?!\d)")
_DELIMITER: Final = re.compile(r"[.?]")


@dataclass(frozen=True, slots=True, eq=False)
class Caption:
    """One caption, ready for the graphs.

    Attributes:
        phrases: Phrases as they were given; the index of a phrase is its class.
        text: The caption as text.
        token_spans: Positions of each phrase's tokens, without the full stop that closes it.
        input_ids: int64 [1, L]: ids of the tokens.
        position_ids: int64 [1, L]: position of each token in its block, from zero.
        token_mask: bool [1, L]: false where the row is padding.
        block_mask: bool [1, L, L]: whether the token of a row attends to the token of a column.
    """

    phrases: tuple[str, ...]
    text: str
    token_spans: tuple[slice, ...]
    input_ids: NDArray[np.int64]
    position_ids: NDArray[np.int64]
    token_mask: NDArray[np.bool_]
    block_mask: NDArray[np.bool_]


def split_phrases(text: str) -> list[str]:
    """Split a caption as people write it into its phrases, each once.

    "A car. a person" has two.
    """
    phrases = (" ".join(phrase.split()) for phrase in _END.split(text))
    return list(dict.fromkeys(phrase for phrase in phrases if phrase))


def write_caption(phrases: Sequence[str], tokenizer: Tokenizer, spec: TextSpec) -> Caption:
    """Put phrases into one caption.

    A full stop or question mark inside a phrase would cut it in two; it is read as a space.

    Args:
        phrases: Phrases to look for.
        tokenizer: Tokenizer of the bundle.
        spec: Text facts of the bundle; they say how many tokens the graphs take.

    Raises:
        ConfigError: There is no phrase, a blank one, or more than the graphs take.
        ModelError: The tokenizer is not of BERT's kind.
    """
    if not phrases:
        raise ConfigError("expected at least one phrase, found none: say what to look for")
    first, stop, last = _specials(tokenizer, spec)
    bare = [_bare(phrase) for phrase in phrases]
    ids, spans = [first], list[slice]()
    for phrase, words in zip(phrases, bare, strict=True):
        tokens = _tokens(words, tokenizer, spec)
        end = len(ids) + len(tokens)
        if end + 2 > spec.context_length:  # the phrase's full stop, and what ends the caption
            raise ConfigError(
                f"expected a caption of at most {spec.context_length} tokens, found no room for "
                f"the phrase {phrase!r}, number {len(spans) + 1} of {len(phrases)}: ask for fewer "
                "or shorter phrases"
            )
        spans.append(slice(len(ids), end))
        ids += [*tokens, stop]
    ids.append(last)
    row = np.full(spec.context_length, spec.pad_id, np.int64)
    row[: len(ids)] = ids
    block_mask, position_ids = blocks(row, (first, stop, last))
    return Caption(
        phrases=tuple(phrases),
        text=" ".join(f"{words}." for words in bare),
        token_spans=tuple(spans),
        input_ids=row[np.newaxis],
        position_ids=position_ids[np.newaxis],
        token_mask=(np.arange(len(row)) < len(ids))[np.newaxis],
        block_mask=block_mask[np.newaxis],
    )


def blocks(
    ids: NDArray[np.int64], delimiters: Sequence[int]
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Find the blocks of a caption.

    A delimiter belongs to the block that it closes. The tokens that the first or the very last
    token would close form no block: each of them sees only itself.

    Args:
        ids: int64 [L].
        delimiters: Token ids that close a block.

    Returns:
        Which tokens see each other, bool [L, L], and the position of each in its block, int64 [L].
    """
    length = len(ids)
    index = np.arange(length)
    closes = np.isin(ids, delimiters)
    closing = np.minimum.accumulate(np.where(closes, index, length)[::-1])[::-1]
    before = np.maximum.accumulate(np.where(closes, index, -1))
    opening = np.concatenate([[-1], before[:-1]])
    inside = (closing > 0) & (closing < length - 1)
    same = closing[:, np.newaxis] == closing  # [L, L]
    mask: NDArray[np.bool_] = (same & inside) | np.eye(length, dtype=bool)
    return mask, np.where(inside, index - opening - 1, 0).astype(np.int64)


def _specials(tokenizer: Tokenizer, spec: TextSpec) -> tuple[int, int, int]:
    """Ids of the token that begins a caption, of the full stop, and of the token that ends it."""
    row = tokenizer.encode(["."])[0]
    found = row[row != spec.pad_id].tolist()
    if len(set(found)) != 3:
        raise ModelError(
            "expected a tokenizer that makes three tokens of a full stop, [CLS] . [SEP], found "
            f"{found}: build the bundle again"
        )
    first, stop, last = found
    return first, stop, last


def _bare(phrase: str) -> str:
    words = " ".join(_DELIMITER.sub(" ", phrase).lower().split())
    if not words:
        raise ConfigError(f"expected a phrase, found {phrase!r}: say what to look for")
    return words


def _tokens(words: str, tokenizer: Tokenizer, spec: TextSpec) -> list[int]:
    row = tokenizer.encode([words])[0]
    tokens: list[int] = row[row != spec.pad_id].tolist()[1:-1]
    if not tokens:
        raise ConfigError(f"expected a phrase, found {words!r}, which has no words")
    return tokens
