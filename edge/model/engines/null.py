"""Answers without a model: the engine for tests, and the lower bound of the time of a call.

Its model is a line of JSON from ``null_model``. Each output row is a random unit vector whose seed
is a hash of the same row of the inputs. So a row always gives the same vector, whatever the other
rows are.
"""

import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import EngineUnavailable, InferenceError, ModelError
from edge.model.engines.base import EngineSettings, TensorSpec
from edge.model.engines.tensors import fitting, with_rows


def null_model(inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> bytes:
    """Return a model for ``NullEngine``.

    Args:
        inputs: Inputs of any kind; the first axis is the row.
        outputs: Outputs of dtype float32 and shape ``(None, ...)``.
    """
    # An extent that the graph decides (edge.model.bundle.contract.ANY) is 1 here.
    inputs, outputs = (
        tuple(
            replace(spec, shape=tuple(extent and abs(extent) for extent in spec.shape))
            for spec in specs
        )
        for specs in (inputs, outputs)
    )
    model = {"inputs": [asdict(spec) for spec in inputs], "outputs": [asdict(s) for s in outputs]}
    return json.dumps(model).encode()


class NullEngine:
    """Engine that answers each row with unit vectors that depend on that row alone."""

    name = "null"
    runtime = "null"
    device = "CPU"

    def __init__(self, model: bytes, settings: EngineSettings) -> None:
        if settings.device != self.device:
            raise EngineUnavailable(
                f"engine null: expected device {settings.device!r}, found {self.device}"
            )
        try:
            description = json.loads(model)
            self.inputs = _specs(description["inputs"])
            self.outputs = _specs(description["outputs"])
        except (ValueError, KeyError, TypeError) as exc:
            raise ModelError(
                f"engine null: expected a model from null_model, found: {exc}"
            ) from exc
        self._open = True

    def run(self, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        if not self._open:
            raise InferenceError("engine null is closed")
        arrays = list(fitting(self.inputs, self.outputs, tensors).values())
        shared = len(with_rows(self.inputs, self.outputs))
        whole = arrays[shared:]
        columns = len(whole[0]) if whole else 1
        seeds = [
            _hash([*(array[row] for array in arrays[:shared]), *whole])
            for row in range(len(arrays[0]))
        ]
        return {
            spec.name: np.stack([_draw(spec, columns, seed) for seed in seeds])
            for spec in self.outputs
        }

    def close(self) -> None:
        self._open = False


def _specs(items: list[dict[str, Any]]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(item["name"], item["dtype"], tuple(item["shape"])) for item in items)


def _hash(row: list[NDArray[Any]]) -> int:
    seed = 0
    for part in row:
        seed = zlib.crc32(part.data, seed)
    return seed


def _draw(spec: TensorSpec, columns: int, seed: int) -> NDArray[np.float32]:
    shape = [columns if extent is None else extent for extent in spec.shape[1:]]
    vector = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    return np.asarray(vector / np.linalg.norm(vector), np.float32)
