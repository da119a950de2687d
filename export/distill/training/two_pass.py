"""Computes the exact gradient of a loss over a large batch in the memory of a small batch.

A loss that compares every picture of a batch with every other cannot be summed over parts of the
batch, as gradient accumulation does. ZeroVL (Cui et al., ECCV 2022) splits the work in two passes:
the first computes all embeddings without a graph, then the loss over all of them and its gradient
at each embedding; the second computes each part again, with a graph, and feeds that gradient into
it. Both passes draw the same random numbers. Several processes share their embeddings between the
passes.

A network with batch normalization normalises over a part, and only the second pass changes its
running means.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

# From a part of the batch to its embeddings [b, D] and the mean own loss of its pictures.
Forward = Callable[[Any], tuple[Tensor, Tensor]]


@dataclass(frozen=True, slots=True, eq=False)
class Losses:
    """Losses of a global batch, without graph.

    Attributes:
        joint: Loss over the embeddings of all processes, a scalar.
        own: Mean own loss of the pictures of this process, a scalar.
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
        model: Module that ``forward`` calls; ``accelerator`` wraps it for several processes.
        forward: Function of one part; called twice per part, or once if there is only one part.
        chunks: Parts of this process's share of the batch, of equal size.
        joint: Loss of the embeddings of all processes, [B, D] in the order of processes.
        accelerator: Accelerator whose processes take part, each with the same number of chunks.
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
            # accelerate averages gradients over processes, but these are shares of a sum.
            through = (embedding.float() * part).sum() * accelerator.num_processes
            accelerator.backward(through + cost / len(chunks))
            own += cost.detach() / len(chunks)
    return Losses(loss.detach(), own)


@contextmanager
def _rehearsal(model: nn.Module) -> Iterator[None]:
    """Context without a graph, after which running means are as before."""
    norms = [
        module
        for module in model.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)  # noqa: SLF001 the common base
    ]
    # Copies, because a momentum of 0 would still count the batches.
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
    """Context that draws random numbers from ``state``, then restores the generators."""
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
