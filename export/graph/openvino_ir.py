"""Converts an ONNX graph to OpenVINO's own form: an XML file and a file of weights."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import openvino

from edge.errors import ModelError
from edge.model.engines.openvino import core


@dataclass(frozen=True, slots=True, eq=False)
class IrFiles:
    """Contents of the two files of an OpenVINO model."""

    xml: bytes
    weights: bytes


def to_ir(model: bytes) -> IrFiles:
    """Convert ``model``, an ONNX graph with its weights inside; no number changes.

    Raises:
        ModelError: OpenVINO cannot read the graph.
    """
    try:
        graph = core().read_model(model)
    except RuntimeError as exc:
        raise ModelError(f"expected a graph that OpenVINO can read, found: {exc}") from exc
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.xml"
        # Compressed weights would be float16, so not the weights that were measured.
        openvino.save_model(graph, path, compress_to_fp16=False)
        return IrFiles(path.read_bytes(), path.with_suffix(".bin").read_bytes())
