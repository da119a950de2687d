"""Which layers teach, and what stages can explain."""

from typing import Literal

import pytest
import torch

from export.distill.align import Alignment, MapShape, band, explained, resized

SHAPE = MapShape(6, 4, 4)


def maps(
    count: int, channels: int = 6, side: int = 4, seed: int = 0, batch: int = 2
) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(batch, channels, side, side, generator=generator) for _ in range(count)]


def gradients(base: Literal["student", "teacher"], logits: torch.Tensor) -> list[float]:
    torch.manual_seed(0)
    alignment = Alignment((3, 5), [SHAPE] * 4, base)
    with torch.no_grad():
        alignment.logits.copy_(logits)
    layers = [layer.requires_grad_() for layer in maps(4)]
    alignment(maps(1, 3) + maps(1, 5), layers).backward()
    return [float(layer.grad.abs().max()) for layer in layers if layer.grad is not None]


def test_with_the_student_as_base_every_layer_teaches_and_with_the_teacher_an_unused_one_does_not() -> (
    None
):
    chosen = torch.full((2, 4), -1000.0)
    chosen[0, 1] = chosen[1, 3] = 1000.0
    assert min(gradients("student", chosen.T)) > 1e-4
    taught = gradients("teacher", chosen)
    assert taught[1] > 1e-4
    assert taught[3] > 1e-4
    assert taught[0] == taught[2] == 0


def fitted(targets: torch.Tensor, bases: torch.Tensor) -> float:
    logits = torch.zeros(len(targets), len(bases), requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=500, tolerance_grad=1e-12,
                                  tolerance_change=1e-15)  # fmt: skip

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = explained(targets, bases, logits)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return float(explained(targets, bases, logits).detach())


def test_layers_that_are_mixtures_of_stages_are_explained_and_others_are_not() -> None:
    bases = torch.stack(maps(2, seed=1)).flatten(3).transpose(2, 3)
    weights = torch.tensor([[0.2, 0.8], [0.5, 0.5], [0.9, 0.1]])
    mixed = torch.tensordot(weights, bases, dims=1)
    assert fitted(mixed, bases) < 1e-6
    wider = torch.cat([mixed, torch.stack(maps(1, seed=2)).flatten(3).transpose(2, 3)])
    assert fitted(wider, bases) > 0.1


def test_a_layer_begins_with_the_stage_at_its_own_depth() -> None:
    assert band(6, 3).argmax(dim=1).tolist() == [0, 0, 1, 1, 2, 2]
    assert band(3, 6).argmax(dim=1).tolist() == [1, 3, 5]


def test_layers_of_several_shapes_all_teach_all_projections() -> None:
    torch.manual_seed(0)
    alignment = Alignment((3, 5), [MapShape(6, 4, 4), MapShape(2, 7, 3)])
    layers = [*maps(1), torch.randn(2, 2, 7, 3)]
    alignment(maps(1, 3, side=9) + maps(1, 5, side=2), layers).backward()
    gradients = [p.grad for p in alignment.parameters()]
    assert all(g is not None and float(g.abs().max()) > 0 for g in gradients)


@pytest.mark.parametrize(("side", "expected"), [(8, "mean"), (2, "between")])
def test_a_stage_takes_the_places_of_a_layer(side: int, expected: str) -> None:
    stage = torch.arange(side * side, dtype=torch.float32).reshape(1, 1, side, side)
    found = resized(stage, MapShape(1, 4, 4))
    assert found.shape == (1, 1, 4, 4)
    if expected == "mean":
        assert float(found[0, 0, 0, 0]) == pytest.approx((0 + 1 + 8 + 9) / 4)
    else:
        assert float(found.min()) >= 0
        assert float(found.max()) <= 3
