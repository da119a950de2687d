"""A batch in parts gives the gradient of the whole batch; accumulation would not."""

import copy
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from export.distill.training.losses import contrastive, mimicry, relational
from export.distill.training.two_pass import backward

PICTURES = 8
DIM = 6
CHUNKS = [1, 2, 4]


class Network(nn.Module):
    """Rows to embeddings, and to a cost of each by itself; it can draw numbers and keep means."""

    def __init__(self, *, dropout: float = 0.0, norm: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(
            nn.Linear(5, 16), nn.BatchNorm1d(16) if norm else nn.Identity(), nn.GELU(),
            nn.Dropout(dropout), nn.Linear(16, DIM),
        )  # fmt: skip

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        embedding = self.body(pictures)
        return embedding, (embedding**2).mean()


def draw(rows: int, columns: int, seed: int) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


BATCH = draw(PICTURES, 5, 1)
TEACHER = draw(PICTURES, DIM, 2)
BANK = draw(12, DIM, 3)


def compared(embedding: Tensor, teacher: Tensor = TEACHER) -> Tensor:
    """Of losses in which every picture meets every other."""
    return contrastive(embedding, teacher, 10) + relational(embedding, teacher, BANK, 10)


@pytest.fixture(scope="module")
def accelerator() -> Accelerator:
    return Accelerator(cpu=True)


def gradients(network: nn.Module) -> Tensor:
    found = [one.grad for one in network.parameters()]
    return torch.cat([one.flatten() for one in found if one is not None])


def whole(network: Network) -> tuple[Tensor, float]:
    """Gradient and loss of the batch at once."""
    embedding, own = network(BATCH)
    loss = compared(embedding) + own
    loss.backward()
    return gradients(network), loss.item()


@pytest.mark.parametrize("count", CHUNKS)
def test_a_batch_in_parts_gives_the_gradient_and_the_losses_of_the_whole(
    count: int, accelerator: Any
) -> None:
    expected, loss = whole(Network())
    network = Network()
    found = backward(network, network, BATCH.chunk(count), compared, accelerator)
    assert (gradients(network) - expected).abs().max() < 1e-5 * expected.abs().max()
    assert (found.joint + found.own).item() == pytest.approx(loss, rel=1e-5)
    assert not found.joint.requires_grad
    assert not found.own.requires_grad


@pytest.mark.parametrize("count", [2, 4])
def test_plain_accumulation_of_the_same_losses_gives_another_gradient(count: int) -> None:
    expected, _ = whole(Network())
    network = Network()
    for part, teacher in zip(BATCH.chunk(count), TEACHER.chunk(count), strict=True):
        embedding, own = network(part)
        ((compared(embedding, teacher) + own) / count).backward()
    assert (gradients(network) - expected).norm() > 1e-3 * expected.norm()


def test_plain_accumulation_of_a_loss_of_single_pictures_gives_the_same(accelerator: Any) -> None:
    # So it is the comparison between pictures that the accumulation above loses.
    accumulated, network = Network(), Network()
    for part, teacher in zip(BATCH.chunk(4), TEACHER.chunk(4), strict=True):
        (mimicry(accumulated(part)[0], teacher) / 4).backward()  # type: ignore[no-untyped-call]

    def alone(part: Tensor) -> tuple[Tensor, Tensor]:
        return network(part)[0], torch.zeros(())

    backward(network, alone, BATCH.chunk(4), lambda rows: mimicry(rows, TEACHER), accelerator)
    difference = (gradients(network) - gradients(accumulated)).abs().max()
    assert difference < 1e-5 * gradients(network).abs().max()


@pytest.mark.parametrize("count", CHUNKS)
def test_random_numbers_are_alike_in_both_passes_and_drawn_once(
    count: int, accelerator: Any
) -> None:
    reference, network = Network(dropout=0.5), Network(dropout=0.5)
    torch.manual_seed(7)
    answers = [reference(part) for part in BATCH.chunk(count)]
    own = sum(cost for _, cost in answers) / count
    (compared(torch.cat([embedding for embedding, _ in answers])) + own).backward()
    drawn = torch.get_rng_state()
    torch.manual_seed(7)
    backward(network, network, BATCH.chunk(count), compared, accelerator)
    assert torch.equal(torch.get_rng_state(), drawn)
    expected = gradients(reference)
    assert (gradients(network) - expected).abs().max() < 1e-5 * expected.abs().max()


def test_dropout_of_two_passes_without_the_same_numbers_would_give_another_gradient() -> None:
    network = Network(dropout=0.5)
    other = copy.deepcopy(network)
    torch.manual_seed(7)
    expected, _ = whole(network)
    found, _ = whole(other)
    assert (found - expected).norm() > 1e-2 * expected.norm()


@pytest.mark.parametrize("count", CHUNKS)
@pytest.mark.parametrize("momentum", [0.1, None], ids=["recent", "all"])
def test_running_means_count_each_part_once(
    count: int, momentum: float | None, accelerator: Any
) -> None:
    once, network = Network(norm=True), Network(norm=True)
    for one in (once, network):
        norm: Any = one.body[1]
        norm.momentum = momentum
    for part in BATCH.chunk(count):
        once(part)
    backward(network, network, BATCH.chunk(count), compared, accelerator)
    expected = once.body[1].state_dict()
    for name, value in network.body[1].state_dict().items():
        assert torch.allclose(value, expected[name]), name


def test_a_frozen_norm_stays_as_it_is(accelerator: Any) -> None:
    network = Network(norm=True)
    network.body[1].eval()
    before = copy.deepcopy(network.body[1].state_dict())
    backward(network, network, BATCH.chunk(2), compared, accelerator)
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        assert torch.equal(network.body[1].state_dict()[name], before[name]), name


def test_a_rehearsal_that_breaks_off_leaves_the_norms_as_they_were(accelerator: Any) -> None:
    network = Network(norm=True)

    def broken(part: Tensor) -> tuple[Tensor, Tensor]:
        network(part)
        raise RuntimeError("out of memory")

    before = copy.deepcopy(network.state_dict())
    with pytest.raises(RuntimeError, match="out of memory"):
        backward(network, broken, BATCH.chunk(2), compared, accelerator)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_second_batch_adds_to_the_gradient(accelerator: Any) -> None:
    network = Network()
    backward(network, network, BATCH.chunk(2), compared, accelerator)
    once = gradients(network).clone()
    backward(network, network, BATCH.chunk(2), compared, accelerator)
    assert torch.allclose(gradients(network), 2 * once, rtol=1e-4)
