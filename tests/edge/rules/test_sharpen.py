"""What a few examples teach a rule: planted shots whose right weights are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from present import present

from edge.rules.blend import Rows, Weights, blend, margins
from edge.rules.fit import SHRINK, fit_threshold, fit_weights
from edge.rules.sharpen import sharpen
from edge.rules.shots import Shots

DIM, TEMPLATES, NOISY = 64, 7, 2
THRESHOLD = 0.02
SEEDS = range(12)


def unit(x: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.asarray(x / np.linalg.norm(x, axis=-1, keepdims=True), np.float32)


class World:
    """A rule that knows its event; its first two templates say something that comes and goes."""

    def __init__(self, seed: int, noisy: int = NOISY) -> None:
        self.rng = np.random.default_rng(seed)
        self.event, self.other, self.common, self.fashion = unit(self.rng.normal(size=(4, DIM)))
        sentences = [
            [self._row(self.fashion if t < noisy else self.event) for t in range(TEMPLATES)]
        ]
        negatives = [[self._row(self.other) for _ in range(TEMPLATES)]]
        background = [self._row(0 * self.event)]
        self.rows = Rows(
            *(np.array(part, np.float32) for part in (sentences, negatives, background))
        )

    def _row(self, direction: NDArray[np.float32]) -> NDArray[np.float32]:
        return unit(0.8 * direction + 0.5 * self.common + 0.04 * self.rng.normal(size=DIM))

    def shots(self, events: int, wanted: int = 4, others: int = 8) -> Shots:
        found = []
        for event in range(events):
            for index in range(wanted + others):
                is_event = index < wanted
                direction = 0.8 * self.event if is_event else 0.3 * self.other
                fashion = 0.7 * self.rng.normal() * self.fashion
                noise = 0.13 * self.rng.normal(size=DIM)
                found.append((unit(self.common + direction + fashion + noise), is_event, event))
        embeddings, kinds, groups = zip(*found, strict=True)
        return Shots(np.stack(embeddings), np.array(kinds), np.array(groups))


def rightness(rows: Rows, shots: Shots, weights: Weights | None, threshold: float) -> float:
    hits = margins(rows, shots.embeddings, weights) >= threshold
    return float(hits[shots.wanted].mean() + (~hits[~shots.wanted]).mean()) / 2


def test_templates_that_are_noise_lose_their_weight() -> None:
    world = World(1)
    change = fit_weights(world.rows, world.shots(12), THRESHOLD)
    weights = present(change.weights).templates
    assert weights.sum() == pytest.approx(1)
    assert weights[:NOISY].sum() < 0.5 * NOISY / TEMPLATES
    unseen = world.shots(50)
    before = rightness(world.rows, unseen, None, THRESHOLD)
    after = rightness(world.rows, unseen, change.weights, change.threshold)
    assert after > before + 0.02


def test_two_events_do_not_overfit_and_without_shrinkage_they_do() -> None:
    held: list[float] = []
    free: list[float] = []
    before: list[float] = []
    for seed in SEEDS:
        world = World(seed, noisy=0)  # all templates are as good: there is nothing to find
        shots, unseen = world.shots(2, wanted=1, others=2), world.shots(50)
        limit = fit_threshold(margins(world.rows, shots.embeddings), shots, THRESHOLD)
        before.append(rightness(world.rows, unseen, None, limit))
        for shrink, results in ((SHRINK, held), (0.0, free)):
            change = fit_weights(world.rows, shots, THRESHOLD, shrink)
            results.append(rightness(world.rows, unseen, change.weights, change.threshold))
    assert np.mean(held) >= np.mean(before) - 0.003
    assert np.mean(free) < np.mean(held) - 0.005


def test_more_events_are_trusted_more() -> None:
    def distance(events: int) -> float:
        world = World(3)
        weights = present(fit_weights(world.rows, world.shots(events), THRESHOLD).weights)
        return float(np.abs(weights.templates - 1 / TEMPLATES).sum())

    assert distance(2) < distance(30)


def test_what_helps_is_proven_on_events_left_out() -> None:
    world = World(5)
    lesson = sharpen(world.rows, world.shots(8), THRESHOLD)
    assert lesson.change is not None
    assert lesson.after.rightness > lesson.before.rightness
    assert len(lesson.after.folds) == 8


def test_what_does_not_help_is_refused() -> None:
    """The events are like everything else: whatever the fit finds is chance."""
    refused = 0
    for seed in SEEDS:
        world = World(seed)
        shots = world.shots(4)
        world.rng.shuffle(shots.embeddings)
        refused += sharpen(world.rows, shots, _best(world.rows, shots)).change is None
    assert refused >= len(SEEDS) // 2


def _best(rows: Rows, shots: Shots) -> float:
    """The threshold that nothing beats on these very shots."""
    values = margins(rows, shots.embeddings)
    return max(values.tolist(), key=lambda limit: rightness(rows, shots, None, limit))


def test_a_rule_that_is_right_already_stays_as_it_is() -> None:
    world = World(2, noisy=0)
    shots = world.shots(3)
    values = margins(world.rows, shots.embeddings)
    between = (values[shots.wanted].min() + values[~shots.wanted].max()) / 2
    assert values[shots.wanted].min() > values[~shots.wanted].max()
    assert sharpen(world.rows, shots, between).change is None


def test_a_wrong_threshold_alone_is_moved_and_the_sentences_stay() -> None:
    world = World(2, noisy=0)
    lesson = sharpen(world.rows, world.shots(4), 0.4)
    change = present(lesson.change)
    assert change.weights is None
    assert change.threshold < 0.3
    assert lesson.after.rightness == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("events", [0, 1])
def test_one_event_is_too_few_to_prove_anything(events: int) -> None:
    world = World(1)
    shots = world.shots(2)
    with pytest.raises(ValueError, match=f"two events with wanted samples, found {events}"):
        sharpen(world.rows, shots.select(shots.groups < events), THRESHOLD)


def test_alerts_that_somebody_found_right_or_wrong_are_shots_too() -> None:
    """Each alert is a group of one kind."""
    world = World(2, noisy=0)
    shots = world.shots(6, wanted=1, others=1)
    thumbs = Shots(shots.embeddings, shots.wanted, np.arange(len(shots.wanted)))
    lesson = sharpen(world.rows, thumbs, 0.4)
    assert len(lesson.before.folds) == 12
    assert (lesson.before.seen, lesson.before.quiet) == (0, 1)
    assert lesson.after.rightness > 0.9
    only_wrong = thumbs.select(~thumbs.wanted)
    with pytest.raises(ValueError, match="two events with wanted samples, found 0"):
        sharpen(world.rows, only_wrong, 0.4)


def test_the_hysteresis_ends_half_way_back_to_ordinary_margins() -> None:
    world = World(2, noisy=0)
    shots = world.shots(4)
    change = present(sharpen(world.rows, shots, 0.4).change)
    ordinary = np.median(margins(world.rows, shots.embeddings[~shots.wanted]))
    assert change.hysteresis == pytest.approx((change.threshold - ordinary) / 2)


def test_margins_are_those_of_a_naive_loop() -> None:
    world = World(4)
    shots = world.shots(3)
    weights = Weights(np.ones(1), np.arange(1, 8) / 28, np.ones(1))
    for index, embedding in enumerate(shots.embeddings.astype(np.float64)):
        text, negative = (
            sum(w * row for w, row in zip(weights.templates, rows[0].astype(float), strict=True))
            for rows in (world.rows.texts, world.rows.negatives)
        )
        rivals = [negative / np.linalg.norm(negative), world.rows.background[0]]
        cosine = embedding @ text / np.linalg.norm(text)
        expected = cosine - max(embedding @ rival for rival in rivals)
        found = margins(world.rows, shots.embeddings, weights)[index]
        assert found == pytest.approx(expected, abs=1e-5)


def test_the_threshold_is_where_the_loss_has_its_bottom() -> None:
    """Against a scan: symmetric classes have it in the middle."""
    world = World(1, noisy=0)
    shots = world.shots(6, wanted=6, others=6)
    values = np.where(shots.wanted, 0.3, 0.1)
    assert fit_threshold(values, shots, 0.2) == pytest.approx(0.2, abs=1e-6)
    assert fit_threshold(values, shots, 0.5) == pytest.approx(0.2, abs=0.03)


@settings(max_examples=15)
@given(st.integers(0, 1000), st.integers(1, 6), st.sampled_from([0.0, 0.3, 3.0]))
def test_weights_stay_convex_whatever_the_shots(seed: int, events: int, shrink: float) -> None:
    world = World(seed)
    change = fit_weights(world.rows, world.shots(events), THRESHOLD, shrink)
    fitted = present(change.weights)
    for weights in (fitted.texts, fitted.templates, fitted.negatives):
        assert weights.sum() == pytest.approx(1)
        assert (weights >= 0).all()
    assert np.isfinite(change.threshold)


def test_a_blend_has_length_one() -> None:
    world = World(1)
    row = blend(world.rows.texts, np.ones(1), np.full(TEMPLATES, 1 / TEMPLATES))
    assert np.linalg.norm(row) == pytest.approx(1, abs=1e-6)
