"""The heads of both towers against the same formulas in plain NumPy, and what the formulas promise."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto

from export.default_bundle import space
from export.default_bundle.concepts import (
    COCO_AXES,
    CONCEPT_AXES,
    DIM,
    IMAGENET_AXES,
    NOTHING,
    UNEXPLAINED,
    UNEXPRESSED,
    Anchor,
    Concepts,
)
from export.default_bundle.graph import Graph
from export.default_bundle.space import FLOOR, HEAT_FLOOR

WIDTH = 384
PERSON, CAR, DOG, PUG = 0, 2, 16, COCO_AXES + 254
RNG = np.random.default_rng(7)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def kinds() -> np.ndarray:
    """A class in three is a kind of a COCO concept drawn by lot; a pug is a dog."""
    table = np.zeros((IMAGENET_AXES, COCO_AXES), np.float32)
    children = np.arange(0, IMAGENET_AXES, 3)
    table[children, RNG.integers(0, COCO_AXES, len(children))] = 1
    table[PUG - COCO_AXES] = np.eye(COCO_AXES)[DOG]
    return table


ANCHORS = tuple(
    Anchor(text, axis)
    for text, axis in [
        ("person", PERSON),
        ("a man", PERSON),
        ("car", CAR),
        ("dog", DOG),
        ("pug", PUG),
        ("empty", NOTHING),
        ("smoke", UNEXPRESSED),
        ("fire", UNEXPRESSED),
    ]
)
CONCEPTS = Concepts(tuple(map(str, range(DIM))), ANCHORS, kinds())
VECTORS = unit(RNG.normal(size=(len(ANCHORS), WIDTH)) + 0.5).astype(np.float32)
CENTRE = VECTORS[:6].mean(0)


@pytest.fixture(scope="module")
def image() -> Callable[..., Any]:
    graph = Graph()
    embedding = space.image_embedding(graph, "heat", "logits", CONCEPTS)
    model = graph.model(
        "image head",
        {
            "heat": (TensorProto.FLOAT, ["N", COCO_AXES, "h", "w"]),
            "logits": (TensorProto.FLOAT, ["N", IMAGENET_AXES]),
        },
        {embedding: ["N", DIM]},
    )
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return lambda heat, logits: session.run(
        None, {"heat": heat.astype(np.float32), "logits": logits.astype(np.float32)}
    )[0]


@pytest.fixture(scope="module")
def text() -> Callable[..., Any]:
    graph = Graph()
    embedding, coverage = space.text_embedding(graph, "sentence", CONCEPTS, VECTORS)
    model = graph.model(
        "text head",
        {"sentence": (TensorProto.FLOAT, ["K", WIDTH])},
        {embedding: ["K", DIM], coverage: ["K"]},
    )
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return lambda rows: session.run(None, {"sentence": np.asarray(rows, np.float32)})


def evidence(heat: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """float64 [N,1081]: concepts and the floor, before they are bounded."""
    seen = np.maximum((heat.astype(np.float64).max((2, 3)) - HEAT_FLOOR) / (1 - HEAT_FLOOR), 0)
    odds = np.exp(logits - logits.max(1, keepdims=True).astype(np.float64))
    classes = odds / odds.sum(1, keepdims=True)
    coco = 1 - (1 - seen) * (1 - classes @ CONCEPTS.kinds)
    return np.concatenate([coco, classes, np.full((len(heat), 1), FLOOR)], axis=1)


def expected_image(heat: np.ndarray, logits: np.ndarray) -> np.ndarray:
    found = evidence(heat, logits)
    found /= np.maximum(1, np.linalg.norm(found, axis=1, keepdims=True))
    rest = np.sqrt(np.maximum(0, 1 - (found**2).sum(1, keepdims=True)))
    return np.concatenate([found, rest, np.zeros_like(rest)], axis=1)


def expected_text(sentences: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    cosines = unit(sentences - CENTRE) @ unit(VECTORS - CENTRE).T.astype(np.float64)
    axes = np.array([anchor.axis for anchor in ANCHORS])
    concept, gap = cosines[:, :6].max(1), cosines[:, 6:].max(1)
    coverage = np.clip(concept - np.maximum(gap - concept, 0), 0, 1)
    scores = np.exp((cosines + space.COCO_BIAS * (axes < COCO_AXES)) / space.TEMPERATURE)
    routed = scores @ np.eye(DIM)[axes]
    claim = np.clip((coverage - space.UNCOVERED) / (space.COVERED - space.UNCOVERED), 0, 1)
    embedding = claim[:, None] * unit(routed)
    embedding[:, UNEXPRESSED] = 0
    embedding[:, UNEXPRESSED] = np.sqrt(np.maximum(0, 1 - (embedding**2).sum(1)))
    return embedding, coverage


@given(st.integers(0, 2**32 - 1), st.floats(-3, 1), st.floats(-2, 2))
def test_an_image_is_what_the_formulas_say_and_of_unit_length(
    image: Callable[..., Any], seed: int, heat: float, logits: float
) -> None:
    """``heat`` and ``logits`` set how much is seen: from nothing to much more than everything."""
    random = np.random.default_rng(seed)
    maps = random.uniform(0, 1, (2, COCO_AXES, 2, 3)) ** (10**-heat)
    classes = random.normal(0, 10**logits, (2, IMAGENET_AXES))
    found = image(maps, classes)
    assert np.abs(found - expected_image(maps, classes)).max() < 1e-3
    assert np.linalg.norm(found, axis=1) == pytest.approx([1, 1], abs=1e-4)
    assert (found[:, UNEXPRESSED] == 0).all()


def seen(heat: dict[int, float], logits: dict[int, float]) -> tuple[np.ndarray, np.ndarray]:
    """Inputs with these values in one place, and nothing else to see."""
    maps = np.zeros((1, COCO_AXES, 3, 4))
    for axis, value in heat.items():
        maps[0, axis, 1, 2] = value
    classes = np.zeros((1, IMAGENET_AXES))
    for axis, value in logits.items():
        classes[0, axis - COCO_AXES] = value
    return maps, classes


def test_either_witness_is_enough(image: Callable[..., Any]) -> None:
    detector = image(*seen({DOG: 0.8}, {}))[0]
    classifier = image(*seen({}, {PUG: 9}))[0]
    neither = image(*seen({}, {}))[0]
    assert detector[DOG] == pytest.approx((0.8 - HEAT_FLOOR) / (1 - HEAT_FLOOR), abs=0.01)
    assert classifier[DOG] == pytest.approx(classifier[PUG], rel=0.01)
    assert classifier[DOG] > 0.6
    assert neither[:CONCEPT_AXES].max() < 0.01


def test_heat_below_the_floor_is_no_evidence(image: Callable[..., Any]) -> None:
    assert image(*seen({DOG: HEAT_FLOOR}, {})).tolist() == image(*seen({DOG: 0.0}, {})).tolist()


@pytest.mark.parametrize("others", [{}, {PERSON: 1.0}, {PERSON: 1.0, CAR: 0.9, 3: 0.9, 7: 0.8}])
def test_absent_things_stay_below_the_background_however_much_else_is_seen(
    image: Callable[..., Any], others: dict[int, float]
) -> None:
    """With something strong in the picture the floor must not give way to the noise beside it."""
    noise, sight = HEAT_FLOOR + 0.9 * FLOOR * 0.7, HEAT_FLOOR + 0.9 * FLOOR * 1.3
    below = image(*seen({DOG: noise} | others, {}))[0]
    above = image(*seen({DOG: sight} | others, {}))[0]
    assert below[DOG] - below[NOTHING] < 0 < above[DOG] - above[NOTHING]


def test_a_full_picture_leaves_nothing_unexplained_and_an_empty_one_nearly_all(
    image: Callable[..., Any],
) -> None:
    full = image(*seen({PERSON: 1.0, CAR: 1.0}, {}))[0]
    empty = image(*seen({}, {}))[0]
    assert full[UNEXPLAINED] == pytest.approx(0, abs=1e-3)
    assert empty[UNEXPLAINED] == pytest.approx(np.sqrt(1 - FLOOR**2), abs=0.01)


@given(st.integers(0, 2**32 - 1), st.floats(0, 4))
def test_a_sentence_is_what_the_formulas_say_and_of_unit_length(
    text: Callable[..., Any], seed: int, distance: float
) -> None:
    away = unit(np.random.default_rng(seed).normal(size=VECTORS.shape))
    sentences = unit(VECTORS + distance * away).astype(np.float32)
    embedding, coverage = text(sentences)
    expected, covered = expected_text(sentences)
    assert coverage == pytest.approx(covered, abs=2e-3)
    assert np.abs(embedding - expected).max() < 0.05
    assert np.linalg.norm(embedding, axis=1) == pytest.approx(np.ones(len(ANCHORS)), abs=1e-5)
    assert (embedding[:, UNEXPLAINED] == 0).all()


def test_an_anchor_leads_to_its_axis(text: Callable[..., Any]) -> None:
    embedding, coverage = text(VECTORS)
    axes = [anchor.axis for anchor in ANCHORS]
    assert embedding.argmax(1).tolist() == axes
    assert embedding[range(len(axes)), axes].min() > 0.99
    assert coverage[:6] == pytest.approx(np.ones(6), abs=1e-3)
    assert coverage[6:].tolist() == [0, 0]


def test_a_sentence_between_two_concepts_means_both_and_no_step_lies_between(
    text: Callable[..., Any],
) -> None:
    share = np.linspace(0, 1, 201)[:, None]
    way = CENTRE + unit((1 - share) * unit(VECTORS[0] - CENTRE) + share * unit(VECTORS[2] - CENTRE))
    embedding, _ = text(way)
    assert embedding[100, PERSON] == pytest.approx(embedding[100, CAR], abs=0.02)
    assert embedding[100, PERSON] > 0.5
    assert np.abs(np.diff(embedding, axis=0)).max() < 0.15, "soft, never a hard choice"


def test_the_less_is_covered_the_less_is_claimed(text: Callable[..., Any]) -> None:
    away = unit(RNG.normal(size=WIDTH))
    cosines = np.linspace(1, 0.2, 41)
    person = unit(VECTORS[0] - CENTRE)
    away = unit(away - (away @ person) * person)
    sines = np.sqrt(1 - cosines**2)
    embedding, coverage = text(CENTRE + cosines[:, None] * person + sines[:, None] * away)
    assert (np.diff(coverage) <= 1e-3).all()
    assert (np.diff(embedding[:, PERSON]) <= 1e-3).all()
    assert embedding[0, PERSON] > 0.99
    uncovered = embedding[coverage < space.UNCOVERED]
    assert len(uncovered) > 3
    assert np.abs(uncovered[:, :UNEXPRESSED]).max() == 0


def test_a_gap_nearer_than_any_concept_takes_the_coverage_away(text: Callable[..., Any]) -> None:
    person, smoke = unit(VECTORS[0] - CENTRE), unit(VECTORS[6] - CENTRE)
    nearer_person, nearer_smoke = (unit(person + share * smoke) for share in (0.8, 1.25))
    embedding, coverage = text(CENTRE + np.stack([nearer_person, nearer_smoke]))
    assert coverage[0] > 0.6
    assert coverage[1] < coverage[0] - 0.1
    assert embedding[1, PERSON] < embedding[0, PERSON]


def test_a_margin_of_zero_is_evidence_of_the_floor(
    image: Callable[..., Any], text: Callable[..., Any]
) -> None:
    [dog], [nothing] = text(VECTORS[3:4])[0], text(VECTORS[5:6])[0]
    for level in (0.5, 0.9, 1.1, 2.0):
        picture = image(*seen({DOG: HEAT_FLOOR + (1 - HEAT_FLOOR) * level * FLOOR}, {}))[0]
        margin = picture @ dog - picture @ nothing
        assert margin == pytest.approx((level - 1) * FLOOR, abs=0.01)


def test_a_prompt_that_no_concept_expresses_is_not_the_background(text: Callable[..., Any]) -> None:
    """Else it had nothing to be compared against."""
    [smoke], [nothing] = text(VECTORS[6:7])[0], text(VECTORS[5:6])[0]
    assert smoke @ nothing < 0.1
