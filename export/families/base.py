"""The seam between a family of models and the steps that all families share.

A family takes a checkpoint apart into the graphs of a bundle; it still thinks in torch. What comes
after (``export/graph/to_onnx.py`` and on) knows graphs by name and no family.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from edge.model.bundle.manifest import ModelFacts, Role


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One graph of a bundle, as a torch module that is still the float original.

    Attributes:
        role: What the graph is for; also its file's stem.
        module: Takes ``inputs`` in their order, gives ``outputs`` as a tuple (or one tensor). In
            eval mode.
        inputs: Example of each input by name; pictures as float32, normalised as the original
            wants them.
        outputs: Names.
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
        facts: The manifest but for its list of files.
        tokenizer: ``tokenizer.json``.
        parts: The graphs.
        opset: ONNX operator set that the graphs are exported at.
    """

    facts: ModelFacts
    tokenizer: bytes
    parts: tuple[Part, ...]
    opset: int = 18
