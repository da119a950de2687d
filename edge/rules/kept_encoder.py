"""Embeds sentences as the text graph did before: its answers are kept on disk.

Letters in shapes: K texts, L tokens, D embedding.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.rules.text import TextEncoder, TextEncoding, Tokenizer
from edge.system import systemd
from edge.system.attempts import NOT_NOTED, Attempts
from edge.system.cache_file import OpenCache

logger = logging.getLogger(__name__)

_FORM: Final = "edge-sentence/1"
# What the model gives beside the embedding, by the bits of a record's first byte.
_COVERAGE, _LENGTH = 1, 2
# In the key of a record of words; that of an embedding has nothing there.
_WORDS: Final = b"words"
# Texts whose words are computed and kept together: an end or a kill loses the words of at most so
# many.
_AT_ONCE: Final = 32
# systemd waits for a start so much longer with each report.
_EXTENSION_S: Final = 60


class KeptEncoder:
    """Embeds texts; the text graph is opened only for texts that it has not answered before.

    An answer belongs to the tokens of a text, to the model and to the runtime. Everything that the
    compiler makes of it afterwards is made anew.

    Args:
        cache: Answers so far.
        tokenizer: Tokenizer of the bundle.
        facts: Everything else that decides an answer: model, runtime and device.
        open_encoder: Opens the text graph, and returns the same encoder when called again.
        attempts: Notes each sentence while it is embedded.
        report_s: Seconds between two reports of long work.
    """

    def __init__(
        self,
        cache: OpenCache,
        tokenizer: Tokenizer,
        facts: Sequence[str],
        open_encoder: Callable[[], TextEncoder],
        *,
        attempts: Attempts = NOT_NOTED,
        report_s: float = 5.0,
    ) -> None:
        self._cache = cache
        self._tokenizer = tokenizer
        self._facts = json.dumps([_FORM, *facts]).encode()
        self._open_encoder = open_encoder
        self._attempts = attempts
        self._report_s = report_s
        self._reported_at = time.monotonic()
        self._computed = 0

    def encode(self, texts: Sequence[str]) -> TextEncoding:
        """Embed K texts as ``TextEncoder.encode`` does, without words."""
        keys = [self._key(ids) for ids in self._tokenizer.encode(texts)]
        found = {key: self._cache.read(key) for key in dict.fromkeys(keys)}
        missing = [key for key, record in found.items() if record is None]
        if missing:
            new = [texts[keys.index(key)] for key in missing]
            with self._trying(new, missing):
                fresh = self._open_encoder().encode(new)
            for key, made in zip(missing, _records(fresh), strict=True):
                self._cache.write(key, made)
                found[key] = made
            self._report(1)
        return _encoding([record for key in keys if (record := found[key]) is not None])

    def words(self, texts: Sequence[str]) -> NDArray[np.float32] | None:
        """Return the words of K texts as ``TextEncoder.words`` does."""
        ids = self._tokenizer.encode(texts)
        keys = [self._key(row, _WORDS) for row in ids]
        found = {key: self._cache.read(key) for key in dict.fromkeys(keys)}
        missing = [key for key, record in found.items() if record is None]
        for start in range(0, len(missing), _AT_ONCE):
            some = missing[start : start + _AT_ONCE]
            new = [texts[keys.index(key)] for key in some]
            with self._trying(new, some):
                fresh = self._open_encoder().words(new)
            for row, key in enumerate(some):
                record = b"" if fresh is None else _word_record(fresh[row])
                self._cache.write(key, record)
                found[key] = record
            self._report(len(some))
        return _padded([found[key] or b"" for key in keys], ids.shape[1])

    def _trying(
        self, texts: Sequence[str], keys: Sequence[bytes]
    ) -> AbstractContextManager[object]:
        part = f"the sentence {texts[0]!r}"
        return self._attempts.trying(part, b"".join(keys).hex(), "put it in other words")

    def _report(self, computed: int) -> None:
        """Report long work to the log and to systemd, from time to time."""
        self._computed += computed
        now = time.monotonic()
        if now - self._reported_at >= self._report_s:
            self._reported_at = now
            logger.info("compiling: %d new sentences are done", self._computed)
            systemd.notify(
                f"STATUS=compiling: {self._computed} new sentences are done\n"
                f"EXTEND_TIMEOUT_USEC={_EXTENSION_S * 1_000_000}"
            )

    def _key(self, ids: NDArray[np.int64], what: bytes = b"") -> bytes:
        return hashlib.sha256(self._facts + what + ids.astype("<i8").tobytes()).digest()


def _records(encoding: TextEncoding) -> list[bytes]:
    """One record for each text: what it has, then float32 coverage, length, embedding."""
    extras = [(_COVERAGE, encoding.coverage), (_LENGTH, encoding.lengths)]
    kind = sum(bit for bit, values in extras if values is not None)
    columns = [values[:, np.newaxis] for _, values in extras if values is not None]
    rows = np.concatenate([*columns, encoding.embeddings], axis=1).astype("<f4")
    return [bytes([kind]) + row.tobytes() for row in rows]


def _word_record(words: NDArray[np.float32]) -> bytes:
    """The rows of a text's words [L, D] up to the last one: their number, then float32."""
    (rows,) = np.nonzero(words.any(axis=1))
    count = 0 if not len(rows) else int(rows[-1]) + 1
    return count.to_bytes(2, "little") + words[:count].astype("<f4").tobytes()


def _padded(records: Sequence[bytes], length: int) -> NDArray[np.float32] | None:
    """Words [K, L, D] of K records, L being ``length``; None where the model gives none."""
    if not all(records):
        return None
    rows = [np.frombuffer(record, "<f4", offset=2) for record in records]
    counts = [int.from_bytes(record[:2], "little") for record in records]
    width = max(row.size // max(count, 1) for row, count in zip(rows, counts, strict=True))
    words = np.zeros((len(records), length, width), np.float32)
    for text, (row, count) in zip(words, zip(rows, counts, strict=True), strict=True):
        text[:count] = row.reshape(count, width)
    return words


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
