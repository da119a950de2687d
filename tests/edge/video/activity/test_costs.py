from collections.abc import Mapping

import numpy as np
import pytest

from edge.video.activity.costs import CostModel
from edge.video.bitstream.kinds import Kind
from edge.video.bitstream.reader import PictureHeader

FPS = 10


class Encoder:
    """What an encoder sends of a scene, in a constant quality or at a constant rate."""

    def __init__(self, *, constant_rate: bool = False, noise: float = 0.05, seed: int = 1) -> None:
        self._rng = np.random.default_rng(seed)
        self._constant_rate, self._noise = constant_rate, noise
        self._quantiser, self._now = 24.0, 0.0

    def send(self, model: CostModel, seconds: float, work: float = 1.0) -> list[bool]:
        """Feed ``work`` times the usual; return after each picture whether it is unusual."""
        seen = []
        for number in range(round(seconds * FPS)):
            key = number % 20 == 0
            amount = (20 if key else 1) * 1000 * work * np.exp(self._rng.normal(0, self._noise))
            size = amount * 2 ** (-0.22 * (self._quantiser - 24))
            if self._constant_rate and not key:
                self._quantiser += np.clip(np.log2(size / 1000) / 0.22, -2, 2)
            header = PictureHeader("I" if key else "P", round(self._quantiser), round(size))
            model.arrived(self._now, header, is_keyframe=key)
            self._now += 1 / FPS
            seen.append(model.unusual)
        return seen


@pytest.mark.parametrize("constant_rate", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_movement_is_unusual_at_once_and_stillness_is_not(constant_rate: bool, seed: int) -> None:
    encoder, model = Encoder(constant_rate=constant_rate, seed=seed), CostModel()
    for _ in range(15):
        assert not any(encoder.send(model, 2))
        model.still()
    assert model.learned
    assert np.mean(encoder.send(model, 30)) < 0.02
    model.moved()
    assert any(encoder.send(model, 1, work=2.5))


def test_nothing_is_learned_from_what_moved() -> None:
    encoder, model = Encoder(), CostModel()
    for _ in range(15):
        encoder.send(model, 2, work=4.0)
        model.moved()
    assert not model.learned
    for _ in range(15):
        encoder.send(model, 2)
        model.still()
    assert any(encoder.send(model, 1, work=4.0))


def test_a_scene_that_became_noisier_is_usual_after_a_minute_or_two() -> None:
    encoder, model = Encoder(), CostModel()
    for _ in range(60):
        encoder.send(model, 2)
        model.still()
    assert any(encoder.send(model, 2, work=2.0))
    for _ in range(60):
        encoder.send(model, 2, work=2.0)
        model.still()
    assert np.mean(encoder.send(model, 20, work=2.0)) < 0.05


def test_noise_that_hides_a_person_far_away_is_known() -> None:
    sharp, noisy = CostModel(), CostModel()
    for work, model in ((0.02, sharp), (1.0, noisy)):
        for number in range(600):
            key = number % 20 == 0
            size = 20_000 if key else 1000 * work
            header = PictureHeader("I" if key else "P", 24, round(size))
            model.arrived(number / FPS, header, is_keyframe=key)
            model.still()
    assert sharp.sharp
    assert not noisy.sharp


def test_a_kind_of_pictures_that_stops_coming_is_judged_no_more() -> None:
    model, now = CostModel(), 0.0

    def send(seconds: float, sizes: Mapping[Kind, int]) -> None:
        nonlocal now
        for _ in range(round(seconds * FPS)):
            for kind, size in sizes.items():
                model.arrived(now, PictureHeader(kind, 24, size), is_keyframe=False)
            now += 1 / FPS

    for _ in range(20):
        send(1, {"P": 1000, "B": 500})
        model.still()
    seen = []
    moving: dict[Kind, int] = {"P": 1000, "B": 5000}
    still: dict[Kind, int] = {"P": 1000}
    for sizes in (moving, still, moving):
        send(1, sizes)
        seen.append(model.unusual)
    for number in range(2):  # keyframes alone
        model.arrived(now + number, PictureHeader("I", 24, 9000), is_keyframe=True)
    assert [*seen, model.unusual] == [True, False, True, False]
