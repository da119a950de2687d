"""Checks that arrays fit the inputs of a graph, before a runtime sees them.

Without this check runtimes react differently: OpenVINO converts a wrong dtype silently, and reports
a wrong shape as a tensor that cannot grow.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import InferenceError
from edge.model.engines.base import TensorSpec


def with_rows(
    inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]
) -> tuple[TensorSpec, ...]:
    """Return the inputs whose first axis is the row of every output.

    These are all inputs, except in a graph that compares: such a graph has a second dynamic axis in
    an output [N, K], and its last input is the K vectors with which each row is compared.
    """
    compares = any(None in spec.shape[1:] for spec in outputs if spec.shape[:1] == (None,))
    return inputs[:-1] if compares and len(inputs) > 1 else inputs


def fitting(
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    tensors: Mapping[str, NDArray[Any]],
) -> dict[str, NDArray[Any]]:
    """Return ``tensors`` as C-contiguous arrays.

    Raises:
        InferenceError: A name is missing or unknown, a dtype or shape differs from ``inputs``, or
            two tensors have different numbers of rows (a runtime would repeat a single row).
    """
    names = [spec.name for spec in inputs]
    if sorted(tensors) != sorted(names):
        raise InferenceError(f"expected the inputs {sorted(names)}, found {sorted(tensors)}")
    arrays = {spec.name: _fitting(spec, tensors[spec.name]) for spec in inputs}
    rows = {
        spec.name: len(arrays[spec.name])
        for spec in with_rows(inputs, outputs)
        if spec.shape[:1] == (None,)
    }
    if len(set(rows.values())) > 1:
        raise InferenceError(f"expected as many rows in each input, found {rows}")
    return arrays


def _fitting(spec: TensorSpec, array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.name != spec.dtype:
        raise InferenceError(f"{spec.name}: expected dtype {spec.dtype}, found {array.dtype.name}")
    if not _shape_fits(spec.shape, array.shape):
        raise InferenceError(
            f"{spec.name}: expected shape {describe(spec.shape)}, found {describe(array.shape)}"
        )
    return np.ascontiguousarray(array)


def _shape_fits(expected: tuple[int | None, ...], found: tuple[int, ...]) -> bool:
    return len(expected) == len(found) and all(
        have > 0 if want is None else have == want
        for want, have in zip(expected, found, strict=True)
    )


def describe(shape: tuple[int | None, ...]) -> str:
    """Write a shape like ``[?, 3, 224, 224]``."""
    return f"[{', '.join('?' if extent is None else str(extent) for extent in shape)}]"
