"""Exports a part of a model as an ONNX graph, still float32.

It uses torch's tracing exporter and not the exporter that torch recommends. Only the tracing one
exports Grounding DINO (the other fails at several operators). It takes a fifth of a second, the
other six. Once the targets of reshapes are constant, both leave the same operators.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import onnx
import torch
from torch.jit._trace import TracerWarning

from edge.errors import ModelError
from export.families.base import Part
from export.graph.shapes import constant_reshapes

# Expected warnings of a traced export: category, and the beginning of the text.
_EXPECTED = (
    (DeprecationWarning, "You are using the legacy TorchScript-based ONNX export"),
    (DeprecationWarning, "The feature will be removed. Please remove usage of this function"),
    # Shapes that are Python numbers become constants, as they should: only the batch is dynamic.
    (TracerWarning, ""),
    # The exporter warns of negative indices; those of masks and positions are never negative.
    (UserWarning, "Exporting aten::index operator of advanced indexing"),
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
    data: Any = io.BytesIO()  # torch accepts it, but its type hints do not
    names = list(part.inputs)
    with _tracing():
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
            # The whole graph follows the first lines.
            reason = " ".join(str(exc).split())[:300]
            raise ModelError(
                f"{part.role}: expected a module that ONNX opset {opset} can express, "
                f"found: {reason}"
            ) from exc
    examples = {name: tensor.numpy() for name, tensor in part.inputs.items()}
    model = onnx.load_from_string(data.getvalue())
    del data
    constant_reshapes(model, examples, part.dynamic)
    _check(model, part)
    return model


@contextmanager
def _tracing() -> Iterator[None]:
    """Switch off gradients, the expected warnings and torch's fast path of attention.

    On the fast path (no mask, no training), ``MultiheadAttention`` calls one operator for the whole
    layer, which no exporter knows.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    with warnings.catch_warnings(), torch.no_grad():
        for category, text in _EXPECTED:
            warnings.filterwarnings("ignore", text, category)
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)


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
