"""Runs an engine on inputs, and measures whether the same input gets the same answer each time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.model.engines.base import Engine

Arrays = Mapping[str, NDArray[Any]]

# Number of inputs that run again: together, and among copies of themselves. A graph whose answers
# depend on neighbours or on chance shows it with any input.
_PROBED: Final = 4


@dataclass(frozen=True, slots=True)
class Steadiness:
    """Largest difference of any number between two answers to the same input.

    Attributes:
        repeat: Difference between two equal calls.
        neighbours: Difference between two batches of the same size, with the input at the same
            place among other neighbours. A runtime computes both in the same order, so even an INT8
            graph rounds alike, and the neighbours cause any difference. None where the graph takes
            one input per call.
        batch: Difference between a call alone and in a batch; None where the graph takes one input
            per call. A runtime may add in another order for another batch size, which changes
            roundings in an INT8 graph; that is included.
    """

    repeat: float
    neighbours: float | None
    batch: float | None


def ask(
    engine: Engine, rows: Arrays, names: Sequence[str], shared: Arrays | None = None
) -> tuple[dict[str, NDArray[Any]], Steadiness]:
    """Run one call per input, and return its outputs and their steadiness.

    Args:
        engine: The engine, opened.
        rows: Inputs by name, [N, ...] each.
        names: Names of the outputs.
        shared: Inputs that are the same in each call, whole.

    Returns:
        The outputs by name, [N, ...] each, and how steady they are.

    Raises:
        ModelError: The engine lacks one of the outputs.
        InferenceError: The engine failed.
    """
    missing = sorted(set(names) - {spec.name for spec in engine.outputs})
    if missing:
        raise ModelError(
            f"expected the outputs {', '.join(names)}, found no {', '.join(missing)}; name the "
            "graph's outputs as docs/bundle-format.md does"
        )

    def run(picked: Sequence[int]) -> dict[str, NDArray[Any]]:
        inputs = {name: array[list(picked)] for name, array in rows.items()}
        outputs = engine.run(inputs | dict(shared or {}))
        return {name: outputs[name] for name in names}

    count = len(next(iter(rows.values())))
    found = _stack([run([index]) for index in range(count)])
    probed = range(min(count, _PROBED))
    alone = {name: array[: len(probed)] for name, array in found.items()}
    repeat = _difference(_stack([run([index]) for index in probed]), alone)
    neighbours = batch = None
    if all(spec.shape[:1] == (None,) for spec in engine.inputs if spec.name in rows):
        together = run(probed)
        # Each input keeps its place, and copies of it take all other places.
        copies = [run([index] * len(probed)) for index in probed]
        among_copies = {
            name: np.stack([copies[index][name][index] for index in probed]) for name in names
        }
        neighbours = _difference(among_copies, together)
        batch = max(_difference(together, alone), _difference(among_copies, alone))
    return found, Steadiness(repeat, neighbours, batch)


def _stack(calls: Sequence[Arrays]) -> dict[str, NDArray[Any]]:
    return {name: np.concatenate([call[name] for call in calls]) for name in calls[0]}


def _difference(one: Arrays, other: Arrays) -> float:
    # ``compare`` refuses numbers that are not finite, with a message.
    with np.errstate(invalid="ignore"):
        return max(float(np.abs(one[name].astype(np.float64) - other[name]).max()) for name in one)
