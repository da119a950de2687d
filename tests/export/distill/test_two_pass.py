"""The gradient of a large batch from small ones."""

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from export.distill.losses import contrastive, relational
from export.distill.two_pass import backward

BATCH, DIM = 16, 6


@pytest.fixture
def accelerator():
    return Accelerator(cpu=True)


def network(*, dropout=0.3, norm=False):
    torch.manual_seed(1)
    layers = [nn.Linear(4, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, DIM)]
    return nn.Sequential(
        *([layers[0], nn.BatchNorm1d(8), *layers[1:]] if norm else layers)
    ).double()


def data():
    generator = torch.Generator().manual_seed(2)
    inputs, teacher = (
        torch.randn(BATCH, size, generator=generator, dtype=torch.float64) for size in (4, DIM)
    )
    return inputs, teacher, torch.randn(9, DIM, generator=generator, dtype=torch.float64)


def joint_of(teacher, bank):
    def joint(embedding):
        wide = embedding.double()
        return contrastive(wide, teacher, 5.0) + relational(wide, teacher, bank, 5.0)

    return joint


def gradient(model):
    return torch.cat([p.grad.flatten() for p in model.parameters()])


def by_parts(accelerator, chunks, model):
    inputs, teacher, bank = data()
    torch.manual_seed(3)
    outputs = []

    def forward(part):
        found = model(part)
        outputs.append(found.detach())
        return found, found.pow(2).mean()

    parts = inputs.split(BATCH // chunks)
    losses = backward(model, forward, parts, joint_of(teacher, bank), accelerator)
    return gradient(model), losses, outputs


@pytest.mark.parametrize("chunks", [1, 2, 4])
def test_the_gradient_is_that_of_the_whole_batch_and_accumulation_is_not(accelerator, chunks):
    model = network()
    found, losses, _ = by_parts(accelerator, chunks, model)
    inputs, teacher, bank = data()
    joint = joint_of(teacher, bank)

    model = network()
    torch.manual_seed(3)
    embedding = torch.cat([model(part) for part in inputs.split(BATCH // chunks)])
    loss = joint(embedding) + embedding.pow(2).mean()
    loss.backward()
    expected = gradient(model)
    assert torch.allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert float(losses.joint + losses.own) == pytest.approx(float(loss.detach()), abs=1e-5)

    if chunks > 1:
        model = network()
        torch.manual_seed(3)
        size = BATCH // chunks
        for part, told in zip(inputs.split(size), teacher.split(size), strict=True):
            embedding = model(part)
            (joint_of(told, bank)(embedding) / chunks + embedding.pow(2).mean() / chunks).backward()
        assert float((gradient(model) - expected).norm() / expected.norm()) > 1e-3


def test_both_passes_draw_the_same_random_numbers_and_afterwards_they_go_on(accelerator):
    *_, outputs = by_parts(accelerator, 2, network())
    assert torch.equal(outputs[0], outputs[2])
    assert torch.equal(outputs[1], outputs[3])
    assert not torch.equal(outputs[0], outputs[1])
    after = torch.rand(1)
    torch.manual_seed(3)
    model, (inputs, *_) = network(), data()
    torch.manual_seed(3)
    for part in inputs.split(BATCH // 2):
        model(part)
    assert torch.equal(after, torch.rand(1))


def test_running_means_count_a_batch_once(accelerator):
    model = network(norm=True, dropout=0.0)
    by_parts(accelerator, 2, model)
    inputs, *_ = data()
    once = network(norm=True, dropout=0.0).train()
    with torch.no_grad():
        for part in inputs.split(BATCH // 2):
            once(part)
    assert torch.allclose(model[1].running_mean, once[1].running_mean)
    assert model[1].momentum == once[1].momentum
