"""Running ONNX graphs whole or in parts, and the pinned packages of the default bundle."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from export.default_bundle import packages
from export.default_bundle.concepts import Concepts, load_concepts
from export.packages.fetch import Package, default_cache, fetch

Run = Callable[..., list[np.ndarray]]


@pytest.fixture(scope="session")
def run() -> Run:
    """Run a model under ONNX Runtime; ``inner`` values come after its own outputs."""

    def run(
        model: onnx.ModelProto, inputs: Mapping[str, np.ndarray], inner: tuple[str, ...] = ()
    ) -> list[np.ndarray]:
        opened = onnx.ModelProto()
        opened.CopyFrom(model)
        for name in inner:
            value = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
            opened.graph.output.append(value)
        session = onnxruntime.InferenceSession(opened.SerializeToString())
        return session.run(None, dict(inputs))

    return run


@pytest.fixture(scope="session")
def member() -> Callable[[Package, str], Path]:
    """A file of a pinned package by the end of its name: from the cache, else fetched."""

    def member(package: Package, ending: str) -> Path:
        members = fetch(package, default_cache())
        [path] = (path for name, path in members.items() if name.endswith(ending))
        return path

    return member


@pytest.fixture(scope="session")
def concepts(member: Callable[[Package, str], Path]) -> Concepts:
    """The real ones: our words joined with WordNet's."""
    return load_concepts(
        member(packages.TIMM, "synsets.txt").read_text(),
        member(packages.TIMM, "synset_to_lemma.txt").read_text(),
    )
