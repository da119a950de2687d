"""A loss over a large batch, exactly, in the memory of a small one.

A loss that compares every picture of a batch with every other cannot be summed over parts of the
batch, as gradient accumulation does. ZeroVL (Cui et al., ECCV 2022) splits the work in another
place: all embeddings first, without a graph; the loss over all of them, and its gradient at each
embedding; then each part again, with a graph, which that gradient enters. Random numbers are drawn
alike in both passes. Several processes share their embeddings between the passes.

Where a network normalises over its batch, the parts are what it normalises over, and only the last
pass counts for its running means.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

# A part of the batch to its embeddings [b, D] and the mean of what each picture costs by itself.
Forward = Callable[[Any], tuple[Tensor, Tensor]]


@dataclass(frozen=True, slots=True, eq=False)
class Losses:
    """Of one global batch, without graph.

    Attributes:
        joint: Of all embeddings together.
        own: Mean of what pictures cost by themselves, of this process.
    """

    joint: Tensor
    own: Tensor


def backward(
    model: nn.Module,
    forward: Forward,
    chunks: Sequence[Any],
    joint: Callable[[Tensor], Tensor],
    accelerator: Accelerator,
) -> Losses:
    """Add the gradient of ``joint(all embeddings) + mean own loss`` to ``model``.

    Args:
        model: What ``forward`` calls; wrapped by ``accelerator`` if several processes share it.
        forward: Of one part; called twice for each unless there is only one.
        chunks: The parts of this process's share of the batch, of equal size.
        joint: Embeddings of all processes in order [B, D] to the loss.
        accelerator: Whose processes take part; each has as many chunks.
    """
    generators = []
    seen = []
    alone = len(chunks) == 1
    with nullcontext() if alone else _rehearsal(model):
        for chunk in chunks:
            generators.append(_generators())
            seen.append(forward(chunk))
    local = torch.cat([embedding.detach() for embedding, _ in seen]).float()
    everything = accelerator.gather(local).requires_grad_()
    loss = joint(everything)
    (gradient,) = torch.autograd.grad(loss, everything)
    first = accelerator.process_index * len(local)
    mine = gradient[first : first + len(local)]
    own = torch.zeros((), device=local.device)
    for index, (chunk, part) in enumerate(
        zip(chunks, mine.split(len(local) // len(chunks)), strict=True)
    ):
        last = index == len(chunks) - 1
        with nullcontext() if last else accelerator.no_sync(model):
            if alone:
                embedding, cost = seen[0]
            else:
                with _replayed(generators[index]):
                    embedding, cost = forward(chunk)
            # Processes' gradients are averaged: right for a mean, too small for a share of a sum.
            through = (embedding.float() * part).sum() * accelerator.num_processes
            accelerator.backward(through + cost / len(chunks))
            own += cost.detach() / len(chunks)
    return Losses(loss.detach(), own)


@contextmanager
def _rehearsal(model: nn.Module) -> Iterator[None]:
    """Without a graph, and without a trace in running means."""
    norms = [
        module
        for module in model.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)  # noqa: SLF001 the common base
    ]
    # Copies, for a momentum of 0 would still count the batches.
    kept = [(buffer, buffer.clone()) for norm in norms for buffer in norm.buffers()]
    with torch.no_grad():
        try:
            yield
        finally:
            for buffer, before in kept:
                buffer.copy_(before)


def _generators() -> tuple[Tensor, list[Tensor]]:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return torch.get_rng_state(), cuda


@contextmanager
def _replayed(state: tuple[Tensor, list[Tensor]]) -> Iterator[None]:
    """Random numbers as they were; afterwards as if none had been drawn again."""
    after = _generators()
    _set(state)
    try:
        yield
    finally:
        _set(after)


def _set(state: tuple[Tensor, list[Tensor]]) -> None:
    torch.set_rng_state(state[0])
    if state[1]:
        torch.cuda.set_rng_state_all(state[1])
