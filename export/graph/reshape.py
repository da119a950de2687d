"""Makes an exported graph fit for the devices: named axes, folded constants, the opset, one file.

Everything here works on plain ONNX and knows no model family. ``export.graph.pixels`` changes the
graph's picture input.
"""

import copy
import tempfile
from collections.abc import Mapping
from pathlib import Path

import onnx
import onnxruntime
from onnx import version_converter
from onnxruntime.capi import onnxruntime_pybind11_state as states

from edge.errors import ModelError

# protobuf refuses a larger file, and a device reads no file beside the graph. A megabyte is left
# for the nodes.
_MAX_BYTES = 2**31 - 2**20
_STANDARD = ("", "ai.onnx")
# Errors that ONNX Runtime raises for a graph; their only common base is Exception.
_FAILURES = (states.Fail, states.InvalidGraph, states.InvalidProtobuf, states.NotImplemented)


def name_axes(
    model: onnx.ModelProto, axes: Mapping[str, Mapping[int, str | int]]
) -> onnx.ModelProto:
    """Return ``model`` with the axes of its inputs and outputs named, or fixed by a number.

    Args:
        model: Any graph.
        axes: Name or extent by axis, by tensor: ``{"pixels": {0: "N"}}``, ``{"pixels": {0: 1}}``.

    Raises:
        ModelError: A tensor or an axis does not exist, or the graph contradicts an extent.
    """
    model = copy.deepcopy(model)
    values = {value.name: value for value in (*model.graph.input, *model.graph.output)}
    for name, named in axes.items():
        if name not in values:
            raise ModelError(f"expected an input or output {name}, found {', '.join(values)}")
        dims = values[name].type.tensor_type.shape.dim
        for axis, extent in named.items():
            if axis >= len(dims):
                raise ModelError(f"{name}: expected an axis {axis}, found {len(dims)} axes")
            if isinstance(extent, str):
                dims[axis].dim_param = extent
            else:
                dims[axis].dim_value = extent
    # The shapes of inner values were inferred from the old axes.
    del model.graph.value_info[:]
    return checked(model)


def fix_axes(model: onnx.ModelProto, extents: Mapping[str, int]) -> onnx.ModelProto:
    """Return ``model`` with named axes fixed: ``{"N": 1}``.

    Raises:
        ModelError: No input has an axis of that name.
    """
    values = (*model.graph.input, *model.graph.output)
    found = {
        value.name: {
            axis: dim.dim_param
            for axis, dim in enumerate(value.type.tensor_type.shape.dim)
            if dim.dim_param
        }
        for value in values
    }
    names = {name for value in model.graph.input for name in found[value.name].values()}
    if unknown := set(extents) - names:
        raise ModelError(
            f"expected named axes {', '.join(sorted(unknown))}, found "
            f"{', '.join(sorted(names)) or 'none'}"
        )
    return name_axes(
        model,
        {
            value: {axis: extents[name] for axis, name in named.items() if name in extents}
            for value, named in found.items()
        },
    )


def simplify(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return ``model`` with constants folded and without dead or duplicate nodes.

    ONNX Runtime's basic optimizations do this; they write standard ops only. Every node has a
    unique name afterwards.

    Raises:
        ModelError: ``model`` is not a valid graph, has other than standard ops, or is too large.
    """
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "simple.onnx"
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(target)
        options.log_severity_level = 4
        try:
            onnxruntime.InferenceSession(
                to_bytes(model), sess_options=options, providers=["CPUExecutionProvider"]
            )
        except _FAILURES as exc:
            raise ModelError(f"expected a graph that ONNX Runtime reads, found: {exc}") from exc
        simple = onnx.load(target)
    used = {node.domain for node in simple.graph.node}
    if foreign := sorted(used - set(_STANDARD)):
        raise ModelError(f"expected standard ops only, found ops of {', '.join(foreign)}")
    kept = [entry for entry in simple.opset_import if entry.domain in _STANDARD]
    del simple.opset_import[:]
    simple.opset_import.extend(kept)
    taken: set[str] = set()
    for node in simple.graph.node:
        if not node.name or node.name in taken:
            node.name = node.output[0]
        taken.add(node.name)
    return checked(simple)


def to_opset(model: onnx.ModelProto, version: int) -> onnx.ModelProto:
    """Return ``model`` in the given version of the standard ops.

    Raises:
        ModelError: An op cannot be converted.
    """
    try:
        return checked(version_converter.convert_version(model, version))
    except RuntimeError as exc:
        raise ModelError(
            f"expected ops that opset {version} has as well, found: {exc}; export with that opset"
        ) from exc


def to_bytes(model: onnx.ModelProto) -> bytes:
    """Return the file of ``model``: one file, with all its weights.

    Raises:
        ModelError: The graph exceeds protobuf's 2 GiB.
    """
    _check_size(model)
    data: bytes = model.SerializeToString()
    return data


def _check_size(model: onnx.ModelProto) -> None:
    # Added up here, because protobuf's own count fails beyond its limit.
    size = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    if size > _MAX_BYTES:
        raise ModelError(
            f"expected a graph below 2 GiB, found {size / 2**30:.1f} GiB of weights; take a "
            "smaller checkpoint"
        )


def checked(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return ``model`` if ONNX finds it valid.

    Raises:
        ModelError: ``model`` is not valid, or too large for one file.
    """
    _check_size(model)
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as exc:
        raise ModelError(f"expected a valid graph, found: {exc}") from exc
    return model
