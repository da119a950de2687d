"""Asks an engine for its answers, and measures whether the same question gets the same answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.model.engines.base import Engine

Arrays = Mapping[str, NDArray[Any]]

# Inputs that are asked again, together and among copies of themselves. What depends on its
# neighbours, or on chance, does so for any of them.
_PROBED: Final = 4


@dataclass(frozen=True, slots=True)
class Steadiness:
    """The largest difference of any number between two answers to the same input.

    Attributes:
        repeat: Asked twice.
        neighbours: Asked at the same place of two batches of the same size, with other neighbours.
            A runtime computes both in the same order, so even an INT8 graph has nothing to round
            otherwise: what differs, the neighbours did. None where the graph takes one input a
            call.
        batch: Asked alone and in a batch; None likewise. Includes what a runtime leaves that adds
            in another order for another batch size, which in an INT8 graph tips roundings over.
    """

    repeat: float
    neighbours: float | None
    batch: float | None


def ask(
    engine: Engine, rows: Arrays, names: Sequence[str], shared: Arrays | None = None
) -> tuple[dict[str, NDArray[Any]], Steadiness]:
    """Return the outputs ``names``, [N, ...] each, of one call per input, and how steady they are.

    Raises:
        ModelError: The engine has no such output.
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
        # Each at its place, all others the same as it.
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
    # What is not finite is refused by ``compare``, in words.
    with np.errstate(invalid="ignore"):
        return max(float(np.abs(one[name].astype(np.float64) - other[name]).max()) for name in one)
