"""Scores for class P: picture and sentences together; a sentence scores as high as its best box."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.model.bundle.manifest import TextSpec
from edge.model.engines.base import Engine
from edge.rules.bank import PromptBank
from edge.rules.caption import write_caption
from edge.rules.text import Tokenizer
from edge.scoring.boxes import phrase_scores
from edge.scoring.captions import CaptionEncoder
from edge.scoring.grounding import EncodedCaption, answer
from edge.scoring.scorers.base import Scored
from edge.video.sample import Sample


class DetectScorer:
    """Scores sentences 0..1, by the detector's own measure.

    Args:
        engine: Engine of the ``detector`` graph.
        encode: Runs the ``text`` graph.
        tokenizer: Tokenizer of the bundle.
        spec: Text facts of the bundle.
    """

    def __init__(
        self,
        engine: Engine,
        encode: CaptionEncoder,
        tokenizer: Tokenizer,
        spec: TextSpec,
    ) -> None:
        self._engine = engine
        self._encode = encode
        self._tokenizer = tokenizer
        self._spec = spec
        self._questions: dict[tuple[str, ...], EncodedCaption] = {}

    def prepare(self, sentences: Sequence[str]) -> EncodedCaption:
        """Run the text graph for the sentences of a bank, unless it ran for them before.

        ``score`` does this by itself. Call it early, while a mistake can still be reported.

        Raises:
            ConfigError: A sentence is blank, or there are more than the model reads at once.
            ModelError: The text graph cannot be opened.
            InferenceError: The engine failed.
        """
        wanted = tuple(sentences)
        question = self._questions.get(wanted)
        if question is None:
            # Prompts may share a sentence; each phrase stands in the caption once.
            phrases = tuple(dict.fromkeys(wanted))
            caption = write_caption(phrases, self._tokenizer, self._spec)
            (question,) = self._encode([caption])
            # Another thread may prepare the next bank while samples are still scored with this one,
            # so the question before the new one is kept.
            newest = list(self._questions.items())[-1:]
            self._questions = dict([*newest, (wanted, question)])
        return question

    def score(self, samples: Sequence[Sample], bank: PromptBank) -> list[Scored | None]:
        question = self.prepare(bank.sentences)
        order = [question.caption.phrases.index(sentence) for sentence in bank.sentences]
        return [Scored(self._best(question, sample)[order], None) for sample in samples]

    def _best(self, question: EncodedCaption, sample: Sample) -> NDArray[np.float32]:
        """Score of each phrase's best box in the picture, float32 [phrases]."""
        logits, _ = answer(self._engine, question, sample.pixels)
        best: NDArray[np.float32] = phrase_scores(logits, question.caption.token_spans).max(axis=0)
        return best
