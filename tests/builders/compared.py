"""Bundles beside the tiny one: the same graphs with other weights; and pictures for both."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import onnx
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator
from tiny_bundle import tiny_facts, tiny_files, tiny_golden

from edge.model.bundle.golden import GoldenSet
from edge.model.bundle.manifest import EmbeddingSpec
from edge.model.bundle.read import Bundle
from export.bundle.pack import Artefact, golden_npz, write_bundle

RNG = np.random.default_rng(0)
Change = Callable[[dict[str, np.ndarray]], None]


def write_picture(path: Path, colour: np.ndarray) -> None:
    picture = np.broadcast_to(colour.astype(np.uint8), (24, 32, 3)).copy()
    with av.open(path, "w", format="image2") as container:
        stream = container.add_stream("png", width=32, height=24, pix_fmt="rgb24")
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))


def changed(model: bytes, change: Change) -> bytes:
    """A graph with other weights."""
    graph = onnx.load_from_string(model)
    weights = {
        tensor.name: numpy_helper.to_array(tensor).copy() for tensor in graph.graph.initializer
    }
    change(weights)
    for tensor in graph.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name], tensor.name))
    for value in graph.graph.output:
        value.type.tensor_type.shape.dim[1].dim_value = len(weights["offset"])
    data: bytes = graph.SerializeToString()
    return data


def other_bundle(path: Path, change: Change, *, text: Change | None = None, dim: int = 4) -> Bundle:
    """The tiny bundle with other weights, and what its graphs then answer for its golden set."""
    files = tiny_files()
    changes = {"image": change} | ({"text": text} if text else {})
    golden = dict(tiny_golden())
    for name, file in files.items():
        if file.role in changes:
            data = changed(file.data, changes[file.role])
            files[name] = replace(file, data=data)
            inputs = golden[file.role].inputs
            answers: Any
            (answers,) = ReferenceEvaluator(onnx.load_from_string(data)).run(None, dict(inputs))
            golden[file.role] = GoldenSet(inputs, {"embedding": answers})
    files["golden.npz"] = Artefact("golden", golden_npz(golden))
    facts = tiny_facts()
    if dim != facts.dim:
        del files["axes.json"]
        facts = facts.model_copy(update={"embedding": EmbeddingSpec(dim=dim, logit_scale=1)})
    return write_bundle(path, facts, files)


def wider(weights: dict[str, np.ndarray]) -> None:
    for name, values in weights.items():
        weights[name] = np.concatenate([values, np.zeros_like(values[..., :1])], axis=-1)


def colours(folder: Path) -> Path:
    """Write 30 pictures to ``folder``: ten each of reds, greens and blues."""
    for index in range(30):
        colour = RNG.integers(0, 90, 3)
        colour[index % 3] = RNG.integers(170, 256)
        write_picture(folder / f"{index:02}.png", colour)
    return folder
