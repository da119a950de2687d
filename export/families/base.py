"""Defines what a family of models gives to the steps that all families share.

A family takes a checkpoint apart into parts, which are torch modules. The later steps
(``export/graph/to_onnx.py`` and on) know graphs by name and no family.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from edge.model.bundle.manifest import ModelFacts, Role


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One graph of a bundle, as a torch module that is still the float original.

    Attributes:
        role: Role of the graph; also the stem of its file name.
        module: Module in eval mode. It takes ``inputs`` in their order and gives ``outputs`` as a
            tuple, or as one tensor.
        inputs: Example of each input by name; pictures are float32, normalised for the original.
        outputs: Names of the outputs.
        dynamic: Names of dynamic axes, by tensor name (inputs and outputs):
            {"input_ids": {0: "K"}}.
        pixels: Name of the picture input that ``pixels.fold_pixels`` turns into int8 ``pixels``;
            None for graphs without one.
    """

    role: Role
    module: torch.nn.Module
    inputs: Mapping[str, torch.Tensor]
    outputs: tuple[str, ...]
    dynamic: Mapping[str, Mapping[int, str]]
    pixels: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Assembly:
    """A checkpoint taken apart: everything that a bundle of it needs.

    Attributes:
        facts: The manifest without its list of files.
        tokenizer: Contents of ``tokenizer.json``.
        parts: Parts of the model, one for each graph.
        opset: Version of ONNX's operators for the graphs.
    """

    facts: ModelFacts
    tokenizer: bytes
    parts: tuple[Part, ...]
    opset: int = 18
