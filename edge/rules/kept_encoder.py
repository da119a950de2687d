"""Embeds sentences as the text graph did before: its answers are kept on disk.

Letters in shapes: K texts, L tokens, D embedding.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.rules.text import TextEncoder, TextEncoding, Tokenizer
from edge.system.cache_file import OpenCache

_FORM: Final = "edge-sentence/1"
# What the model gives beside the embedding, by the bits of a record's first byte.
_COVERAGE, _LENGTH = 1, 2


class KeptEncoder:
    """Embeds texts; the text graph is opened only for texts that it has not answered before.

    An answer belongs to the tokens of a text, to the model and to the runtime. Everything that the
    compiler makes of it afterwards is made anew.

    Args:
        cache: Answers so far.
        tokenizer: Tokenizer of the bundle.
        facts: Everything else that decides an answer: model, runtime and device.
        open_encoder: Opens the text graph, and returns the same encoder when called again.
    """

    def __init__(
        self,
        cache: OpenCache,
        tokenizer: Tokenizer,
        facts: Sequence[str],
        open_encoder: Callable[[], TextEncoder],
    ) -> None:
        self._cache = cache
        self._tokenizer = tokenizer
        self._facts = json.dumps([_FORM, *facts]).encode()
        self._open_encoder = open_encoder

    def encode(self, texts: Sequence[str]) -> TextEncoding:
        """Embed K texts as ``TextEncoder.encode`` does, without words."""
        keys = [self._key(ids) for ids in self._tokenizer.encode(texts)]
        found = {key: self._cache.read(key) for key in dict.fromkeys(keys)}
        missing = [key for key, record in found.items() if record is None]
        if missing:
            fresh = self._open_encoder().encode([texts[keys.index(key)] for key in missing])
            for key, made in zip(missing, _records(fresh), strict=True):
                self._cache.write(key, made)
                found[key] = made
        return _encoding([record for key in keys if (record := found[key]) is not None])

    def words(self, texts: Sequence[str]) -> NDArray[np.float32] | None:
        """Return the words of K texts as ``TextEncoder.words`` does; they are not kept."""
        return self._open_encoder().words(texts)

    def _key(self, ids: NDArray[np.int64]) -> bytes:
        return hashlib.sha256(self._facts + ids.astype("<i8").tobytes()).digest()


def _records(encoding: TextEncoding) -> list[bytes]:
    """One record for each text: what it has, then float32 coverage, length, embedding."""
    extras = [(_COVERAGE, encoding.coverage), (_LENGTH, encoding.lengths)]
    kind = sum(bit for bit, values in extras if values is not None)
    columns = [values[:, np.newaxis] for _, values in extras if values is not None]
    rows = np.concatenate([*columns, encoding.embeddings], axis=1).astype("<f4")
    return [bytes([kind]) + row.tobytes() for row in rows]


def _encoding(records: Sequence[bytes]) -> TextEncoding:
    kind = records[0][0]
    columns = np.stack([np.frombuffer(record, "<f4", offset=1) for record in records])
    extras: list[NDArray[np.float32] | None] = []
    for bit in (_COVERAGE, _LENGTH):
        if kind & bit:
            extras.append(columns[:, 0])
            columns = columns[:, 1:]
        else:
            extras.append(None)
    coverage, lengths = extras
    return TextEncoding(columns, coverage, lengths)
