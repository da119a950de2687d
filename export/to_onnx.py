"""A part of a model as an ONNX graph, still float32.

The tracing exporter, not the one that torch recommends: it is the one that exports Grounding DINO
(the other fails at several operators), takes a fifth of a second for a model that the other needs
six for, and after folding leaves the same standard operators.
"""

import io
import warnings

import onnx
import torch
from onnxscript import optimizer

from edge.errors import ModelError
from export.families.base import Part

# Every warning of a traced export that is expected, by the text it begins with.
_EXPECTED = (
    (DeprecationWarning, "You are using the legacy TorchScript-based ONNX export"),
    (DeprecationWarning, "The feature will be removed. Please remove usage of this function"),
    # Shapes that are Python numbers become constants: wanted, only the batch is dynamic.
    (torch.jit.TracerWarning, ""),
)


def to_onnx(part: Part, opset: int = 18) -> onnx.ModelProto:
    """Export ``part``.

    Args:
        part: A graph as a torch module.
        opset: Version of ONNX's operators.

    Returns:
        A model whose inputs, outputs and dynamic axes are named as the part names them, of standard
        operators only, with its weights inside.

    Raises:
        ModelError: The module cannot be expressed, or is larger than a model file can be.
    """
    data = io.BytesIO()
    names = list(part.inputs)
    with warnings.catch_warnings(), torch.no_grad():
        for category, text in _EXPECTED:
            warnings.filterwarnings("ignore", text, category)
        try:
            torch.onnx.export(
                part.module.eval(),
                tuple(part.inputs.values()),
                data,
                input_names=names,
                output_names=list(part.outputs),
                dynamic_axes={name: dict(axes) for name, axes in part.dynamic.items()},
                opset_version=opset,
                dynamo=False,
            )
        except (torch.onnx.errors.OnnxExporterError, RuntimeError, ValueError) as exc:
            raise ModelError(
                f"{part.role}: expected a module that ONNX opset {opset} can express, found: {exc}"
            ) from exc
    model = optimizer.optimize(onnx.load_from_string(data.getvalue()))
    _check(model, part)
    return model


def _check(model: onnx.ModelProto, part: Part) -> None:
    onnx.checker.check_model(model, full_check=True)
    foreign = {opset.domain for opset in model.opset_import if opset.domain} | {
        node.domain for node in model.graph.node if node.domain
    }
    if foreign:
        raise ModelError(f"{part.role}: expected standard operators, found {sorted(foreign)}")
    found = [value.name for value in model.graph.input], [v.name for v in model.graph.output]
    expected = list(part.inputs), list(part.outputs)
    if found != expected:
        raise ModelError(f"{part.role}: expected inputs and outputs {expected}, found {found}")
