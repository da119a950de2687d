"""Encodes captions as the text graph did before: its answers are kept on disk.

Letters in shapes: L tokens, E features of a token.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import cache
from typing import Final

import numpy as np

from edge.model.engines.base import Engine
from edge.rules.caption import Caption
from edge.scoring.grounding import EncodedCaption, ask
from edge.system.attempts import NOT_NOTED, Attempts
from edge.system.cache_file import CacheFile

_FORM: Final = "edge-caption/1"


class CaptionEncoder:
    """Encodes captions; the text graph is opened only for captions that it has not answered before.

    An answer belongs to everything that the graph is given (tokens, positions and blocks), to the
    model and to the runtime.

    Args:
        open_text: Opens the text graph for as long as it is needed.
        facts: Everything else that decides an answer: model, runtime and device.
        kept: Answers so far; None keeps nothing.
        attempts: Notes each caption while it is encoded.
    """

    def __init__(
        self,
        open_text: Callable[[], AbstractContextManager[Engine]],
        facts: Sequence[str] = (),
        kept: CacheFile | None = None,
        attempts: Attempts = NOT_NOTED,
    ) -> None:
        self._open_text = open_text
        self._facts = json.dumps([_FORM, *facts]).encode()
        self._kept = kept
        self._attempts = attempts

    def __call__(self, captions: Sequence[Caption]) -> list[EncodedCaption]:
        """Encode captions.

        Raises:
            Ended: The daemon is asked to end.
            ModelError: The text graph cannot be opened.
            InferenceError: The engine failed, or gave numbers that are not finite.
        """
        with ExitStack() as stack:
            text = cache(lambda: stack.enter_context(self._open_text()))
            if self._kept is None:
                return [ask(text(), caption) for caption in captions]
            encoded = list[EncodedCaption]()
            answers = stack.enter_context(self._kept.opened())
            for caption in captions:
                key = self._key(caption)
                record = answers.read(key)
                if record is None:
                    part, advice = "the caption of all phrases", "change the newest rules"
                    with self._attempts.trying(part, key.hex(), advice):
                        fresh = ask(text(), caption)
                    record = fresh.features.astype("<f4").tobytes()
                    answers.write(key, record)
                features = np.frombuffer(record, "<f4").copy()
                shape = 1, caption.input_ids.size, -1
                encoded.append(EncodedCaption(caption, features.reshape(shape)))
            return encoded

    def _key(self, caption: Caption) -> bytes:
        digest = hashlib.sha256(self._facts)
        for ids in (caption.input_ids, caption.position_ids):
            digest.update(ids.astype("<i8").tobytes())
        digest.update(caption.block_mask.tobytes())
        return digest.digest()
