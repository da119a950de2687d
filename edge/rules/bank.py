"""Holds compiled prompts: a matrix with a row for each sentence, and where each prompt lies in it.

``edge.rules.compiler`` makes a bank of sentences; scorers and alerts only read it.

Letters in shapes: K rows of the bank, D embedding, L tokens, P prompts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.rules.temporal.pools import Words


@dataclass(frozen=True, slots=True)
class Note:
    """Something that the author of a prompt should know; ``str`` gives the whole sentence.

    Attributes:
        prompt: Name of the prompt.
        text: Text of the note.
    """

    prompt: str
    text: str

    def __str__(self) -> str:
        return f"prompt {self.prompt!r}: {self.text}"


@dataclass(frozen=True, slots=True, eq=False)
class CompiledPrompt:
    """Where one prompt lies in the rows of its bank.

    Attributes:
        name: Name of its rule, or of the clause where the rule has several.
        rule: Name of its rule.
        texts: Rows of its sentences; the best one counts.
        negatives: Rows of its own negatives.
        against: Rows that its margin is taken against, intp, at least one: its negatives, and the
            background that does not mean the same.
        coverage: Smallest coverage among its sentences, 0..1; None where the model gives none.
    """

    name: str
    rule: str
    texts: slice
    negatives: slice
    against: NDArray[np.intp]
    coverage: float | None


@dataclass(frozen=True, slots=True, eq=False)
class PromptBank:
    """All prompts as one matrix. Immutable: to change prompts, replace the reference to the bank.

    Attributes:
        prompts: P prompts, in the order of every score.
        sentences: K sentences, one for each row, without templates.
        rows: float32 [K, D], unit rows, read-only: the texts of all prompts, then their
            negatives, then the background.
        notes: Notes for the author of the prompts.
        hash: SHA-256 over sentences, templates and model: banks with equal hashes score alike.
        lengths: float32 [K], read-only: lengths of the model's own vectors, whose directions are
            ``rows``; None where the model gives none, because only directions count.
        words: A vector for each token of each sentence; None where the model gives none or no rule
            uses them.
    """

    prompts: tuple[CompiledPrompt, ...]
    sentences: tuple[str, ...]
    rows: NDArray[np.float32]
    notes: tuple[Note, ...]
    hash: str
    lengths: NDArray[np.float32] | None = None
    words: Words | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each prompt, in the order of every score."""
        return tuple(prompt.name for prompt in self.prompts)

    def prompts_of(self, rule: str) -> list[CompiledPrompt]:
        """The prompts of a rule, one for each of its clauses; empty where there is no such rule."""
        return [prompt for prompt in self.prompts if prompt.rule == rule]


def explain(row: NDArray[np.float32], axes: Sequence[str], top: int = 5) -> list[tuple[str, float]]:
    """Name the axes that a row leans on, heaviest first; axes that weigh nothing are left out.

    Args:
        row: float32 [D].
        axes: Names of the D axes.
        top: Largest number of axes.
    """
    heaviest = np.argsort(-row, kind="stable")[:top]
    return [(axes[index], float(row[index])) for index in heaviest if row[index] > 0]
