"""The losses against plain NumPy, and what each is for."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from export.distill.training.losses import contrastive, mimicry, relational

SCALE = 7.0


def rows(count: int, dim: int = 5, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


def unit(array: NDArray[np.float32]) -> NDArray[np.float32]:
    return array / np.linalg.norm(array, axis=1, keepdims=True)


def softmax(logits: NDArray[np.floating]) -> NDArray[np.floating]:
    powers: NDArray[np.floating] = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def divergence(teacher: NDArray[np.float32], student: NDArray[np.float32]) -> np.float32:
    return (teacher * np.log(teacher / student)).sum(axis=1).mean()


def test_mimicry_is_one_minus_the_cosine() -> None:
    student, teacher = rows(6), rows(6, seed=1)
    expected = 1 - (unit(student.numpy()) * unit(teacher.numpy())).sum(axis=1).mean()
    assert float(mimicry(student, teacher)) == pytest.approx(expected, abs=1e-6)


def test_relational_is_the_mean_of_both_divergences() -> None:
    student, teacher, bank = rows(6), rows(6, seed=1), rows(9, seed=2)
    ours, theirs = (SCALE * unit(one.numpy()) @ unit(bank.numpy()).T for one in (student, teacher))
    expected = (
        divergence(softmax(theirs), softmax(ours)) + divergence(softmax(theirs.T), softmax(ours.T))
    ) / 2
    assert float(relational(student, teacher, bank, SCALE)) == pytest.approx(expected, abs=1e-5)


def test_contrastive_is_clips_loss() -> None:
    student, captions = rows(4), rows(4, seed=1)
    logits = SCALE * unit(student.numpy()) @ unit(captions.numpy()).T
    diagonal = [np.log(softmax(one)).diagonal().mean() for one in (logits, logits.T)]
    expected = -np.mean(diagonal)
    assert float(contrastive(student, captions, SCALE)) == pytest.approx(expected, abs=1e-5)


def test_a_caption_of_several_pictures_is_right_for_each_of_them() -> None:
    captions = rows(4, seed=1)[[0, 0, 1, 2]]
    right = captions.clone()
    swapped = right[[1, 0, 2, 3]]
    assert float(contrastive(right, captions, SCALE)) == pytest.approx(
        float(contrastive(swapped, captions, SCALE))
    )


@pytest.mark.parametrize(
    "loss",
    [
        mimicry,
        lambda student, teacher: relational(student, teacher, rows(9, seed=2), SCALE),
    ],
)
def test_a_student_like_its_teacher_costs_nothing_however_long_its_vectors(
    loss: Callable[..., Any],
) -> None:
    teacher = rows(6)
    assert float(loss(3 * teacher, teacher)) == pytest.approx(0, abs=1e-6)
    assert float(loss(teacher.flip(0), teacher)) > 0.1
