"""Compiles prompts into a prompt bank: each sentence in every template, one matrix for all.

A rule with time in its sentence ("a car stops then a person gets out") has a prompt in the bank for
each of its clauses (``edge.rules.plan``).

The unit rows of a sentence's templates are averaged and normalised again, as open_clip's zero-shot
builder does. Without the second normalisation (as in ALPRO) the mean of unit vectors is shorter
than one, and every prompt gets a scale of its own.

Letters in shapes: K rows of the bank, D embedding, P prompts.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge.config.prompt import PromptConfig
from edge.errors import ConfigError, StruckOut
from edge.model.bundle.manifest import TextSpec
from edge.model.bundle.read import Bundle
from edge.rules.bank import CompiledPrompt, Note, PromptBank, explain
from edge.rules.plan import plan
from edge.rules.sheet import Sheet, blends_of
from edge.rules.temporal.pools import Words
from edge.rules.text import Encoder

# A background sentence whose cosine to a prompt is above this means the same (the background "an
# empty room" beside the prompt "an empty room"): a margin against it would stay at zero for ever.
SAME_MEANING = 0.9


class Compiler(Protocol):
    """Sentences into a prompt bank, by an open text graph."""

    def __call__(
        self, prompts: Mapping[str, PromptConfig], background: Sequence[str] | None = None
    ) -> PromptBank:
        """Compile ``prompts`` by name against ``background``, or the bundle's where None.

        Raises:
            ConfigError: A prompt cannot be used.
            ModelError: The text graph gives vectors without a direction.
            InferenceError: The engine failed.
        """
        ...


def compiler_of(bundle: Bundle, encoder: Encoder) -> Compiler:
    """The compiler of a model whose sentences stand alone, by what embeds them."""
    spec, axes = bundle.manifest.text, bundle.axes()

    def compile_prompts(
        prompts: Mapping[str, PromptConfig], background: Sequence[str] | None = None
    ) -> PromptBank:
        return compile_bank(
            prompts,
            spec.background if background is None else background,
            encoder,
            spec,
            model_hash=bundle.hash,
            axes=axes,
        )

    return compile_prompts


def compile_bank(
    prompts: Mapping[str, PromptConfig],
    background: Sequence[str],
    encoder: Encoder,
    spec: TextSpec,
    *,
    model_hash: str,
    axes: Sequence[str] | None = None,
) -> PromptBank:
    """Compile sentences into a bank.

    Args:
        prompts: Rules by name.
        background: Sentences for "nothing of interest", shared by all prompts.
        encoder: The model's text side.
        spec: Templates, and the coverage below which a prompt gets a note.
        model_hash: Identifies the model in the bank's ``hash``.
        axes: Names of the D axes, where the bundle has them; notes then say what a poorly covered
            prompt is understood as.

    Raises:
        ConfigError: No prompts, a sentence that cannot be encoded, or a prompt with nothing to be
            compared against.
        ModelError: The text graph gives vectors without a direction.
        StruckOut: The process has ended twice over a sentence, whose rule it names.
        InferenceError: The engine failed.
    """
    if not prompts:
        raise ConfigError("expected at least one prompt, found none")
    sheet = Sheet(encoder, spec.templates)
    parts = list(_clauses(prompts))
    blends = {name: blends_of(name, prompt, spec) for name, prompt in prompts.items()}
    texts, negatives = list[slice](), dict[str, slice]()
    for name, clause, sentences in parts:
        with _of_rule(name):
            texts.append(sheet.add(f"prompt {clause!r}", sentences, blends[name][0]))
    for name, prompt in prompts.items():
        with _of_rule(name):
            owner = f"negatives of prompt {name!r}"
            negatives[name] = sheet.add(owner, prompt.negatives, blends[name][1])
    shared = sheet.add("background", background)
    rows = np.stack(sheet.rows)
    rows.setflags(write=False)
    compiled = tuple(
        CompiledPrompt(
            name=clause,
            rule=name,
            texts=own,
            negatives=negatives[name],
            against=_against(clause, rows, own, negatives[name], shared),
            coverage=min(sheet.coverage[own]) if sheet.coverage else None,
        )
        for (name, clause, _), own in zip(parts, texts, strict=True)
    )
    sentences = tuple(sheet.sentences)
    return PromptBank(
        prompts=compiled,
        sentences=sentences,
        rows=rows,
        notes=tuple(
            note
            for prompt in compiled
            for note in (
                *_coverage_notes(prompt, rows, spec.coverage_warning, axes),
                *_negative_notes(prompt, rows, sentences),
            )
        ),
        hash=_digest(prompts, background, spec.templates, model_hash),
        lengths=sheet.read_only_lengths(),
        words=_words(encoder, sentences) if _wants_words(prompts) else None,
    )


@contextmanager
def _of_rule(name: str) -> Iterator[None]:
    """Name the rule whose sentence is set aside."""
    try:
        yield
    except StruckOut as exc:
        raise StruckOut(f"prompt {name!r}: {exc}", name) from exc


def phrase_bank(
    prompts: Mapping[str, PromptConfig], background: Sequence[str], *, model_hash: str
) -> PromptBank:
    """Compile sentences for a model that reads them together with each picture (class P).

    The rows are [K, 0], because a sentence has no vector without a picture; so which background
    means the same as a prompt cannot be known beforehand. Templates are left out: the model would
    look for their words.

    Raises:
        ConfigError: No prompts, or a prompt with nothing to be compared against.
    """
    if not prompts:
        raise ConfigError("expected at least one prompt, found none")
    sentences: list[str] = []

    def add(texts: Sequence[str]) -> slice:
        start = len(sentences)
        sentences.extend(texts)
        return slice(start, len(sentences))

    parts = list(_clauses(prompts))
    texts = [add(own) for *_, own in parts]
    negatives = {name: add(prompt.negatives) for name, prompt in prompts.items()}
    shared = add(background)
    compiled = tuple(
        CompiledPrompt(
            clause,
            name,
            own,
            negatives[name],
            _rivals(clause, negatives[name], shared),
            coverage=None,
        )
        for (name, clause, _), own in zip(parts, texts, strict=True)
    )
    return PromptBank(
        prompts=compiled,
        sentences=tuple(sentences),
        rows=np.zeros((len(sentences), 0), np.float32),
        notes=(),
        hash=_digest(prompts, background, (), model_hash),
    )


def _clauses(prompts: Mapping[str, PromptConfig]) -> Iterator[tuple[str, str, Sequence[str]]]:
    """Each clause of each rule: the rule's name, the clause's name, its sentences."""
    for name, prompt in prompts.items():
        for clause, sentences in plan(name, prompt).clauses.items():
            yield name, clause, sentences


def _wants_words(prompts: Mapping[str, PromptConfig]) -> bool:
    """Whether a rule uses words; they are L times as large as all rows (L tokens of a row)."""
    return any(prompt.pool and prompt.pool.kind == "aosm" for prompt in prompts.values())


def _words(encoder: Encoder, sentences: Sequence[str]) -> Words | None:
    """Words of each sentence by itself, without templates; None where the model gives none."""
    states = encoder.words([sentence.strip().rstrip(".") for sentence in sentences])
    if states is None:
        return None
    longest = int(states.any(axis=2).sum(axis=1).max())
    states = states[:, :longest]
    return Words(states, np.asarray(states.any(axis=2), np.bool_))


def _against(
    name: str, rows: NDArray[np.float32], own: slice, negative: slice, shared: slice
) -> NDArray[np.intp]:
    closest = (rows[shared] @ rows[own].T).max(axis=1)  # [background]
    background = np.arange(shared.start, shared.stop)[closest <= SAME_MEANING]
    return _rivals(name, negative, background)


def _rivals(name: str, negative: slice, background: slice | NDArray[np.intp]) -> NDArray[np.intp]:
    against: NDArray[np.intp] = np.r_[negative, background].astype(np.intp)
    if not len(against):
        raise ConfigError(
            f"prompt {name!r} has nothing to be compared against: expected negatives, or a "
            f"background that means something else"
        )
    against.setflags(write=False)
    return against


def _coverage_notes(
    prompt: CompiledPrompt,
    rows: NDArray[np.float32],
    warning: float | None,
    axes: Sequence[str] | None,
) -> Iterator[Note]:
    if prompt.coverage is None or warning is None or prompt.coverage >= warning:
        return
    text = f"poorly covered ({prompt.coverage:.2f} < {warning:.2f})"
    if axes is not None:
        concepts = [axis for row in rows[prompt.texts] for axis, _ in explain(row, axes, top=3)]
        text += f"; nearest concepts: {', '.join(dict.fromkeys(concepts))}"
    yield Note(prompt.name, text)


def _negative_notes(
    prompt: CompiledPrompt, rows: NDArray[np.float32], sentences: Sequence[str]
) -> Iterator[Note]:
    closest = (rows[prompt.negatives] @ rows[prompt.texts].T).max(axis=1)
    for sentence, cosine in zip(sentences[prompt.negatives], closest, strict=True):
        if cosine > SAME_MEANING:
            yield Note(
                prompt.name,
                f"the model hardly tells its negative {sentence!r} from its text "
                f"(cosine {cosine:.2f}): it may never alert",
            )


def _digest(
    prompts: Mapping[str, PromptConfig],
    background: Sequence[str],
    templates: Sequence[str],
    model_hash: str,
) -> str:
    sentences = {
        name: [prompt.text, prompt.negatives, *_weights_of(prompt)]
        for name, prompt in prompts.items()
    }
    facts = json.dumps([sentences, list(background), list(templates), model_hash])
    return hashlib.sha256(facts.encode()).hexdigest()


def _weights_of(prompt: PromptConfig) -> list[list[tuple[float, ...]]]:
    """The weights that change a prompt's rows beside its sentences; empty for most prompts."""
    sharpened = prompt.sharpened
    if sharpened is None or not sharpened.texts:
        return []
    return [[sharpened.texts, sharpened.templates, sharpened.negatives]]
