"""The arithmetic of agreement, against naive references and published numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from export.proof.agreement import (
    Prompts,
    Share,
    finds_itself,
    first_choice,
    row_cosines,
    same_alerts,
    spread,
)


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def random_rows(rows: int, dim: int, seed: int = 1) -> np.ndarray:
    return unit(np.random.default_rng(seed).standard_normal((rows, dim)))


matrices = hnp.arrays(
    np.float32, st.tuples(st.integers(2, 6), st.integers(2, 5)), elements=st.floats(-4, 4, width=32)
)


# Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17
# (1998), table I, method 3: the score interval.
@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_is_the_published_one(count: int, total: int, low: float, high: float) -> None:
    assert Share(count, total).interval == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_holds_the_share_and_mirrors(pair: tuple[int, int]) -> None:
    count, total = pair
    low, high = Share(count, total).interval
    assert 0 <= low <= count / total <= high <= 1
    assert Share(total - count, total).interval == pytest.approx((1 - high, 1 - low))
    assert high - low > 0, "no number of inputs is certain"


def test_few_inputs_say_little() -> None:
    assert Share(4, 4).interval[0] == pytest.approx(0.51, abs=0.01)
    assert Share(400, 400).interval[0] > 0.99


@given(matrices)
def test_spread_is_the_mean_distance_of_all_pairs(rows: np.ndarray) -> None:
    pairs = [
        np.linalg.norm(a.astype(float) - b)
        for i, a in enumerate(rows)
        for j, b in enumerate(rows)
        if i != j
    ]
    assert spread(rows) == pytest.approx(np.mean(pairs), abs=1e-6)


def test_spread_in_a_narrow_cone_far_from_zero_is_not_rounded_away() -> None:
    rows = np.full((3, 8), 1000, np.float32)
    rows[1, 0] += 0.001953125  # exact in float32
    assert spread(rows) == pytest.approx(0.001953125 * 4 / 6, rel=1e-6)
    assert spread(rows[[0, 2]]) == 0


@given(matrices)
def test_cosines_are_those_of_the_definition(rows: np.ndarray) -> None:
    other = np.roll(rows, 1, axis=1) + np.float32(0.5)
    expected = []
    for a, b in zip(rows.astype(float), other.astype(float), strict=True):
        lengths = np.linalg.norm(a) * np.linalg.norm(b)
        expected.append(a @ b / lengths if lengths else float(not a.any() and not b.any()))
    assert row_cosines(rows, other) == pytest.approx(np.array(expected), abs=1e-6)


def test_a_scene_without_evidence_equals_only_another_one() -> None:
    nothing, something = np.zeros((1, 3)), np.ones((1, 3))
    assert row_cosines(nothing, nothing).tolist() == [1]
    assert row_cosines(nothing, something).tolist() == [0]


def test_margins_are_those_of_the_device() -> None:
    embeddings, rows, background = (random_rows(n, 6, seed) for n, seed in ((5, 1), (3, 2), (2, 3)))
    margins = Prompts(("a", "b", "c"), rows, background, 0.1).margins(embeddings)
    for n in range(5):
        for p in range(3):
            rival = max(float(embeddings[n] @ b) for b in background)
            assert margins[n, p] == pytest.approx(float(embeddings[n] @ rows[p]) - rival, abs=1e-6)


def test_first_choices_are_counted_and_the_worst_change_is_reported() -> None:
    reference = np.array([[3, 1, 0], [2, 2.5, 0], [0, 1, 4], [1, 0, 0.75]])
    found = np.array([[3, 1, 0], [2.6, 2.5, 0], [9, 1, 4], [1, 0, 2]])
    agreement = first_choice(found, reference)
    assert agreement.share == Share(1, 4)
    assert agreement.worst_lead == 4  # row 2 preferred column 2 to column 0 by that
    assert first_choice(reference, reference).worst_lead == 0


def test_a_tie_of_the_variant_is_no_change() -> None:
    reference = np.array([[0.3, 0.30000001, 0.1]])
    assert first_choice(reference[:, [1, 0, 2]], reference).share == Share(1, 1)


def test_alerts_in_common_do_not_count_what_nobody_alerts_on() -> None:
    margins = np.array([[[0.3, -1], [0.1, -1]], [[0.3, -1], [-0.1, 0.4]]])
    assert same_alerts(margins, 0.05) == Share(1, 3)
    assert same_alerts(margins, 0.9) is None


def test_an_embedding_finds_itself_unless_it_lies_nearer_to_another() -> None:
    reference = random_rows(40, 16)
    assert finds_itself(reference + np.float32(0.01), reference) == Share(40, 40)
    swapped = reference.copy()
    swapped[[3, 7]] = swapped[[7, 3]]
    assert finds_itself(swapped, reference) == Share(38, 40)


def test_a_neighbour_that_looks_the_same_is_no_miss() -> None:
    """The camera stands still: two frames are all but equal, and noise decides between them."""
    reference = random_rows(10, 16)
    reference[1] = unit(reference[:1] + np.float32(1e-3))
    assert finds_itself(reference[[1, 0, *range(2, 10)]], reference) == Share(10, 10)
