"""Loads the axes of the concept space and the sentences that lead to them.

The axes in order: 80 COCO concepts (from the detector, supported by the classifier), 1000 ImageNet
classes, ``nothing`` (the evidence that counts for nothing; every picture has it), ``unexplained``
(what a picture shows beyond its evidence; no sentence means it) and ``unexpressed`` (what a
sentence means beyond the concepts; no picture shows it).
"""

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError

COCO_AXES = 80
IMAGENET_AXES = 1000
CONCEPT_AXES = COCO_AXES + IMAGENET_AXES
NOTHING = CONCEPT_AXES
UNEXPLAINED = NOTHING + 1
UNEXPRESSED = UNEXPLAINED + 1
DIM = UNEXPRESSED + 1


@dataclass(frozen=True, slots=True)
class Anchor:
    """A sentence that means one axis."""

    text: str
    axis: int


@dataclass(frozen=True)
class Concepts:
    """Words of the concept space: the names of its axes and the sentences that mean them.

    Attributes:
        axes: Name of each axis, ``DIM`` names.
        anchors: Sentences of the concepts, of ``nothing``, and of what is known to be
            ``unexpressed``.
        kinds: 1 where an ImageNet class is a kind of a COCO concept, else 0; float32 [1000, 80]. A
            class is a kind of one concept at most.
    """

    axes: tuple[str, ...]
    anchors: tuple[Anchor, ...]
    kinds: NDArray[np.float32]


def load_concepts(synsets: str, lemmas: str) -> Concepts:
    """Join the words for COCO of ``concepts.toml`` with WordNet's words for ImageNet.

    Args:
        synsets: timm's ``imagenet_synsets.txt``: 1000 WordNet ids in the classifier's order.
        lemmas: timm's ``imagenet_synset_to_lemma.txt``: id, tab, comma-separated lemmas.

    Raises:
        ModelError: The files do not fit each other or ``concepts.toml``.
    """
    ours = tomllib.loads(files(__package__).joinpath("concepts.toml").read_text("utf-8"))
    words = _lemmas(synsets, lemmas)
    names = [lemma[0] for lemma in words]
    axes = (
        *(concept["name"] for concept in ours["concept"]),
        *(f"imagenet:{name}" for name in names),
        "nothing",
        "unexplained",
        "unexpressed",
    )
    if len(axes) != DIM:
        raise ModelError(f"Concepts: expected {DIM} axes, found {len(axes)}.")
    anchors = (
        *(
            Anchor(text, axis)
            for axis, concept in enumerate(ours["concept"])
            for text in _sentences(concept)
        ),
        *(
            Anchor(text, COCO_AXES + index)
            for index, synonyms in enumerate(words)
            for text in synonyms
        ),
        *(Anchor(text, NOTHING) for text in ours["nothing"]),
        *(Anchor(text, UNEXPRESSED) for text in ours["gaps"]),
    )
    return Concepts(axes, anchors, _kinds(ours["concept"], names))


def _sentences(concept: dict[str, Any]) -> list[str]:
    name, others = concept["name"], concept.get("also", ())
    scenes = product(concept.get("actors", ()), concept.get("actions", ()))
    # A prompt such as "a red car by the gate" is nearer to "a car" than to the bare word
    # (measured).
    return [name, f"a {name}", *others, *map(" ".join, scenes)]


def _lemmas(synsets: str, lemmas: str) -> list[list[str]]:
    table = {line[:9]: line[10:] for line in lemmas.splitlines()}
    order = synsets.split()
    missing = [synset for synset in order if synset not in table]
    if missing or len(order) != IMAGENET_AXES:
        raise ModelError(f"ImageNet names: {len(order)} synsets, without lemma: {missing[:3]}.")
    return [[lemma.strip() for lemma in table[synset].split(",")] for synset in order]


def _kinds(concepts: list[dict[str, Any]], names: list[str]) -> NDArray[np.float32]:
    kinds = np.zeros((IMAGENET_AXES, COCO_AXES), np.float32)
    for axis, concept in enumerate(concepts):
        for kind in concept.get("kinds", ()):
            indices = [index for index, name in enumerate(names) if name == kind]
            if len(indices) != 1:
                raise ModelError(
                    f"Concepts: {concept['name']} lists {kind!r}, expected one ImageNet class of "
                    f"that name, found {len(indices)}."
                )
            kinds[indices, axis] = 1
        for first, last in concept.get("kind_ranges", ()):
            kinds[int(first) : int(last) + 1, axis] = 1
    return kinds
