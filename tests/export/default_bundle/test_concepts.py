"""The words of the concept space: our table against the names that it refers to."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edge.errors import ModelError
from export.default_bundle import packages
from export.default_bundle.concepts import (
    COCO_AXES,
    CONCEPT_AXES,
    DIM,
    NOTHING,
    UNEXPLAINED,
    UNEXPRESSED,
    Concepts,
    load_concepts,
)

pytestmark = pytest.mark.bundle


def kinds_of(concepts: Concepts, name: str) -> set[str]:
    column = concepts.kinds[:, concepts.axes.index(name)]
    return {concepts.axes[COCO_AXES + row].removeprefix("imagenet:") for row in column.nonzero()[0]}


def test_every_axis_has_a_name(concepts: Concepts) -> None:
    assert len(concepts.axes) == DIM == 1083
    assert concepts.axes[0] == "person"
    assert concepts.axes[COCO_AXES - 1] == "toothbrush"
    assert concepts.axes[COCO_AXES] == "imagenet:tench"
    assert concepts.axes[CONCEPT_AXES - 1] == "imagenet:toilet tissue"
    assert concepts.axes[NOTHING] == "nothing"
    assert concepts.axes[UNEXPLAINED:] == ("unexplained", "unexpressed")


def test_every_axis_that_a_sentence_can_mean_has_an_anchor(concepts: Concepts) -> None:
    assert {anchor.axis for anchor in concepts.anchors} == {*range(NOTHING + 1), UNEXPRESSED}


def test_no_sentence_is_anchored_twice_to_the_same_axis(concepts: Concepts) -> None:
    times = Counter((anchor.text, anchor.axis) for anchor in concepts.anchors)
    assert [anchor for anchor, count in times.items() if count > 1] == []


def test_a_gap_is_not_at_the_same_time_a_concept(concepts: Concepts) -> None:
    gaps = {anchor.text for anchor in concepts.anchors if anchor.axis == UNEXPRESSED}
    assert (
        gaps & {anchor.text for anchor in concepts.anchors if anchor.axis != UNEXPRESSED} == set()
    )


def test_an_imagenet_class_is_a_kind_of_one_coco_concept_at_most(concepts: Concepts) -> None:
    assert set(np.unique(concepts.kinds)) == {0, 1}
    assert concepts.kinds.sum(1).max() == 1


def test_kinds_are_what_they_are_called(concepts: Concepts) -> None:
    birds, dogs = kinds_of(concepts, "bird"), kinds_of(concepts, "dog")
    assert (len(birds), len(dogs)) == (59, 118)
    assert {"cock", "great grey owl", "peacock", "king penguin", "albatross"} <= birds
    assert {"Chihuahua", "German shepherd", "Mexican hairless"} <= dogs
    # The neighbours of the ranges, by number.
    assert not {"electric ray", "European fire salamander", "tusker", "grey whale"} & birds
    assert not {"sea lion", "timber wolf"} & dogs
    assert kinds_of(concepts, "bicycle") == {"bicycle-built-for-two", "mountain bike"}
    assert "computer keyboard" in kinds_of(concepts, "keyboard")


def test_names_that_do_not_fit_each_other_are_refused(member: Callable[..., Any]) -> None:
    synsets = member(packages.TIMM, "synsets.txt").read_text()
    lemmas = member(packages.TIMM, "synset_to_lemma.txt").read_text()
    first, rest = synsets.split("\n", 1)
    with pytest.raises(ModelError, match="999 synsets"):
        load_concepts(rest, lemmas)
    with pytest.raises(ModelError, match=f"without lemma: .*{first}"):
        load_concepts(synsets, lemmas.replace(first, "n00000000"))


def test_a_kind_that_is_no_class_or_two_is_refused(member: Callable[..., Any]) -> None:
    synsets = member(packages.TIMM, "synsets.txt").read_text()
    lemmas = member(packages.TIMM, "synset_to_lemma.txt").read_text()
    for replacement, found in (("mount bike", 0), ("bicycle-built-for-two", 2)):
        changed = lemmas.replace("\tmountain bike", f"\t{replacement}")
        expected = "mountain bike" if found == 0 else "bicycle-built-for-two"
        with pytest.raises(ModelError, match=f"'{expected}', expected one .* found {found}"):
            load_concepts(synsets, changed)
